"""The modules of "Rethinking the Inception Architecture", each of parallel paths: Figures 5, 6, 7 and 10.

Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna, 2015. arXiv:1512.00567. What each
costs: striate.anatomy.inception_blocks.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import nn

from striate.layers.branches import Branches
from striate.layers.conv import ConvNormAct


class Widths(NamedTuple):
    """Channels of a module's four paths, and of the reductions before two of them; a convolution's are `short`."""

    n1x1: int
    short_r: int
    short: int
    long_r: int
    long: int
    pool: int


# The epsilon is that of the authors' release.
Conv = partial(ConvNormAct, norm=partial(nn.BatchNorm2d, eps=1e-3))
Kernel = int | tuple[int, int]


def path(in_channels: int, *layers: tuple[int, Kernel]) -> nn.Sequential:
    """Convolutions in sequence, each given by its channels and kernel; the map keeps its size."""
    convolutions = []
    for channels, kernel in layers:
        convolutions.append(Conv(in_channels, channels, kernel))
        in_channels = channels
    return nn.Sequential(*convolutions)


def pooled_path(in_channels: int, channels: int) -> nn.Sequential:
    """Average pooling, without counting the padding, and a projection."""
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), *path(in_channels, (channels, 1)))


class Figure5(Branches):
    """At 35x35: the long path's 5x5 is two 3x3. [N, in_channels, H, W] -> [N, channels, H, W]."""

    def __init__(self, in_channels: int, widths: Widths, n: int) -> None:
        super().__init__(
            {
                "1x1": path(in_channels, (widths.n1x1, 1)),
                "short": path(in_channels, (widths.short_r, 1), (widths.short, n)),
                "long": path(in_channels, (widths.long_r, 1), (widths.long, 3), (widths.long, 3)),
                "pool": pooled_path(in_channels, widths.pool),
            }
        )


class Figure6(Branches):
    """At 17x17: an n x n is a 1 x n and an n x 1. [N, in_channels, H, W] -> [N, channels, H, W]."""

    def __init__(self, in_channels: int, widths: Widths, n: int) -> None:
        row, column = (1, n), (n, 1)
        thin, wide = widths.long_r, widths.long
        long = path(in_channels, (thin, 1), (thin, column), (thin, row), (thin, column), (wide, row))
        super().__init__(
            {
                "1x1": path(in_channels, (widths.n1x1, 1)),
                "short": path(in_channels, (widths.short_r, 1), (widths.short_r, row), (widths.short, column)),
                "long": long,
                "pool": pooled_path(in_channels, widths.pool),
            }
        )


class Figure7(Branches):
    """At 8x8: a 1 x n and an n x 1 side by side, to be wide. [N, in_channels, H, W] -> [N, channels, H, W]."""

    def __init__(self, in_channels: int, widths: Widths, n: int) -> None:
        super().__init__(
            {
                "1x1": path(in_channels, (widths.n1x1, 1)),
                "short": path(in_channels, (widths.short_r, 1)).append(_split(widths.short_r, widths.short, n)),
                "long": path(in_channels, (widths.long_r, 1), (widths.long, 3)).append(
                    _split(widths.long, widths.long, n)
                ),
                "pool": pooled_path(in_channels, widths.pool),
            }
        )


def _split(in_channels: int, channels: int, n: int) -> Branches:
    return Branches({"row": Conv(in_channels, channels, (1, n)), "column": Conv(in_channels, channels, (n, 1))})


class Figure10(Branches):
    """Half the grid without a bottleneck: paths of stride 2 in parallel with pooling.

    [N, in_channels, H, W] -> [N, channels, h, w], h = (H - 3) // 2 + 1. Pooling first would narrow the network before
    it widens, pooling last would cost four times as much (section 5). Without a reduction, the short path starts
    directly on the input, and the long one is of 3x3; with one, the long path starts with 1 x n and n x 1.
    """

    def __init__(self, in_channels: int, widths: Widths, n: int) -> None:
        reduced = widths.short_r
        short = path(in_channels, (reduced, 1)) if reduced else nn.Sequential()
        long = path(in_channels, (widths.long_r, 1), (widths.long, 3))
        if reduced:
            long = path(in_channels, (widths.long_r, 1), (widths.long_r, (1, n)), (widths.long, (n, 1)))
        short.append(Conv(reduced or in_channels, widths.short, 3, stride=2, padding="valid"))
        long.append(Conv(widths.long, widths.long, 3, stride=2, padding="valid"))
        super().__init__({"short": short, "long": long, "pool": nn.MaxPool2d(3, 2)})


MODULES = {"figure5": Figure5, "figure6": Figure6, "figure7": Figure7, "figure10": Figure10}
