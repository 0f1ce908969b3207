"""Convolutions as linear maps: two in a row are one, and what a factorised kernel costs.

Source: Szegedy et al. 2015, arXiv:1512.00567, section 3; Howard et al. 2017, arXiv:1704.04861, section 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError


def merged(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """The one convolution that equals `second` after `first`, without an activation between them.

    Exactly where nothing is padded, for any strides. Of padded ones it is that of the same kernels without padding:
    what they give differs at the border, where `second` sees zeros and not the values of `first`.
    Raises RequestError for groups or dilation, and channels that do not fit.
    """
    for layer in (first, second):
        if layer.groups != 1 or layer.dilation != (1, 1):
            raise RequestError("convolutions are merged without groups and dilation")
    if first.out_channels != second.in_channels:
        raise RequestError(f"{first.out_channels} channels go into a convolution of {second.in_channels}")
    weight = _composed(first.weight.detach(), second.weight.detach(), first.stride)  # type: ignore[arg-type]
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    kernel = (weight.shape[2], weight.shape[3])
    made = nn.Conv2d(first.in_channels, second.out_channels, kernel, stride, dtype=weight.dtype)
    bias = torch.zeros(second.out_channels, dtype=weight.dtype) if second.bias is None else second.bias.detach().clone()
    if first.bias is not None:
        bias = bias + second.weight.detach().sum((2, 3)) @ first.bias.detach()
    with torch.no_grad():
        made.weight.copy_(weight)
        if made.bias is not None:
            made.bias.copy_(bias)
    return made


def _composed(first: Tensor, second: Tensor, stride: tuple[int, int]) -> Tensor:
    """The kernel: each weight of `second` puts a copy of `first` at its place, a stride of `first` apart."""
    # A transposed convolution adds exactly these copies.
    return F.conv_transpose2d(second, first, stride=stride)


class KernelCost(NamedTuple):
    """A layer of one or more convolutions, from `channels` to `channels`. field: the side of what it sees.

    weights: parameters without biases. share: of the one square kernel's. activations: non-linearities it has room for.
    """

    form: str
    field: int
    weights: int
    share: float
    activations: int


def kernel_costs(kernel: int, channels: int = 1, out_channels: int | None = None) -> list[KernelCost]:
    """A square kernel beside what can take its place: 3x3s in a stack, 1xN and Nx1, depthwise separable.

    kernel: its side, odd. channels: of the map, the same before and after, unless `out_channels` are given. With one
    channel the weights are those of the kernel alone. Of a stack there are two rows, where its usual number of layers
    sees less: 11x11 becomes four 3x3 by a rule that counts weights, and needs five to see as much.
    Raises RequestError for an even kernel or one below 3.
    """
    if kernel < 3 or kernel % 2 == 0:
        raise RequestError(f"kernel must be odd and at least 3, not {kernel}")
    out = channels if out_channels is None else out_channels
    whole = kernel**2 * channels * out

    def row(form: str, field: int, weights: int, activations: int) -> KernelCost:
        return KernelCost(form, field, weights, weights / whole, activations)

    rows = [row(f"{kernel}x{kernel}", kernel, whole, 1)]
    needed = (kernel - 1) // 2
    for layers in sorted({needed - 1, needed} if kernel >= 11 else {needed}):
        if layers > 1:
            stack = 9 * channels * out + (layers - 1) * 9 * out**2
            rows.append(row(f"{layers} x 3x3", 1 + 2 * layers, stack, layers))
    rows.append(row(f"1x{kernel} and {kernel}x1", kernel, kernel * channels * out + kernel * out**2, 2))
    rows.append(row(f"{kernel}x{kernel} depthwise and 1x1", kernel, kernel**2 * channels + channels * out, 2))
    return rows
