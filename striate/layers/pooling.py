"""Pooling with TensorFlow's SAME padding: an n x n map becomes ceil(n / stride), for every n."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.conv import same_padding


class SameMaxPool2d(nn.MaxPool2d):
    """The largest value of each window; padding is never it. Input [N, C, H, W], output [N, C, ceil(H/s), ceil(W/s)].

    See SameConv2d for how it differs from torch's padding.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.sides = (kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        largest: Tensor = super().forward(F.pad(x, _padding(x, *self.sides), value=float("-inf")))
        return largest


class SameAvgPool2d(nn.AvgPool2d):
    """The mean of each window's values, of which padding is none, as in TensorFlow; shapes as of SameMaxPool2d.

    With `count_border` padding counts as zeros, as in some ports.
    """

    def __init__(self, kernel: int, stride: int, *, count_border: bool = False) -> None:
        super().__init__(kernel, stride)
        self.sides = (kernel, stride)
        self.count_border = count_border

    def forward(self, x: Tensor) -> Tensor:
        padding = _padding(x, *self.sides)
        total = super().forward(F.pad(x, padding))
        if self.count_border:
            return total
        share = super().forward(F.pad(x.new_ones((1, 1, x.shape[-2], x.shape[-1])), padding))
        return total / share


def _padding(x: Tensor, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Pixels left, right, above and below."""
    (above, below), (left, right) = (same_padding(x.shape[axis], kernel, stride) for axis in (-2, -1))
    return left, right, above, below
