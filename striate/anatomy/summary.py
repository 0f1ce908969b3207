"""What a network costs and sees, counted and not estimated; and its paper's table, printed back."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.anatomy.trace import Trace, has_rule, trace, trace_module
from striate.nets.base import Net
from striate.nets.build import create, variant_of
from striate.nets.catalog import USUAL_SIZE, Entry, entry, known
from striate.nets.shapes import PreHook, forward_hooks, meta_copy, shape_into

# Images of the pass that finds out what training keeps. A prime larger than any count of channels or classes: what is
# kept for each image is known by a size that it divides. On the meta device they cost nothing.
_BATCH = 1_000_003


class StageRow(NamedTuple):
    """One line of a network's description.

    output            the shape of what leaves it, without the batch
    parameters        numbers that are trained
    madds             multiply-adds of one image
    receptive_field   height and width, in pixels, of what one place of the output sees; None is the whole image
    gated             the whole image is seen besides, by a gate such as squeeze-and-excitation
    kept              bytes that a training step keeps for each image, see `kept_bytes`
    training_only     an auxiliary head: not run when classifying, so that it costs nothing there
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    madds: int
    receptive_field: tuple[int, int] | None
    gated: bool
    kept: int
    training_only: bool


class Uncounted(NamedTuple):
    """What is not in the multiply-adds: layers of one kind that hold parameters, or products outside of any layer.

    `madds` is known for products only, and 0 for layers; `parameters` of layers only.
    """

    kind: str
    number: int
    parameters: int
    madds: int


def parameters(net: nn.Module) -> int:
    """How many numbers are trained; one that is used twice counts once, and buffers do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


def madds(net: Net, input_size: Sequence[int]) -> int:
    """Multiply-adds of one image of `input_size` (height, width).

    Counted: convolutions, linear layers, and layers that count themselves with `multiply_adds`. Not counted, as in the
    papers: biases, normalisation, activations, pooling, sums; `uncounted` lists what is left out and could matter.
    Nothing is computed and no weight is copied. Raises RequestError for an image that is too small.
    """
    return sum(cost.madds for cost in trace(net, input_size).counted)


def catalogue_madds(name: str) -> int | None:
    """Multiply-adds of one image of the network `name` at its own input size, as the catalogue has them.

    Those of a registered network are counted, on the meta device; None where it does not run there.
    Raises RequestError for an unknown name.
    """
    facts = known(name)
    if isinstance(facts, Entry):
        return facts.madds
    size = facts.input_size or USUAL_SIZE
    try:
        with torch.device("meta"):
            return madds(create(name, classes=facts.classes or 10, input_size=size), size)
    except Exception:  # the network's own code: it need not run on the meta device, nor at this size
        return None


def module_madds(module: nn.Module, shape: Sequence[int]) -> int:
    """The same for one call of any module, for an input of `shape` (channels, height, width)."""
    return sum(cost.madds for cost in trace_module(module, shape).counted)


def uncounted(net: Net, traced: Trace) -> list[Uncounted]:
    """The layers that hold parameters but have no rule, by kind, and the products outside of layers, by place."""
    layers = [
        module for module in net.modules() if any(True for _ in module.parameters(False)) and not has_rule(module)
    ]
    numbers = Counter(type(layer).__name__ for layer in layers)
    sizes: Counter[str] = Counter()
    for layer in layers:
        sizes[type(layer).__name__] += sum(parameter.numel() for parameter in layer.parameters(False))
    products = [Uncounted(f"{cost.what} in {cost.module or 'forward'}", 1, 0, cost.madds) for cost in traced.uncounted]
    return [Uncounted(kind, number, sizes[kind], 0) for kind, number in numbers.items()] + products


def describe(name: str) -> list[StageRow]:
    """The stages of the network `name` at the catalogue's input size, in order, the head last.

    Raises RequestError for an unknown name.
    """
    with torch.device("meta"):
        net = create(name)
    return stage_rows(net, entry(name).input_size)


def table_text(name: str) -> str:
    """The paper's table (or tables) from which the network `name` is made, as its file has it."""
    return textwrap.dedent(variant_of(name).table).strip("\n") + "\n"


def stage_rows(net: Net, input_size: Sequence[int], traced: Trace | None = None) -> list[StageRow]:
    """`describe` for a network at hand and any input size (height, width); `traced` where that is done already."""
    traced = traced or trace(net, input_size)
    outputs, kept = training_pass(net, input_size)
    counts = {stage: parameters(child) for stage, child in net.named_children()}
    costs: Counter[str] = Counter()
    for cost in traced.counted:
        costs[cost.module.partition(".")[0]] += cost.madds
    aside = [child for child in outputs if child not in traced.left]
    rows: list[StageRow] = []
    for stage in (*list(traced.left)[:-1], *aside, *list(traced.left)[-1:]):
        # Dropout and the like change neither shape nor cost, and would only lengthen the table.
        if rows and not (stage in (*net.stages, "head") or counts[stage] or costs[stage]):
            rows[-1] = rows[-1]._replace(kept=rows[-1].kept + kept[stage])
            continue
        step = traced.left.get(stage)
        shape, field = (step.output[1:], step.field) if step else (outputs[stage], None)
        size, gated = (field.size, field.gated) if field else (None, False)
        rows.append(StageRow(stage, shape, counts[stage], costs[stage], size, gated, kept[stage], step is None))
    return rows


def kept_bytes(net: Net, input_size: Sequence[int]) -> int:
    """Bytes that a training step keeps for each image between the passes forward and back, in float32.

    That is every tensor that torch saves for the gradients and that grows with the batch, each memory once: the inputs
    of convolutions and of normalisation, what activations and pooling need (places of maxima are 8 bytes each), masks
    of dropout, and the image itself. Not in it: weights, gradients, the optimizer's state, and what a layer needs only
    while it runs. Auxiliary heads are run, as training does.
    """
    return sum(training_pass(net, input_size)[1].values())


def training_pass(net: Net, input_size: Sequence[int]) -> tuple[dict[str, tuple[int, ...]], Counter[str]]:
    """For each child of the net, as training runs it: the shape that leaves it, and the bytes kept for one image.

    Bytes count where they are first saved; what the net does between two children belongs to the one before.
    """
    learning = meta_copy(net).train().requires_grad_()
    outputs: dict[str, tuple[int, ...]] = {}
    kept: Counter[str] = Counter()
    running = [next(name for name, _ in net.named_children())]
    known = {parameter.untyped_storage()._cdata for parameter in learning.parameters()}
    held: list[Tensor] = []  # else another tensor could take the place of one that is gone, and be thought the same

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known and storage.nbytes() % _BATCH == 0:
            kept[running[-1]] += storage.nbytes() // _BATCH
        known.add(storage._cdata)
        held.append(tensor)
        return tensor

    def enter(name: str) -> PreHook:
        return lambda module, inputs: running.append(name)

    images = torch.empty(_BATCH, net.in_channels, *input_size, device="meta")
    with forward_hooks() as (before, after), torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        for name, child in learning.named_children():
            before(child, enter(name))
            after(child, shape_into(outputs, name))
        getattr(learning, "forward_aux", learning)(images)
    return outputs, kept
