"""Another computation for some convolutions of a network, for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeGuard

from torch import Tensor, nn

ConvForward = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # images, weight, bias -> maps


@contextmanager
def computed_by(
    net: nn.Module, which: Callable[[nn.Conv2d], bool], forward: Callable[[nn.Conv2d], ConvForward]
) -> Iterator[None]:
    """Within it, the convolutions of `net` for which `which` is true are computed by `forward(convolution)`.

    Those that another such context has changed already keep its computation.
    """

    def is_chosen(module: nn.Module) -> TypeGuard[nn.Conv2d]:
        return isinstance(module, nn.Conv2d) and "_conv_forward" not in vars(module) and which(module)

    changed = [module for module in net.modules() if is_chosen(module)]
    try:
        for module in changed:
            vars(module)["_conv_forward"] = forward(module)
        yield
    finally:
        for module in changed:
            vars(module).pop("_conv_forward", None)


def is_plain(conv: nn.Conv2d) -> bool:
    """Whether it is on a CPU, pads with zeros by numbers, and has no dilation."""
    return (
        conv.weight.device.type == "cpu"
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.dilation == (1, 1)
    )
