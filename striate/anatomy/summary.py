"""Parameters, multiply-adds, receptive fields and activation memory of a network, counted exactly; and its table."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.anatomy.trace import Trace, has_rule, trace, trace_module
from striate.nets.base import Network, Variant
from striate.nets.build import create, variant_of
from striate.nets.catalog import USUAL_SIZE, Entry, entry, known
from striate.nets.kinds import SelfOrganising
from striate.nets.shapes import PreHook, forward_hooks, meta_copy, shape_into

# Batch size of the pass that measures activation memory. A prime larger than any number of channels or classes: it
# divides the size of every tensor that grows with the batch, and of no other. On the meta device it costs nothing.
_BATCH = 1_000_003


class StageRow(NamedTuple):
    """One line of a network's summary.

    output            the output's shape, without the batch
    parameters        trainable parameters
    madds             multiply-adds of one image
    receptive_field   height and width, in pixels, of one output position's receptive field; None: the whole image
    gated             a gate, such as squeeze-and-excitation, sees the whole image as well
    activation_bytes  activation memory of one image in a training step, see `activation_memory`
    training_only     an auxiliary head: not run in inference, where it costs nothing
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    madds: int
    receptive_field: tuple[int, int] | None
    gated: bool
    activation_bytes: int
    training_only: bool


class Uncounted(NamedTuple):
    """What the multiply-adds do not include: layers of one kind that have parameters, or products outside of any layer.

    `madds` is known for products only, and 0 for layers; `parameters` of layers only.
    """

    kind: str
    number: int
    parameters: int
    madds: int


def parameters(net: nn.Module) -> int:
    """The number of parameters; a shared one counts once, and buffers do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


def madds(net: Network, input_size: Sequence[int]) -> int:
    """Multiply-adds of one image of `input_size` (height, width).

    Counted: convolutions, linear layers, and layers that count themselves with `multiply_adds`. Not counted, as in the
    papers: biases, normalisation, activations, pooling, sums; `uncounted` lists what is left out and could matter.
    Runs on the meta device: nothing is computed and no weight is copied. Raises RequestError for an image that is too
    small.
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


def uncounted(net: Network, traced: Trace) -> list[Uncounted]:
    """The layers with parameters but without a rule, by kind, and the products outside of layers, by module."""
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
    """The rows of the network `name` at the catalogue's input size, in order, the head last.

    Raises RequestError for an unknown name.
    """
    with torch.device("meta"):
        net = create(name)
    return stage_rows(net, entry(name).input_size)


def table_text(name: str) -> str:
    """The paper's table (or tables) from which the network `name` is made, as its file has it."""
    return _dedented(variant_of(name).table)


def table_of(net: Network, variant: Variant) -> str:
    """The same for a network that was made of `variant`: a searched network has a table of its own."""
    return _dedented(f"{net.table}{variant.then_table}")


def _dedented(text: str) -> str:
    return textwrap.dedent(text).strip("\n") + "\n"


def stage_rows(net: Network, input_size: Sequence[int], traced: Trace | None = None) -> list[StageRow]:
    """`describe` for a given network and any input size (height, width); `traced`: its trace, where there is one."""
    traced = traced or trace(net, input_size)
    outputs, stored = training_pass(net, input_size)
    counts = _counts(net)
    costs: Counter[str] = Counter()
    for cost in traced.counted:
        costs[cost.module.partition(".")[0]] += cost.madds
    aside = [child for child in outputs if child not in traced.left]
    rows: list[StageRow] = []
    for stage in (*list(traced.left)[:-1], *aside, *list(traced.left)[-1:]):
        # Dropout and the like change neither shape nor cost, and would only lengthen the table.
        if rows and not (stage in (*net.stages, "head") or counts[stage] or costs[stage]):
            rows[-1] = rows[-1]._replace(activation_bytes=rows[-1].activation_bytes + stored[stage])
            continue
        step = traced.left.get(stage)
        shape, field = (step.output[1:], step.field) if step else (outputs[stage], None)
        size, gated = (field.size, field.gated) if field else (None, False)
        rows.append(StageRow(stage, shape, counts[stage], costs[stage], size, gated, stored[stage], step is None))
    return rows


def _counts(net: nn.Module) -> dict[str, int]:
    """The parameters of each child; one that several share counts for the first."""
    counts: dict[str, int] = {}
    seen: set[nn.Parameter] = set()
    for name, child in net.named_children():
        own = set(child.parameters()) - seen
        counts[name] = sum(parameter.numel() for parameter in own)
        seen |= own
    return counts


def activation_memory(net: Network, input_size: Sequence[int]) -> int:
    """Activation memory of one image in a training step, in bytes of float32.

    Counted is every tensor that autograd saves between forward and backward and that grows with the batch, each storage
    once: the inputs of convolutions and of normalisation, what activations and pooling need (indices of maxima are 8
    bytes each), masks of dropout, and the image itself. Not counted: weights, gradients, the optimizer's state, and
    what a layer needs only while it runs. Auxiliary heads are run, as in training.
    """
    return sum(training_pass(net, input_size)[1].values())


def training_pass(net: Network, input_size: Sequence[int]) -> tuple[dict[str, tuple[int, ...]], Counter[str]]:
    """For each child of the net, as training runs it: its output's shape, and the activation bytes of one image.

    Bytes count where they are first saved; what the net does between two children belongs to the one before.
    """
    training = meta_copy(net).train()
    if not isinstance(training, SelfOrganising):  # it saves nothing for a backward pass, having none
        training.requires_grad_()
    for module in training.modules():
        if keep := getattr(module, "keep_all", None):  # it leaves out parts at random: the most is wanted
            keep()
    outputs: dict[str, tuple[int, ...]] = {}
    stored: Counter[str] = Counter()
    running = [next(name for name, _ in net.named_children())]
    known = {parameter.untyped_storage()._cdata for parameter in training.parameters()}
    held: list[Tensor] = []  # else a new tensor could reuse the address of a freed one

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known and storage.nbytes() % _BATCH == 0:
            stored[running[-1]] += storage.nbytes() // _BATCH
        known.add(storage._cdata)
        held.append(tensor)
        return tensor

    def enter(name: str) -> PreHook:
        return lambda module, inputs: running.append(name)

    with forward_hooks() as (before, after), torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        for name, child in training.named_children():
            before(child, enter(name))
            after(child, shape_into(outputs, name))
        getattr(training, "forward_aux", training)(training.example(_BATCH, input_size))
    return outputs, stored
