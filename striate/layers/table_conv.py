"""A convolution with a table of connections between input and output maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TableConv2d(nn.Module):
    """A convolution whose input and output maps are linked by a grid: LeNet-5's C3 and the like.

    `grid` has a row for each input map and a column for each output map, as the paper prints it; True is a link.
    Only the links have weights: `weight` is [links, k, k], in the grid's reading order by output map, and `bias` is
    [out]. So the parameters are links * k * k + out, exactly. Input [N, in, H, W], output [N, out, H-k+1, W-k+1].
    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B and Table I.
    """

    position: Tensor

    def __init__(self, grid: Sequence[Sequence[bool]], kernel: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = len(grid), len(grid[0])
        self.kernel = kernel
        linked = [row[output] for output in range(self.out_channels) for row in grid]
        self.links = sum(linked)
        # The index of each position's weight in the dense kernel; positions without a link share the zeros after the
        # last.
        numbers = iter(range(self.links))
        position = torch.tensor([next(numbers) if link else self.links for link in linked])
        self.register_buffer("position", position, persistent=False)
        self.fan_in = [sum(row[output] for row in grid) * kernel * kernel for output in range(self.out_channels)]
        self.weight = nn.Parameter(torch.empty(self.links, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.draw_uniform([fan_in**-0.5 for fan_in in self.fan_in])

    @torch.no_grad()
    def draw_uniform(self, bounds: Sequence[float]) -> None:
        """Draw each output map's weights and bias uniformly from +- its bound."""
        area = self.kernel * self.kernel
        by_link = [bound for bound, fan_in in zip(bounds, self.fan_in, strict=True) for _ in range(fan_in // area)]
        self.weight.uniform_(-1, 1).mul_(self.weight.new_tensor(by_link).view(-1, 1, 1))
        self.bias.uniform_(-1, 1).mul_(self.bias.new_tensor(bounds))

    def dense_weight(self) -> Tensor:
        """The kernel [out, in, k, k] of the ordinary convolution that does the same: zeros where there is no link."""
        with_zeros = F.pad(self.weight, (0, 0, 0, 0, 0, 1))
        shape = (self.out_channels, self.in_channels, self.kernel, self.kernel)
        return with_zeros.index_select(0, self.position).view(shape)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.dense_weight(), self.bias)

    def multiply_adds(self, output: Tensor) -> int:
        """Multiply-adds an image costs: the links only, since the paper computes nothing else."""
        return self.links * self.kernel * self.kernel * output.shape[-2] * output.shape[-1]

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel={self.kernel}, links={self.links}"
