"""Maxout: the largest of several linear pieces, in place of an activation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import RequestError


class Maxout(nn.Module):
    """The maximum over groups of `pieces` adjacent channels: [N, units * pieces, ...] -> [N, units, ...].

    After a linear layer, a unit is the maximum of `pieces` linear functions, each with weights and a bias of its own:
    piecewise linear and convex. With two pieces, (w, 0) is ReLU and (w, -w) the absolute value. The gradient flows to
    the largest piece only; training and evaluation are the same.
    Raises RequestError for fewer than one piece.
    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, arXiv:1302.4389, section 3.
    """

    def __init__(self, pieces: int) -> None:
        if pieces < 1:
            raise RequestError(f"a maxout unit needs one piece at least, not {pieces}")
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        # Not amax, which would divide the gradient among equal pieces.
        return torch.unflatten(x, 1, (-1, self.pieces)).max(2).values

    def extra_repr(self) -> str:
        return f"{self.pieces}"


class MaxoutConv2d(nn.Sequential):
    """A convolution of `units * pieces` channels, and the maximum over the pieces at each position.

    Its parts are `conv`, `bias` if `positions` is given, and `maxout`. positions: height and width of the output map,
    for a bias of each channel at each position; None: a bias of each channel.
    Input [N, in_channels, H, W], output [N, units, h, w]. Source: the same, section 3, and the authors' code for it.
    """

    def __init__(
        self,
        in_channels: int,
        units: int,
        kernel: int | tuple[int, int],
        *,
        pieces: int,
        padding: int = 0,
        positions: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, units * pieces, kernel, padding=padding, bias=positions is None)
        if positions is not None:
            self.bias = PositionBias(units * pieces, positions)
        self.maxout = Maxout(pieces)


class PositionBias(nn.Module):
    """A bias for each channel at each position, zero at first: input and output [N, channels, height, width]."""

    def __init__(self, channels: int, positions: tuple[int, int]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, *positions))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias
