"""Aggregated Residual Transformations for Deep Neural Networks.

Saining Xie, Ross Girshick, Piotr Dollar, Zhuowen Tu, Kaiming He, CVPR 2017. arXiv:1611.05431.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.branches import Branches
from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs
from striate.nets.initialise import he_normal_torch7
from striate.nets.options import check_width
from striate.nets.resnet import Stage, add_imagenet_stages, blocks_of, shortcut_of
from striate.tables import table

# Table 1, the column ResNeXt-50 (32x4d): the 3x3 convolutions have C = 32 groups of d = 4 channels in conv2, 8 in
# conv3, and so on. The last column is ResNeXt-101. A 3x3 max pooling with stride 2 opens conv2; global average pooling
# and a linear layer follow.
TABLE = """
    stage  output  block                      n50  n101
    conv1  112     7x7,64                     1    1
    conv2  56      1x1,128;3x3,128;1x1,256    3    3
    conv3  28      1x1,256;3x3,256;1x1,512    4    4
    conv4  14      1x1,512;3x3,512;1x1,1024   6    23
    conv5  7       1x1,1024;3x3,1024;1x1,2048 3    3
"""

# Section 5.3, the template for CIFAR, with C = 1 group of d = 64 channels; n = (depth - 2) / 9 blocks a stage.
CIFAR_TABLE = """
    output  block                      blocks
    32      3x3,64                     1
    32      1x1,64;3x3,64;1x1,256      n
    16      1x1,128;3x3,128;1x1,512    n
    8       1x1,256;3x3,256;1x1,1024   n
"""

# Table 2: cardinality C and bottleneck width d for which a block of conv2 has about as many parameters as ResNet's.
COMPLEXITY = """
    cardinality_C             1   2   4   8    32
    width_of_bottleneck_d     64  40  24  14   4
    width_of_group_conv       64  80  96  112  128
"""


class Row(NamedTuple):
    stage: str
    output: int
    block: Convs
    n50: int
    n101: int


class CifarRow(NamedTuple):
    output: int
    block: Convs
    blocks: str


ROWS = table(Row, TABLE)
CIFAR_ROWS = table(CifarRow, CIFAR_TABLE)
Form = Literal["A", "B", "C"]


def bottleneck(block: Convs, stage: int, cardinality: int, d: int, width: float = 1.0) -> tuple[Conv, ...]:
    """The convolutions of stage 0, 1, ...: `cardinality` groups of d x 2^stage channels within, all `width` times."""
    first, second, last = block.scaled(width)
    inner = cardinality * max(1, round(width * d * 2**stage))
    return first._replace(channels=inner), second._replace(channels=inner), last


def stages(depth: int, cardinality: int, d: int) -> Iterator[Stage]:
    """conv2 to conv5 as stages; the stride of conv2 is that of its pooling."""
    (before,), size = ROWS[0].block, ROWS[1].output
    for number, row in enumerate(ROWS[1:]):
        convs = bottleneck(row.block, number, cardinality, d)
        yield Stage(before.channels, convs, size // row.output, getattr(row, f"n{depth}"))
        before, size = convs[-1], row.output


def cifar_stages(depth: int, cardinality: int, d: int, width: float = 1.0) -> Iterator[Stage]:
    """The stages for CIFAR, without the first convolution."""
    (before,), size = CIFAR_ROWS[0].block.scaled(width), CIFAR_ROWS[0].output
    for number, row in enumerate(CIFAR_ROWS[1:]):
        convs = bottleneck(row.block, number, cardinality, d, width)
        yield Stage(before.channels, convs, size // row.output, (depth - 2) // 9)
        before, size = convs[-1], row.output


class Sum(nn.Module):
    """Figure 3 (a): a path for each group, each back at the full width; the paths are summed, then batch norm."""

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, cardinality: int) -> None:
        super().__init__()
        *_, last = convs
        self.paths = nn.ModuleList()
        for _ in range(cardinality):
            path = _path(in_channels, convs, stride, cardinality)
            path.append(nn.Conv2d(convs[1].channels // cardinality, last.channels, last.kernel, bias=False))
            self.paths.append(path)
        self.norm = nn.BatchNorm2d(last.channels)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.paths
        total = first(x)
        for path in others:
            total = total + path(x)
        out: Tensor = self.norm(total)
        return out


class Concatenation(nn.Sequential):
    """Figure 3 (b): a path for each group; the paths are concatenated, and one convolution follows."""

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, cardinality: int) -> None:
        super().__init__()
        paths = (_path(in_channels, convs, stride, cardinality) for _ in range(cardinality))
        self.paths = Branches({str(number): path for number, path in enumerate(paths)})
        self.conv3 = ConvNormAct(convs[1].channels, convs[2].channels, convs[2].kernel, act=None)


class Grouped(nn.Sequential):
    """Figure 3 (c): the 3x3 convolution in groups; this is how the networks are made."""

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, cardinality: int) -> None:
        super().__init__()
        first, second, third = convs
        self.conv1 = ConvNormAct(in_channels, first.channels, first.kernel)
        self.conv2 = ConvNormAct(first.channels, second.channels, second.kernel, stride=stride, groups=cardinality)
        self.conv3 = ConvNormAct(second.channels, third.channels, third.kernel, act=None)


def _path(in_channels: int, convs: tuple[Conv, ...], stride: int, cardinality: int) -> nn.Sequential:
    """One group's 1x1 and 3x3 convolutions."""
    first, second = (conv._replace(channels=conv.channels // cardinality) for conv in convs[:2])
    return nn.Sequential(
        ConvNormAct(in_channels, first.channels, first.kernel),
        ConvNormAct(first.channels, second.channels, second.kernel, stride=stride),
    )


FORMS: dict[Form, type[Sum | Concatenation | Grouped]] = {"A": Sum, "B": Concatenation, "C": Grouped}


class AggregatedBlock(nn.Module):
    """C transformations of one shape, aggregated, and the shortcut around them; the last ReLU comes after the sum.

    Where the shape changes, the shortcut is a 1x1 convolution; the stride is that of the 3x3 convolution. The three
    forms of Figure 3 compute the same. Source: section 3.3, equation 3.
    """

    def __init__(
        self, in_channels: int, convs: tuple[Conv, ...], stride: int, *, cardinality: int, form: Form = "C"
    ) -> None:
        super().__init__()
        self.transformations = FORMS[form](in_channels, convs, stride, cardinality)
        self.shortcut = shortcut_of("B", in_channels, convs[-1].channels, stride)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.transformations(x) + self.shortcut(x))
        return out


def _check(cardinality: int, d: int) -> None:
    if not 1 <= cardinality <= 256 or not 1 <= d <= 256:
        raise RequestError(f"cardinality and d must be from 1 to 256, not {cardinality} and {d}")


class ResNeXt(Net):
    """The network of Table 1: `cardinality` (C) and `d`, the width of a group in conv2, which doubles with each stage.

    `form` is that of the blocks in Figure 3. 224x224 images in the paper; any size of at least 32 is accepted.
    Raises RequestError for a cardinality or a d outside 1 to 256.
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        depth: Literal[50, 101] = 50,
        cardinality: int = 32,
        d: int = 4,
        form: Form = "C",
    ) -> None:
        _check(cardinality, d)
        super().__init__()
        self.in_channels = in_channels
        (first,) = ROWS[0].block
        block = partial(AggregatedBlock, cardinality=cardinality, form=form)
        add_imagenet_stages(self, first, stages(depth, cardinality, d), block)
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal_torch7(self, "out")


class CifarResNeXt(Net):
    """The network for CIFAR: a 3x3 convolution, three stages of blocks, global average pooling, a linear layer.

    `depth` is 9n + 2; `width` multiplies all channels. 32x32 images in the
    paper; any size of at least 8 is accepted. Raises RequestError for a depth that is not 9n + 2, or above 1202, a
    cardinality or a d outside 1 to 256 or a width outside (0, 8].
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 29,
        cardinality: int = 8,
        d: int = 64,
        form: Form = "C",
        width: float = 1.0,
    ) -> None:
        if not 11 <= depth <= 1202 or depth % 9 != 2:
            raise RequestError(f"depth must be 9n + 2, from 11 to 1202 (20, 29, 38, ...), not {depth}")
        _check(cardinality, d)
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        (first,) = CIFAR_ROWS[0].block.scaled(width)
        self.stem = ConvNormAct(in_channels, first.channels, first.kernel)
        block = partial(AggregatedBlock, cardinality=cardinality, form=form)
        for number, stage in enumerate(cifar_stages(depth, cardinality, d, width), start=1):
            self.add_module(f"stage{number}", nn.Sequential(*blocks_of(stage, block)))
        self.stages = ("stem", "stage1", "stage2", "stage3")
        self.feature_channels = self.embedding_size = stage.convs[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal_torch7(self, "out")


VARIANTS = {
    "resnext50_32x4d": Variant(ResNeXt, {"depth": 50, "cardinality": 32, "d": 4}),
    "resnext101_32x4d": Variant(ResNeXt, {"depth": 101, "cardinality": 32, "d": 4}),
    "resnext101_64x4d": Variant(ResNeXt, {"depth": 101, "cardinality": 64, "d": 4}),
    "resnext101_32x8d": Variant(ResNeXt, {"depth": 101, "cardinality": 32, "d": 8}),
    "resnext29_8x64d": Variant(CifarResNeXt, {"cardinality": 8, "d": 64}),
    "resnext29_16x64d": Variant(CifarResNeXt, {"cardinality": 16, "d": 64}),
    "resnext_tiny": Variant(CifarResNeXt, {"depth": 11, "cardinality": 4, "d": 16, "width": 0.125}),
}

# Deviations: the paper's networks for CIFAR have pre-activated blocks, and its errors are theirs; the authors' code,
# which is followed here, has the original order of layers and reaches better ones (its README). The initial weights are
# that code's: fan-out without regard to the groups. resnext101_32x8d is not of the paper, but published weights have
# this shape. resnext_tiny is ours, for tests.
