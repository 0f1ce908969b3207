"""Wide Residual Networks.

Sergey Zagoruyko, Nikos Komodakis, BMVC 2016. arXiv:1605.07146.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs
from striate.nets.initialise import he_normal_torch7
from striate.nets.options import check_dropout
from striate.nets.resnet import Block, Stage, add_imagenet_stages, blocks_of
from striate.tables import table

# Table 1: blocks of the type B(3,3), k times as wide as in ResNet, N = (depth - 4) / 6 of them a group. Global average
# pooling and a linear layer follow.
TABLE = """
    group_name  output_size  block_type     times_k  times_N
    conv1       32           3x3,16         no       no
    conv2       32           3x3,16;3x3,16  yes      yes
    conv3       16           3x3,32;3x3,32  yes      yes
    conv4       8            3x3,64;3x3,64  yes      yes
"""

# WRN-50-2 for ImageNet is ResNet-50 with inner convolutions that are twice as wide; a 3x3 max pooling with stride 2
# opens conv2_x. From the authors' definition (szagoruyko/wide-residual-networks, pretrained).
IMAGENET_TABLE = """
    layer_name  output_size  bottleneck                 blocks
    conv1       112          7x7,64                     1
    conv2_x     56           1x1,128;3x3,128;1x1,256    3
    conv3_x     28           1x1,256;3x3,256;1x1,512    4
    conv4_x     14           1x1,512;3x3,512;1x1,1024   6
    conv5_x     7            1x1,1024;3x3,1024;1x1,2048 3
"""


class Row(NamedTuple):
    group_name: str
    output_size: int
    block_type: Convs
    times_k: bool
    times_N: bool  # noqa: N815  (as the paper names it)


class ImageNetRow(NamedTuple):
    layer_name: str
    output_size: int
    bottleneck: Convs
    blocks: int


ROWS = table(Row, TABLE)
IMAGENET_ROWS = table(ImageNetRow, IMAGENET_TABLE)


def stages(depth: int, k: int) -> Iterator[Stage]:
    """conv2 to conv4 as stages, for `depth` = 6N + 4 layers and the widening factor k."""
    above = ROWS[0]
    (before,) = above.block_type
    for row in ROWS[1:]:
        convs = row.block_type.scaled(k)
        yield Stage(before.channels, convs, above.output_size // row.output_size, (depth - 4) // 6)
        above, before = row, convs[-1]


def imagenet_stages() -> Iterator[Stage]:
    """conv2_x to conv5_x as stages; the stride of conv2_x is that of its pooling."""
    (before,), size = IMAGENET_ROWS[0].bottleneck, IMAGENET_ROWS[1].output_size
    for row in IMAGENET_ROWS[1:]:
        yield Stage(before.channels, row.bottleneck, size // row.output_size, row.blocks)
        before, size = row.bottleneck[-1], row.output_size


class WideBlock(nn.Module):
    """BN, ReLU and a 3x3 convolution, twice, and the shortcut around them; dropout stands before the second one.

    Where the number of channels changes, the shortcut is a 1x1 convolution of what the first convolution sees; else it
    is the identity. Source: Figure 1 (d), section 2.4 and the authors' code.
    """

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, *, dropout: float) -> None:
        super().__init__()
        first, second = convs
        self.before = _norm_act(in_channels)
        self.residual = nn.Sequential()
        self.residual.add_module("conv1", _conv(in_channels, first, stride))
        self.residual.add_module("between", _norm_act(first.channels))
        self.residual.add_module("dropout", nn.Dropout(dropout))
        self.residual.add_module("conv2", _conv(first.channels, second, 1))
        changes = in_channels != second.channels
        self.shortcut = _conv(in_channels, Conv(1, second.channels), stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        seen = self.before(x)
        shortcut = x if self.shortcut is None else self.shortcut(seen)
        out: Tensor = shortcut + self.residual(seen)
        return out


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def _conv(in_channels: int, conv: Conv, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, conv.channels, conv.kernel, stride, conv.kernel // 2, bias=False)


class WideResNet(Net):
    """The network of Table 1, for CIFAR and SVHN; `last` is the BN and ReLU after the last block.

    `depth` is 6N + 4 and `k` the widening factor: WRN-depth-k. `dropout` is the dropout rate in the blocks: 0.3 for
    CIFAR and 0.4 for SVHN in the paper. 32x32 images in the paper; any size of at least 8 is accepted.
    Raises RequestError for a depth that is not 6N + 4, or above 1204, a k outside 1 to 32 or a dropout outside [0, 1).
    """

    table = TABLE
    minimum_size = 8

    def __init__(
        self, *, classes: int = 10, in_channels: int = 3, depth: int = 28, k: int = 10, dropout: float = 0.0
    ) -> None:
        if not 10 <= depth <= 1204 or depth % 6 != 4:
            raise RequestError(f"depth must be 6N + 4, from 10 to 1204 (16, 28, 40, ...), not {depth}")
        if not 1 <= k <= 32:
            raise RequestError(f"k, the widening factor, must be from 1 to 32, not {k}")
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        (first,) = ROWS[0].block_type
        self.conv1 = _conv(in_channels, first, 1)
        for row, stage in zip(ROWS[1:], stages(depth, k), strict=True):
            self.add_module(row.group_name, nn.Sequential(*blocks_of(stage, partial(WideBlock, dropout=dropout))))
        self.feature_channels = self.embedding_size = stage.convs[-1].channels
        self.last = _norm_act(self.feature_channels)
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = (*(row.group_name for row in ROWS), "last")
        he_normal_torch7(self, "in")


class WideBottleneckResNet(Net):
    """WRN-50-2, for ImageNet: with the blocks of ResNet, activations after the convolutions, strides in the 3x3 ones.

    224x224 images in the paper; any size of at least 32 is accepted.
    """

    table = IMAGENET_TABLE
    minimum_size = 32

    def __init__(self, *, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        (first,) = IMAGENET_ROWS[0].bottleneck
        add_imagenet_stages(self, first, imagenet_stages(), partial(Block, shortcut="B", stride_in="3x3"))
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal_torch7(self, "in")


PUBLISHED = ((40, 1), (40, 2), (40, 4), (40, 8), (28, 10), (28, 12), (22, 8), (16, 8), (16, 10))  # depth and k
VARIANTS = {
    **{f"wrn_{depth}_{k}": Variant(WideResNet, {"depth": depth, "k": k}) for depth, k in PUBLISHED},
    "wrn_28_10_dropout": Variant(WideResNet, {"depth": 28, "k": 10, "dropout": 0.3}),
    "wrn_40_10_dropout": Variant(WideResNet, {"depth": 40, "k": 10, "dropout": 0.3}),
    "wrn_16_8_dropout": Variant(WideResNet, {"depth": 16, "k": 8, "dropout": 0.4}),
    "wide_resnet50_2": Variant(WideBottleneckResNet, {}),
    "wrn_tiny": Variant(WideResNet, {"depth": 10, "k": 1, "dropout": 0.3}),
}

# Deviations: none in the layers. The shortcuts, the place of dropout and the initial weights are those of the authors'
# code. Not included: the block types that the paper tries and leaves, such as B(3,1,3), and the wide networks of 18 and
# 34 layers for ImageNet and COCO. wrn_16_8_dropout has SVHN's dropout. wrn_tiny is ours, for tests.
