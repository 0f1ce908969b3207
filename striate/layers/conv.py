"""Basic blocks: convolution and activation until 2015; with normalisation in between in most networks since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: an n x n map becomes ceil(n / stride), for every n.

    The padding a stride needs depends on the map's size and may be odd; the odd pixel then goes to the right and the
    bottom. Torch's own padding is fixed and symmetric, so with stride 2 the windows are shifted: weights trained in
    TensorFlow lose accuracy under it. Input [N, in, H, W], output [N, out, ceil(H/s), ceil(W/s)].
    Source: the definition of `padding="SAME"` in TensorFlow's documentation of tf.nn.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        rows, columns = _sides(kernel)
        if min(rows, columns) < stride:
            raise RequestError(f"SAME padding needs a kernel of at least the stride, not {kernel} with stride {stride}")
        # At stride 1 the padding does not depend on the size; an odd kernel then needs no separate padding step.
        self.fixed = stride == 1 and rows % 2 == columns % 2 == 1
        padding = (rows // 2, columns // 2) if self.fixed else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if not self.fixed:
            rows, columns = (self._padding(x.shape[axis], axis) for axis in (-2, -1))
            x = F.pad(x, (*columns, *rows))
        return super().forward(x)

    def _padding(self, size: int, axis: int) -> tuple[int, int]:
        return same_padding(size, self.kernel_size[axis], self.stride[axis])


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, along an axis, with TensorFlow's SAME padding; the kernel is no smaller than the stride.

    Arithmetic without branches, so that a traced graph is valid for every size.
    """
    total = kernel - 1 - (size - 1) % stride
    return total // 2, total - total // 2


class ConvNormAct(nn.Sequential):
    """Convolution without bias, normalisation, activation; its parts are `conv`, `norm` and `act`.

    `kernel` is one side of a square, or (height, width). `padding` is "half" (kernel // 2 on every side, as Caffe and
    Torch do), "same" (TensorFlow's, see SameConv2d) or "valid" (none).
    `norm` makes the normalisation from a number of channels; `act` makes the activation, None omits it.
    Input [N, in, H, W], output [N, out, H', W'].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Literal["half", "same", "valid"] = "half",
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        act: Callable[[], nn.Module] | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv: nn.Conv2d
        if padding == "same":
            self.conv = SameConv2d(in_channels, out_channels, kernel, stride=stride, groups=groups, bias=False)
        else:
            rows, columns = _sides(kernel)
            around = (rows // 2, columns // 2) if padding == "half" else 0
            self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, around, groups=groups, bias=False)
        self.norm = norm(out_channels)
        if act is not None:
            self.act = act()


class ConvAct(nn.Sequential):
    """Convolution with bias, then ReLU: the block used before batch normalisation; its parts are `conv` and `act`.

    `padding` is pixels on every side, None for half of the kernel. `norm` makes a normalisation from a
    number of channels, which is inserted in between as `norm`; the bias remains, as in the published nets.
    Input [N, in, H, W], output [N, out, H', W'].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2 if padding is None else padding)
        if norm is not None:
            self.norm = norm(out_channels)
        self.act = nn.ReLU()


def _sides(kernel: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (kernel, kernel) if isinstance(kernel, int) else kernel
