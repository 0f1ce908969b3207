"""What a network costs, counted and not estimated; and its paper's table, printed back."""

from __future__ import annotations

import contextlib
import copy
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from striate.nets.base import Net
from striate.nets.build import create, net_class
from striate.nets.catalog import entry


class StageRow(NamedTuple):
    """One line of a network's description: `output` is the shape of what leaves it, without the batch.

    An auxiliary head, which only training runs, has parameters and no output, and costs an image nothing.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    madds: int


def parameters(net: nn.Module) -> int:
    """How many numbers are trained; one that is used twice counts once, and buffers do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


def madds(net: Net, input_size: Sequence[int]) -> int:
    """Multiply-adds of one image of `input_size` (height, width).

    Counted: convolutions, linear layers, and layers that count themselves with `multiply_adds`. Not counted, as in the
    papers: biases, normalisation, activations, pooling, sums. Nothing is computed and no weight is copied.
    Raises RequestError for an image that is too small.
    """
    return sum(row.madds for row in stage_rows(net, input_size))


def describe(name: str) -> list[StageRow]:
    """The stages of the network `name` at the catalogue's input size, in order, the head last.

    Raises RequestError for an unknown name.
    """
    with torch.device("meta"):
        net = create(name)
    return stage_rows(net, entry(name).input_size)


def table_text(name: str) -> str:
    """The paper's table from which the network `name` is made, as its file has it."""
    return textwrap.dedent(net_class(name).table).strip("\n") + "\n"


def stage_rows(net: Net, input_size: Sequence[int]) -> list[StageRow]:
    """`describe` for a network at hand and any input size (height, width)."""
    shadow = _shadow(net)
    shapes: dict[str, tuple[int, ...]] = {}
    costs: dict[str, int] = {}
    with _hooks() as hook:
        for stage, child in shadow.named_children():
            hook(child, _note_shape(shapes, stage))
            for module in child.modules():
                hook(module, _add_cost(costs, stage))
        shadow(torch.empty(1, net.in_channels, *input_size, device="meta"))
    counts = {stage: parameters(child) for stage, child in shadow.named_children()}
    # Dropout and the like change neither shape nor cost, and would only lengthen the table.
    told = [stage for stage in shapes if stage in (*net.stages, "head") or counts[stage] or costs.get(stage)]
    idle = [stage for stage in counts if counts[stage] and stage not in shapes]
    return [
        StageRow(stage, shapes.get(stage, ()), counts[stage], costs.get(stage, 0))
        for stage in (*told[:-1], *idle, told[-1])
    ]


def module_madds(module: nn.Module, shape: Sequence[int]) -> int:
    """The same for one call of any module on the meta device, for an input of `shape` (channels, height, width)."""
    costs: dict[str, int] = {}
    with _hooks() as hook:
        for part in module.modules():
            hook(part, _add_cost(costs, "all"))
        module(torch.empty(1, *shape, device="meta"))
    return costs["all"]


def _shadow(net: Net) -> Net:
    """A copy in evaluation mode whose tensors are on the meta device: they have a shape and hold nothing."""
    memo: dict[int, object] = {}
    for parameter in net.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in net.buffers():
        memo[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(net, memo).eval()


Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]


@contextlib.contextmanager
def _hooks() -> Iterator[Callable[[nn.Module, Hook], None]]:
    """Gives a function that puts a forward hook on a module; all are taken off at the end, also after an error."""
    handles: list[RemovableHandle] = []
    try:
        yield lambda module, hook: handles.append(module.register_forward_hook(hook))
    finally:
        for handle in handles:
            handle.remove()


def _note_shape(shapes: dict[str, tuple[int, ...]], stage: str) -> Hook:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[stage] = tuple(output.shape[1:])

    return hook


def _add_cost(costs: dict[str, int], stage: str) -> Hook:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        costs[stage] = costs.get(stage, 0) + _cost(module, output)

    return hook


def _cost(module: nn.Module, output: Tensor) -> int:
    """Multiply-adds of one call, from the shape of what came out of it (one image)."""
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        return output.numel() * (module.in_channels // module.groups) * height * width
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    counted = getattr(module, "multiply_adds", None)
    return int(counted(output)) if counted is not None else 0
