"""The Inception block in its forms, side by side, with what each costs on the same map.

Figure 2a of Szegedy et al. 2014 (arXiv:1409.4842) and Figures 4, 5 and 6 of Szegedy et al. 2015 (arXiv:1512.00567).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from striate.anatomy.summary import module_madds, parameters
from striate.layers.branches import Branches
from striate.nets.inception_v3 import Conv, path, pooled_path


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
