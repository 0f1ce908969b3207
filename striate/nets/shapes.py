"""Shapes without values: the sizes of maps, a copy of a module on the meta device, and its parts' output shapes."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from striate.layers.modes import in_evaluation
from striate.nets.base import Net

AnyModule = TypeVar("AnyModule", bound=nn.Module)
PreHook = Callable[[nn.Module, tuple[Tensor, ...]], None]
Output = Tensor | tuple[Tensor, ...]
Hook = Callable[[nn.Module, tuple[Tensor, ...], Output], None]


def window_places(
    size: tuple[int, int], kernel: tuple[int, int], stride: int = 1, padding: int = 0, *, ceil: bool = False
) -> tuple[int, int]:
    """Height and width of the map that a convolution or a pooling gives; `ceil`: the size is rounded up, as Caffe's."""
    rounded = math.ceil if ceil else math.floor
    height, width = (rounded((n + 2 * padding - k) / stride) + 1 for n, k in zip(size, kernel, strict=True))
    return height, width


def meta_copy(module: AnyModule) -> AnyModule:
    """A copy whose tensors are on the meta device: they have a shape but no values and need no memory."""
    memo: dict[int, object] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(module, memo)


@contextlib.contextmanager
def without_values(module: AnyModule) -> Iterator[AnyModule]:
    """The module in evaluation mode on the meta device: itself, where all its tensors are there, else a copy."""
    if all(tensor.is_meta for tensor in itertools.chain(module.parameters(), module.buffers())):
        with in_evaluation(module):  # a copy of a large network takes longer than to run it
            yield module
    else:
        yield meta_copy(module).eval()


@contextlib.contextmanager
def forward_hooks() -> Iterator[tuple[Callable[[nn.Module, PreHook], None], Callable[[nn.Module, Hook], None]]]:
    """Yields two functions, which register a forward pre-hook and a forward hook on a module.

    All of them are removed when the context ends, also after an error.
    """
    handles: list[RemovableHandle] = []
    try:
        yield (
            lambda module, hook: handles.append(module.register_forward_pre_hook(hook)),
            lambda module, hook: handles.append(module.register_forward_hook(hook)),
        )
    finally:
        for handle in handles:
            handle.remove()


def output_shapes(net: Net, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The output shape, without the batch, of each of the modules `names` for the smallest image that `net` takes.

    Names are dotted, as in `named_modules`; modules that `features` does not run are left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    with without_values(net) as still, forward_hooks() as (_, after):
        for name in names:
            after(still.get_submodule(name), shape_into(shapes, name))
        height, width = net.input_size or (net.minimum_size, net.minimum_size)
        still.features(torch.empty(1, net.in_channels, height, width, device="meta"))
    return shapes


def shape_into(shapes: dict[str, tuple[int, ...]], name: str) -> Hook:
    """A forward hook that writes its module's output shape, without the batch, into `shapes[name]`."""
    return lambda module, inputs, output: shapes.update({name: tuple(first_of(output).shape[1:])})


def first_of(output: Output) -> Tensor:
    """What a module computes: of several tensors the first, the others are what it hands on, such as places."""
    return output if isinstance(output, Tensor) else output[0]
