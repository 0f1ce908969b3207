"""Neocognitron: A Self-organizing Neural Network Model for a Mechanism of Pattern Recognition Unaffected by Shift in
Position.

Kunihiko Fukushima. Biological Cybernetics 36, 1980; sections 2, 3 and 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets.base import Variant
from striate.nets.kinds import SelfOrganising
from striate.tables import table

# Section 5. S-cells see `kernel` x `kernel` positions of every plane below, C-cells of their own plane only. `padding`
# is of zeros, before and after. r is how selective a cell is, q how much it learns at once; of each of the overlapping
# columns, `column` x `column` positions of all planes, the strongest cell may learn. U0, the image, is 16 x 16.
NEOCOGNITRON = """
    layer  planes  size  kernel  stride  padding  r    q     column
    US1    24      16    5       1       2,2      4.0  1.0   5
    UC1    24      10    5       2       3,4      -    -     -
    US2    24      8     5       1       1,1      1.5  16.0  5
    UC2    24      6     5       2       3,4      -    -     -
    US3    24      2     5       1       0,0      1.5  16.0  2
    UC3    24      1     2       1       0,0      -    -     -
"""


class Around(NamedTuple):
    """Zeros before and after the map on both axes, printed `3,4`."""

    before: int
    after: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        before, after = text.split(",")
        return cls(int(before), int(after))

    def pad(self, x: Tensor) -> Tensor:
        """The maps with these zeros around them."""
        return F.pad(x, (self.before, self.after) * 2)


class Row(NamedTuple):
    layer: str
    planes: int
    size: int
    kernel: int
    stride: int
    padding: Around
    r: float | None
    q: float | None
    column: int | None


ROWS = table(Row, NEOCOGNITRON)
ALPHA = 0.5  # of C-cells
# The paper prints no numbers for these three.
FALL_C = 0.8  # how the weights of V-cells fall with the distance
FALL_D = 0.9  # and those of C-cells
START = 0.3  # the size of the first weights of S-cells


def falling(kernel: int, base: float) -> Tensor:
    """Weights [kernel, kernel] that fall with the distance from the middle: base ** distance."""
    across = torch.arange(float(kernel)) - (kernel - 1) / 2
    return base ** torch.hypot(across[:, None], across)


def first_weights(planes: int, below: int, kernel: int, *, lowest: bool) -> Tensor:
    """The initial weights a [planes, below, kernel, kernel]: small, positive, and none of them random.

    Each plane prefers a direction, weakly. Above the lowest layer it also prefers planes whose direction differs.
    """
    across = torch.arange(kernel) - (kernel - 1) / 2
    angle = torch.atan2(across[:, None].expand(kernel, kernel), across.expand(kernel, kernel))
    plane = torch.arange(planes)[:, None, None, None] / planes
    prefers = (1 + torch.cos(2 * (angle - math.pi * plane))) / 2
    prefers[..., kernel // 2, kernel // 2] = 1
    apart = torch.arange(below)[:, None, None] / below
    shares = torch.ones(planes, below, 1, 1) if lowest else ((apart - plane).abs() - 0.5).abs()
    weights = falling(kernel, FALL_C)
    return START / below * weights / weights.sum() * prefers * shares


class SLayer(nn.Module):
    """S-cells: each responds to a feature, the weights of its plane, and is inhibited by a V-cell, which sees how much
    there is at all. [N, below, h, w] -> [N, planes, h', w'].

    u = r phi((1 + sum a u_C) / (1 + 2r / (1 + r) b v) - 1), where phi is ReLU and v, one for all planes, the root of
    the weighted mean of squares of u_C. a [planes, below, k, k] and b [planes] are learned, c [1, below, k, k] is not.
    Source: equations 1 to 3.
    """

    def __init__(self, row: Row, planes: int, below: int, *, lowest: bool) -> None:
        super().__init__()
        assert row.r is not None and row.q is not None and row.column is not None
        self.r, self.q, self.column, self.padding, self.kernel = row.r, row.q, row.column, row.padding, row.kernel
        first = first_weights(planes, below, row.kernel, lowest=lowest)
        self.a = nn.Parameter(first, requires_grad=False)
        self.b = nn.Parameter(torch.zeros(planes), requires_grad=False)
        weights = falling(row.kernel, FALL_C)
        share = (weights / weights.sum() / below).expand(1, below, -1, -1)
        self.register_buffer("c", share.clone(), persistent=False)

    c: Tensor

    def forward(self, x: Tensor) -> Tensor:
        excited = F.conv2d(self.padding.pad(x), self.a)
        inhibited = 2 * self.r / (1 + self.r) * self.b[:, None, None] * self.inhibition(x)
        return self.r * ((1 + excited) / (1 + inhibited) - 1).relu()

    def inhibition(self, x: Tensor) -> Tensor:
        """The V-cells [N, 1, h', w']: not a mean but its root of squares, so that a sharp feature inhibits more."""
        return F.conv2d(self.padding.pad(x.square()), self.c).sqrt()

    def representatives(self, x: Tensor) -> list[tuple[int, int, int]]:
        """The plane, row and column of each S-cell that learns from the map x [1, below, h, w].

        The strongest of every column is a candidate, if it responds; of its candidates a plane takes the strongest,
        so that in a plane one cell learns at most. Source: section 3.
        """
        strongest, plane = self(x)[0].max(0)
        side = min(self.column, *strongest.shape)
        places = F.max_pool2d(strongest[None, None], side, 1, return_indices=True)[1]
        best: dict[int, tuple[float, int, int]] = {}
        for place in torch.unique(places).tolist():
            row, column = divmod(place, strongest.shape[1])
            response, owner = float(strongest[row, column]), int(plane[row, column])
            if response > max(0.0, best.get(owner, (0.0,))[0]):
                best[owner] = (response, row, column)
        return [(owner, row, column) for owner, (_, row, column) in best.items()]

    def reinforce(self, x: Tensor) -> None:
        """Learn from the map x [1, below, h, w]; all cells of a plane share what its representative learns.

        Source: equations 7 and 8: the weights grow by what the cell sees, and its inhibition by what its V-cell says.
        """
        seen, inhibition = self.padding.pad(x)[0], self.inhibition(x)[0, 0]
        for plane, row, column in self.representatives(x):
            window = seen[:, row : row + self.kernel, column : column + self.kernel]
            self.a[plane] += self.q * self.c[0] * window
            self.b[plane] += self.q / 2 * inhibition[row, column]

    def multiply_adds(self, output: Tensor) -> int:
        """Of S-cells and V-cells, for one image."""
        return (output.numel() + output[:, 0].numel()) * self.a[0].numel()


class CLayer(nn.Module):
    """C-cells: each responds if any S-cell of its plane does nearby, so that a shift changes little.

    u = psi((1 + sum d u_S) / (1 + v) - 1), psi(x) = phi(x) / (alpha + phi(x)); v, one for all planes, is the mean over
    the planes of the same sums: lateral inhibition. [N, planes, h, w] -> [N, planes, h', w']. Source: equations 4 to 6.
    """

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.stride, self.padding = row.stride, row.padding
        self.register_buffer("d", falling(row.kernel, FALL_D), persistent=False)

    d: Tensor

    def forward(self, x: Tensor) -> Tensor:
        planes = x.shape[1]
        excited = F.conv2d(self.padding.pad(x), self.d.expand(planes, 1, -1, -1), stride=self.stride, groups=planes)
        ratio = ((1 + excited) / (1 + excited.mean(1, keepdim=True)) - 1).relu()
        return ratio / (ALPHA + ratio)

    def multiply_adds(self, output: Tensor) -> int:
        """Of the sums, for one image."""
        return output.numel() * self.d.numel()


class Neocognitron(SelfOrganising):
    """Alternating layers of S-cells, which detect features, and of C-cells, which blur their positions.

    forward: images [N, in_channels, H, W], ink 1 on 0 -> responses of UC3 [N, planes, h, w], one position for 16 x 16.
    `planes`: in each layer. All shapes are the paper's for images of 16 x 16; larger ones are taken, too.
    Raises RequestError for fewer than one plane.
    """

    table = NEOCOGNITRON
    minimum_size = 16

    def __init__(self, *, in_channels: int = 1, planes: int = 24) -> None:
        if planes < 1:
            raise RequestError(f"a layer has one plane at least, not {planes}")
        super().__init__()
        self.in_channels = in_channels
        below = in_channels
        for row in ROWS:
            name = row.layer.lower()
            self.add_module(name, CLayer(row) if row.r is None else SLayer(row, planes, below, lowest=name == "us1"))
            below = planes
        self.stages = tuple(row.layer.lower() for row in ROWS)

    @torch.no_grad()
    def learn(self, image: Tensor, layers: tuple[int, ...] = (1, 2, 3)) -> None:
        """Present one image [in_channels, H, W]: each S-layer learns, then the next sees its new responses.

        `layers`: only those learn, to finish a layer before the next begins.
        """
        x = image[None]
        self.check(x)
        for number in range(1, max(layers) + 1):
            s = self.get_submodule(f"us{number}")
            assert isinstance(s, SLayer)
            if number in layers:
                s.reinforce(x)
            x = self.get_submodule(f"uc{number}")(s(x))


VARIANTS = {
    "neocognitron": Variant(Neocognitron, {}),
    "neocognitron_tiny": Variant(Neocognitron, {"planes": 6}),
}

# Deviations: the paper prints neither the profiles of c and d, nor the first weights; it says that c and d fall with
# the distance, that the weights are small, positive and weakly selective for a direction, and that no random numbers
# are used. FALL_C, FALL_D and START are ours, and so is first_weights. Strides and paddings are not printed either;
# those of the table are the ones that fit all the sizes. Multiply-adds are the products with a, c and d. The learned
# numbers, 29,472, are parameters without gradients. neocognitron_tiny is ours.
# Training: learn(image) for each of 0 to 4, twenty times; tests/nets/test_neocognitron.py does.
