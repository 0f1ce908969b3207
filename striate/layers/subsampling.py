"""Trainable subsampling: pooling as it was in 1998."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Subsampling(nn.Module):
    """The sum over each k x k window, times a coefficient, plus a bias; both are trained, one pair for each map.

    Windows do not overlap. `weight` and `bias` are [channels]. Input [N, C, H, W], output [N, C, H // k, W // k].
    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B, layer S2.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        # A coefficient of 1 / k^2 and no bias: at first, plain average pooling.
        self.weight = nn.Parameter(torch.full((channels,), 1 / kernel**2))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, self.kernel) * self.kernel**2
        return total * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, kernel={self.kernel}"
