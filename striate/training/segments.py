"""Gradient checkpointing of a whole network: its chains in segments, so that memory grows with the root of the
depth."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from striate.layers.checkpointing import checkpointed


@contextmanager
def in_segments(net: nn.Module) -> Iterator[None]:
    """Within it, every outermost chain of `net` is checkpointed in segments; backward may run afterwards.

    A chain is an `nn.Sequential` with its original forward: not a subclass that overrides it, such as a dense block.

    Of n links in total, a segment has about sqrt(n): stored are the sqrt(n) activations between segments and, while a
    segment is recomputed, its own sqrt(n). Source: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174, section 4.
    """
    chains = list(_outermost(net))
    length = max(1, math.isqrt(sum(len(chain) for chain in chains)))
    try:
        for chain in chains:
            chain.forward = _segmented(chain, length)  # type: ignore[method-assign]  # only this instance's
        yield
    finally:
        for chain in chains:
            vars(chain).pop("forward", None)


def plain_copy(net: nn.Module) -> nn.Module:
    """An independent deep copy: the forwards that `in_segments` sets on `net` would run the layers of `net` itself."""
    copied = copy.deepcopy(net)
    for module in copied.modules():
        vars(module).pop("forward", None)
    return copied


def _outermost(module: nn.Module) -> Iterator[nn.Sequential]:
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        yield module
        return
    for child in module.children():
        yield from _outermost(child)


def _segmented(chain: nn.Sequential, length: int) -> Callable[[Tensor], Tensor]:
    links = list(chain)
    parts = [nn.Sequential(*links[start : start + length]) for start in range(0, len(links), length)]

    def forward(x: Tensor) -> Tensor:
        for part in parts:
            x = checkpointed(part, x)
        return x

    return forward
