"""Deep Pyramidal Residual Networks.

Dongyoon Han, Jiwhan Kim, Junmo Kim, CVPR 2017. arXiv:1610.02915.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.shortcut import PooledPadShortcut
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs
from striate.nets.initialise import he_normal_torch7
from striate.nets.options import check_dropout
from striate.tables import table

# Table 1. Unit k = 1, ..., N has the width D_k, and its convolutions have multiples of it. Additive: D_k = D_(k-1) +
# alpha / N; multiplicative: D_k = D_(k-1) alpha^(1/N); to the nearest integer, with D_0 = 16, which is conv1's width.
# There are n = N / 3 units a group: 6n + 2 layers in all, or 9n + 2 of bottleneck units. Global average pooling and a
# linear layer follow.
TABLE = """
    group  output_size  basic        bottleneck
    conv1  32           3x3,1        3x3,1
    conv2  32           3x3,1;3x3,1  1x1,1;3x3,1;1x1,4
    conv3  16           3x3,1;3x3,1  1x1,1;3x3,1;1x1,4
    conv4  8            3x3,1;3x3,1  1x1,1;3x3,1;1x1,4
"""

# The same for ImageNet, 200 layers, with D_0 = 64; a 3x3 max pooling with stride 2 opens conv2.
IMAGENET_TABLE = """
    group  output_size  bottleneck         units
    conv1  112          7x7,1              1
    conv2  56           1x1,1;3x3,1;1x1,4  3
    conv3  28           1x1,1;3x3,1;1x1,4  24
    conv4  14           1x1,1;3x3,1;1x1,4  36
    conv5  7            1x1,1;3x3,1;1x1,4  3
"""

# Table 4: the channels of the last map, and errors in per cent on CIFAR-10 and CIFAR-100.
RESULTS = """
    depth  units       rule            alpha  output_feat_dim  CIFAR_10  CIFAR_100
    110    basic       multiplicative  4.75   76               4.62      23.16
    110    basic       additive        48     64               4.62      23.31
    110    basic       multiplicative  8      128              4.50      20.94
    110    basic       additive        84     100              4.27      20.21
    110    basic       multiplicative  27     432              4.06      18.79
    110    basic       additive        270    286              3.73      18.25
    164    bottleneck  additive        48     256              4.21      19.52
    164    bottleneck  additive        84     400              3.96      18.32
    164    bottleneck  additive        270    1144             3.48      17.01
    200    bottleneck  additive        240    1024             3.44      16.51
    236    bottleneck  additive        220    944              3.40      16.37
    272    bottleneck  additive        200    864              3.31      16.35
"""


class Row(NamedTuple):
    group: str
    output_size: int
    basic: Convs
    bottleneck: Convs


class ImageNetRow(NamedTuple):
    group: str
    output_size: int
    bottleneck: Convs
    units: int


class Result(NamedTuple):
    depth: int
    units: str
    rule: str
    alpha: float
    output_feat_dim: int
    CIFAR_10: float
    CIFAR_100: float


ROWS = table(Row, TABLE)
IMAGENET_ROWS = table(ImageNetRow, IMAGENET_TABLE)
RESULT_ROWS = table(Result, RESULTS)
FIRST = 16  # D_0
IMAGENET_FIRST = 64
Rule = Literal["additive", "multiplicative"]


def widths(first: int, alpha: float, units: int, rule: Rule = "additive") -> Iterator[int]:
    """D_1, ..., D_N: the running width is not rounded, but each D_k is. Source: equations 2 and 3."""
    width = float(first)
    for _ in range(units):
        width = width + alpha / units if rule == "additive" else width * alpha ** (1 / units)
        yield math.floor(width + 0.5)


class Group(NamedTuple):
    """A group of units: its name, the convolutions of a unit in multiples of D_k, the stride of the first, how many."""

    name: str
    convs: Convs
    stride: int
    units: int


def groups(depth: int, bottleneck: bool) -> list[Group]:
    """conv2 to conv4 for CIFAR."""
    units, sizes = (depth - 2) // (9 if bottleneck else 6), [row.output_size for row in ROWS]
    return [
        Group(row.group, row.bottleneck if bottleneck else row.basic, before // row.output_size, units)
        for row, before in zip(ROWS[1:], sizes, strict=False)
    ]


def imagenet_groups() -> list[Group]:
    """conv2 to conv5; the pooling has made the maps of conv2."""
    sizes = [row.output_size for row in IMAGENET_ROWS[1:]]
    return [
        Group(row.group, row.bottleneck, before // row.output_size, row.units)
        for row, before in zip(IMAGENET_ROWS[1:], [sizes[0], *sizes], strict=False)
    ]


class PyramidUnit(nn.Module):
    """BN, then convolutions, each with BN, and with ReLU but for the last; no ReLU before the first or after the sum.

    The shortcut has zeros for new channels, after the old ones, and where the stride is 2 averages 2x2 pixels. The
    stride is that of the first 3x3 convolution. Source: Figures 5 and 6 (d).
    """

    def __init__(self, in_channels: int, convs: Sequence[Conv], stride: int) -> None:
        super().__init__()
        strided = [conv.kernel for conv in convs].index(3)
        self.residual = nn.Sequential()
        self.residual.add_module("norm", nn.BatchNorm2d(in_channels))
        channels = in_channels
        for place, conv in enumerate(convs):
            here = stride if place == strided else 1
            layer = nn.Conv2d(channels, conv.channels, conv.kernel, here, conv.kernel // 2, bias=False)
            channels = conv.channels
            self.residual.add_module(f"conv{place + 1}", layer)
            self.residual.add_module(f"norm{place + 1}", nn.BatchNorm2d(channels))
            if place < len(convs) - 1:
                self.residual.add_module(f"act{place + 1}", nn.ReLU())
        same = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if same else PooledPadShortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.residual(x)
        return out


class _Pyramid(Net):
    """The base of both networks: a stem, groups of ever wider units, the last BN and ReLU, dropout, a linear layer."""

    def __init__(
        self,
        classes: int,
        in_channels: int,
        stem: nn.Sequential,
        rows: list[Group],
        all_widths: Iterator[int],
        first: int,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = stem
        channels = first
        for row in rows:
            units = nn.Sequential()
            for number, width in zip(range(row.units), all_widths, strict=False):
                convs = row.convs.scaled(width)
                units.append(PyramidUnit(channels, convs, row.stride if number == 0 else 1))
                channels = convs[-1].channels
            self.add_module(row.name, units)
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, classes)
        self.stages = ("conv1", *(row.name for row in rows), "last")
        self.feature_channels = self.embedding_size = channels
        he_normal_torch7(self, "out")


def _check_alpha(alpha: float, least: float) -> None:
    if not least <= alpha <= 1000:
        raise RequestError(f"alpha must be from {least:g} to 1000, not {alpha}")


class PyramidNet(_Pyramid):
    """The network for CIFAR: 6n + 2 layers of basic or, with `bottleneck`, 9n + 2 of bottleneck units.

    `alpha` is the widening factor: what all units together add to the width or, with the multiplicative `rule`,
    multiply it by. 32x32 images in the paper; any size of at least 8 is accepted. Raises RequestError for a depth that
    is not of that form or above 1202, or an alpha outside 0 to 1000, for the multiplicative rule 1 to 1000.
    """

    table = TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 110,
        alpha: float = 48.0,
        bottleneck: bool = False,
        rule: Rule = "additive",
    ) -> None:
        layers = 9 if bottleneck else 6
        if not layers + 2 <= depth <= 1202 or depth % layers != 2:
            examples = "164, 200, 272" if bottleneck else "20, 56, 110"
            raise RequestError(f"depth must be {layers}n + 2, from {layers + 2} to 1202 ({examples}, ...), not {depth}")
        _check_alpha(alpha, 1 if rule == "multiplicative" else 0)
        rows = groups(depth, bottleneck)
        conv = nn.Conv2d(in_channels, FIRST, ROWS[0].basic[0].kernel, padding=1, bias=False)
        stem = nn.Sequential(conv, nn.BatchNorm2d(FIRST))
        all_widths = widths(FIRST, alpha, sum(row.units for row in rows), rule)
        super().__init__(classes, in_channels, stem, rows, all_widths, FIRST)


class ImageNetPyramidNet(_Pyramid):
    """The network of 200 layers for ImageNet, additive, of bottleneck units.

    `dropout` is that of the pooled vector: 0.5 with alpha 450 in the paper. 224x224 images in the paper; any size of at
    least 32 is accepted. Raises RequestError for an alpha outside 0 to 1000 or a dropout outside [0, 1).
    """

    table = IMAGENET_TABLE
    minimum_size = 32

    def __init__(
        self, *, classes: int = 1000, in_channels: int = 3, alpha: float = 300.0, dropout: float = 0.0
    ) -> None:
        _check_alpha(alpha, 0)
        check_dropout(dropout)
        rows = imagenet_groups()
        conv = nn.Conv2d(in_channels, IMAGENET_FIRST, IMAGENET_ROWS[0].bottleneck[0].kernel, 2, padding=3, bias=False)
        stem = nn.Sequential(conv, nn.BatchNorm2d(IMAGENET_FIRST), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
        all_widths = widths(IMAGENET_FIRST, alpha, sum(row.units for row in rows))
        super().__init__(classes, in_channels, stem, rows, all_widths, IMAGENET_FIRST)
        self.dropout = nn.Dropout(dropout)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> vectors [N, embedding_size], with dropout in training."""
        vector: Tensor = self.dropout(super().pooled(features))
        return vector


def _name(row: Result) -> str:
    rule = "_mul" if row.rule == "multiplicative" else ""
    return f"pyramidnet{row.depth}{rule}_a{row.alpha:g}{'_bn' if row.units == 'bottleneck' else ''}".replace(".", "_")


VARIANTS = {
    **{
        _name(row): Variant(
            PyramidNet,
            {"depth": row.depth, "alpha": row.alpha, "bottleneck": row.units == "bottleneck", "rule": row.rule},
        )
        for row in RESULT_ROWS
    },
    "pyramidnet200_a300_imagenet": Variant(ImageNetPyramidNet, {"alpha": 300.0}),
    "pyramidnet200_a450_imagenet": Variant(ImageNetPyramidNet, {"alpha": 450.0, "dropout": 0.5}),
    "pyramidnet_tiny": Variant(PyramidNet, {"depth": 8, "alpha": 8.0}),
}

# Deviations: none in the layers, whose details are those of the authors' code (jhkim89/PyramidNet). The paper's numbers
# of parameters leave out the batch norms: 26.0 M for 272 layers, where 25,999,978 are in convolutions and the linear
# layer and 26,210,842 in all. Those of the additive networks of basic units are those of the multiplicative ones beside
# them. Not included: ImageNet networks of other depths, which the code has and the paper not. pyramidnet_tiny is ours.
