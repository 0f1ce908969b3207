"""Fast training of convolutions whose output maps are small, on a CPU: as one matrix product of the images' patches.

Measured with torch 2.13: where a map has few places and the kernel many weights, as in the last stages of ResNet-18 at
64 pixels, oneDNN's gradients take up to 20 times as long as the matrix product of the same numbers.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.training.conv_forward import ConvForward, computed_by, is_plain

# Input times output channels, for each place of the output map, from which on the matrix product is faster: in float32,
# in bfloat16, and in bfloat16 on a processor with AMX. Measured for 1 x 1 and 3 x 3 kernels, 16 to 128 images, maps of
# 1 x 1 to 14 x 14, with oneDNN restricted to AVX2, AVX-512, AVX-512 with bfloat16, and AMX.
_FLOAT32, _BFLOAT16, _AMX = 16384, 32768, 4096
_PLACES = 16  # in a larger map without a stride, the patches are too large a copy

Pair = tuple[int, int]


def fast_small_maps(net: nn.Module) -> AbstractContextManager[None]:
    """Within it, convolutions of `net` are computed this way on a CPU wherever their maps are small; else as before.

    The choice is by shape and data type, not by time, so that a run is repeated exactly. Outputs and gradients differ
    from oneDNN's by rounding.
    """
    return computed_by(net, _may_be_slow, _forward)


def _may_be_slow(conv: nn.Conv2d) -> bool:
    """Whether it has enough weights for the smallest map."""
    weights = conv.in_channels * conv.out_channels
    return conv.groups == 1 and weights >= _AMX and max(conv.kernel_size) <= 3 and is_plain(conv)


def _forward(conv: nn.Conv2d) -> ConvForward:
    stride, padding = cast(Pair, conv.stride), cast(Pair, conv.padding)

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if not _is_slow(x, weight, dtype, stride, padding):
            return F.conv2d(x, weight, bias, stride, padding)
        x, weight = x.to(dtype), weight.to(dtype)
        with torch.autocast("cpu", enabled=False):
            y = cast(Tensor, _PatchProduct.apply(x, weight, stride, padding))  # type: ignore[no-untyped-call]
            return y if bias is None else y + bias.to(dtype).view(-1, 1, 1)

    return forward


def _is_slow(x: Tensor, weight: Tensor, dtype: torch.dtype, stride: Pair, padding: Pair) -> bool:
    if x.ndim != 4 or dtype not in (torch.float32, torch.bfloat16):
        return False
    height, width = _output_size(x.shape, weight.shape, stride, padding)
    places = height * width
    if places > _PLACES and max(stride) == 1:
        return False
    least = _FLOAT32 if dtype == torch.float32 else _AMX if _has_amx() else _BFLOAT16
    return weight.shape[0] * weight.shape[1] >= least * places > 0


@functools.cache
def _has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in AMX's tiles, at several times the speed of vectors."""
    return hasattr(torch.cpu, "get_capabilities") and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def _output_size(x: torch.Size, weight: torch.Size, stride: Pair, padding: Pair) -> Pair:
    height, width = ((x[i + 2] + 2 * padding[i] - weight[i + 2]) // stride[i] + 1 for i in range(2))
    return height, width


class _PatchProduct(torch.autograd.Function):
    """A convolution as the product of patches [N H W, kh kw C] and weights [kh kw C, K]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return _convolved(x, weight, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        to_input = to_weight = None
        if ctx.needs_input_grad[0]:
            to_input = _to_input(gradient, x, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            kernel = cast(Pair, tuple(weight.shape[2:]))
            product = _rows(gradient).t() @ _patches(x, kernel, ctx.stride, ctx.padding)
            to_weight = product.view(len(weight), *kernel, x.shape[1]).permute(0, 3, 1, 2)
        return to_input, to_weight, None, None


def _convolved(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """[N, C, H, W] -> [N, K, H, W]."""
    places = _output_size(x.shape, weight.shape, stride, padding)
    kernel = cast(Pair, tuple(weight.shape[2:]))
    product = _patches(x, kernel, stride, padding) @ weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    return product.view(len(x), *places, len(weight)).permute(0, 3, 1, 2)


def _patches(x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """What each place of the output sees: [N, C, H, W] -> [N * places, kh * kw * C]."""
    height, width = _output_size(x.shape, torch.Size((0, 0, *kernel)), stride, padding)
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0])).contiguous()
    images, rows, columns, channels = padded.stride()
    strides = (images, rows * stride[0], columns * stride[1], rows, columns, channels)
    seen = padded.as_strided((len(x), height, width, *kernel, x.shape[1]), strides)
    return seen.reshape(len(x) * height * width, -1)


def _rows(maps: Tensor) -> Tensor:
    """[N, K, H, W] -> [N * H * W, K]."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _to_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of the input: a convolution with the turned kernel; with a stride, a sum in float32."""
    (top, left), (kernel_height, kernel_width) = padding, weight.shape[2:]
    if stride == (1, 1) and top < kernel_height and left < kernel_width:
        turned = weight.flip(2, 3).transpose(0, 1)
        return _convolved(gradient, turned, stride, (kernel_height - 1 - top, kernel_width - 1 - left))
    (count, channels, height, width), places = x.shape, gradient.shape[2:]
    sent = _rows(gradient) @ weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
    sent = sent.view(count, *places, kernel_height, kernel_width, channels)
    found = x.new_zeros((count, height + 2 * top, width + 2 * left, channels), dtype=torch.float32)
    for row in range(kernel_height):
        for column in range(kernel_width):
            reached = found[:, row :: stride[0], column :: stride[1]][:, : places[0], : places[1]]
            reached += sent[:, :, :, row, column]
    return found[:, top : top + height, left : left + width].to(x.dtype).permute(0, 3, 1, 2)
