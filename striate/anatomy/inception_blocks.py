"""The Inception block in its forms, side by side, with what each costs on the same map; and the parts of Inception-v2.

Figure 2a of Szegedy et al. 2014 (arXiv:1409.4842) and Figures 4 to 7, 9 and 10 of Szegedy et al. 2015
(arXiv:1512.00567).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from striate.anatomy.summary import module_madds, parameters
from striate.layers.branches import Branches
from striate.nets.inception_modules import MODULES, Conv, path, pooled_path
from striate.nets.inception_v3 import V2_TABLE, rows_of, stages


class BlockCost(NamedTuple):
    """One form of the block; `sees` is the side of the largest window that one of its outputs depends on."""

    name: str
    sees: int
    channels: int
    parameters: int
    madds: int


def block_costs(in_channels: int = 768, size: int = 17, *, reduced: int = 128, channels: int = 192) -> list[BlockCost]:
    """The forms of the block on a map of `in_channels` x `size` x `size`, by default that of Inception-v3's middle.

    Each of the four paths has `channels` output channels, and reductions have `reduced`; every convolution is followed
    by batch normalisation, whose parameters count, too. The naive block alone has no reductions, and passes its input
    on.
    """
    with torch.device("meta"):
        made = [(name, sees, block.eval()) for name, sees, block in blocks(in_channels, reduced, channels)]
    costs = []
    for name, sees, block in made:
        out = block(torch.empty(1, in_channels, size, size, device="meta")).shape[1]
        costs.append(BlockCost(name, sees, out, parameters(block), module_madds(block, (in_channels, size, size))))
    return costs


class PartCost(NamedTuple):
    """A module of Inception-v2: its stage, its figure, and the shapes (channels, height, width) it takes and gives."""

    name: str
    figure: str
    takes: tuple[int, int, int]
    gives: tuple[int, int, int]
    parameters: int
    madds: int


def part_costs() -> list[PartCost]:
    """The first module of each kind of Inception-v2, and its two grid reductions, each by itself."""
    rows = rows_of(V2_TABLE)
    costs: list[PartCost] = []
    for row, stage in zip(rows, stages(rows=rows), strict=False):
        if stage.type not in MODULES or (stage.type != "figure10" and stage.type in {cost.figure for cost in costs}):
            continue
        with torch.device("meta"):
            module = MODULES[stage.type](stage.in_channels, stage.widths, stage.kernel).eval()
        takes = (row.input.channels, row.input.height, row.input.width)
        gives = tuple(module(torch.empty(1, *takes, device="meta")).shape[1:])
        costs.append(PartCost(stage.name, stage.type, takes, gives, parameters(module), module_madds(module, takes)))
    return costs


def reduction_costs(in_channels: int = 320, size: int = 35) -> dict[str, int]:
    """Multiply-adds of three ways to halve a map of `in_channels` and double its channels: Figures 9 and 10.

    "pool first" is the bottleneck that section 5 warns of, "pool last" costs four times as much, and "parallel", half
    of the channels by a convolution of stride 2 and half by pooling, is half of the first.
    """
    small, wide = (size - 3) // 2 + 1, 2 * in_channels
    with torch.device("meta"):
        full, half = Conv(in_channels, wide, 3), Conv(in_channels, in_channels, 3, stride=2, padding="valid")
    return {
        "pool first": module_madds(full, (in_channels, small, small)),
        "pool last": module_madds(full, (in_channels, size, size)),
        "parallel": module_madds(half, (in_channels, size, size)),
    }


def blocks(in_channels: int, reduced: int, channels: int) -> Iterator[tuple[str, int, nn.Module]]:
    """The forms of the block themselves: name, what each sees, and module; widths as in `block_costs`."""
    naive = {
        "1x1": Conv(in_channels, channels, 1),
        "short": Conv(in_channels, channels, 3),
        "long": Conv(in_channels, channels, 5),
        "pool": nn.MaxPool2d(3, 1, 1),
    }
    yield "naive (2014, Figure 2a)", 5, Branches(naive)
    first, last = (reduced, 1), channels
    five = path(in_channels, first, (last, 5))
    threes = path(in_channels, first, (reduced, 3), (last, 3))
    yield "original (Figure 4)", 5, _block(in_channels, path(in_channels, first, (last, 3)), five, channels)
    yield "5x5 as two 3x3 (Figure 5)", 5, _block(in_channels, path(in_channels, first, (last, 3)), threes, channels)
    for n in (3, 7):
        row, column = (1, n), (n, 1)
        short = path(in_channels, first, (reduced, row), (last, column))
        long = path(in_channels, first, (reduced, column), (reduced, row), (reduced, column), (last, row))
        yield f"1 x n and n x 1, n = {n} (Figure 6)", 2 * n - 1, _block(in_channels, short, long, channels)


def _block(in_channels: int, short: nn.Module, long: nn.Module, channels: int) -> Branches:
    pool = pooled_path(in_channels, channels)
    return Branches({"1x1": Conv(in_channels, channels, 1), "short": short, "long": long, "pool": pool})
