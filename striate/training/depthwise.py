"""Fast training of depthwise convolutions on a CPU: in float32, with weight gradients of large kernels in 3 x 3 parts.

Measured with torch 2.13 and oneDNN on processors with AMX: the weight gradient of a 5 x 5 depthwise convolution takes
10 to 70 times as long as that of a 3 x 3, and in bfloat16 the gradients of strided and of 5 x 5 ones take four times as
long again, because there is no fast kernel for them. Four 3 x 3 gradients on shifted inputs give the same numbers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.training.conv_forward import ConvForward, computed_by, is_plain

_FAST = 3  # the side of a kernel whose weight gradient is fast

Pair = tuple[int, int]


def fast_depthwise(net: nn.Module) -> AbstractContextManager[None]:
    """Within it, the depthwise convolutions of `net` are trained this way on a CPU; their outputs do not change.

    Those of at most 3 x 3 without a stride are fast already and are left unchanged. Under autocast to bfloat16 the
    others compute in float32.
    """
    return computed_by(net, _is_slow, _forward)


def _is_slow(conv: nn.Conv2d) -> bool:
    """Whether this is a depthwise convolution with a gradient that has no fast kernel."""
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    return depthwise and is_plain(conv) and (max(conv.kernel_size) > _FAST or max(conv.stride) > 1)


def _forward(conv: nn.Conv2d) -> ConvForward:
    stride, padding = cast(Pair, conv.stride), cast(Pair, conv.padding)
    slow = max(conv.kernel_size) > _FAST

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            x, weight = x.float(), weight.float()
            if not slow:
                return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))
            y = cast(Tensor, _Depthwise.apply(x, weight, stride, padding))  # type: ignore[no-untyped-call]
            return y if bias is None else y + bias.view(-1, 1, 1)

    return forward


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose weight gradient is assembled from parts of at most 3 x 3."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        to_input = to_weight = None
        if ctx.needs_input_grad[0]:
            to_input = _backward(gradient, x, weight, ctx.stride, ctx.padding, (True, False))[0]
        if ctx.needs_input_grad[1]:
            to_weight = _to_weight(gradient, x, weight, ctx.stride, ctx.padding)
        return to_input, to_weight, None, None


def _to_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The weight gradient: each part of the kernel is a small kernel on the input shifted to the part's start."""
    found = torch.empty_like(weight)
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    reach = [step * (side - 1) for step, side in zip(stride, gradient.shape[2:], strict=True)]
    rows, columns = (_parts(side) for side in weight.shape[2:])
    for top, height in rows:
        for left, width in columns:
            seen = padded[:, :, top : top + reach[0] + height, left : left + reach[1] + width]
            small = weight[:, :, top : top + height, left : left + width]
            part = _backward(gradient, seen, small, stride, (0, 0), (False, True))[1]
            found[:, :, top : top + height, left : left + width] = part
    return found


def _parts(side: int) -> list[Pair]:
    """(start, length) of parts that cover `side`, each 3 long if possible; the last may overlap the one before."""
    starts = sorted({min(start, max(0, side - _FAST)) for start in range(0, side, _FAST)})
    return [(start, min(_FAST, side)) for start in starts]


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    last = torch.channels_last
    found = torch.ops.aten.convolution_backward(
        gradient, x.contiguous(memory_format=last), weight.contiguous(memory_format=last),
        None, stride, padding, (1, 1), False, (0, 0), len(weight), (*wanted, False),
    )  # fmt: skip
    return cast(Tensor, found[0]), cast(Tensor, found[1])
