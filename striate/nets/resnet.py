"""Deep Residual Learning for Image Recognition.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, 2015. arXiv:1512.03385.
Here: the ImageNet networks of Table 1 and the CIFAR-10 networks of section 4.2, residual and plain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.shortcut import ZeroPadShortcut
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs, LayerCount
from striate.nets.initialise import he_normal
from striate.tables import table, transposed

# Table 1: a block of 18 and 34 layers, one of 50, 101 and 152, and how many of them each depth has. A 3x3 max pooling
# with stride 2 opens conv2_x; global average pooling and a linear layer follow.
TABLE = """
    layer_name  output_size  basic            bottleneck                n18  n34  n50  n101  n152
    conv1       112          7x7,64           7x7,64                    1    1    1    1     1
    conv2_x     56           3x3,64;3x3,64    1x1,64;3x3,64;1x1,256     2    3    3    3     3
    conv3_x     28           3x3,128;3x3,128  1x1,128;3x3,128;1x1,512   2    4    4    4     8
    conv4_x     14           3x3,256;3x3,256  1x1,256;3x3,256;1x1,1024  2    6    6    23    36
    conv5_x     7            3x3,512;3x3,512  1x1,512;3x3,512;1x1,2048  2    3    3    3     3
"""

# The table of section 4.2. The 1 is the first convolution; a block has two layers.
CIFAR_TABLE = """
    output_map_size  32    16  8
    layers           1+2n  2n  2n
    filters          16    32  64
"""


class Row(NamedTuple):
    layer_name: str
    output_size: int
    basic: Convs
    bottleneck: Convs
    n18: int
    n34: int
    n50: int
    n101: int
    n152: int


class CifarRow(NamedTuple):
    output_map_size: int
    layers: LayerCount
    filters: int


ROWS = table(Row, TABLE)
CIFAR_ROWS = table(CifarRow, transposed(CIFAR_TABLE))
Depth = Literal[18, 34, 50, 101, 152]
Option = Literal["A", "B", "C"]
StrideIn = Literal["1x1", "3x3"]
Pooling = Literal["padded", "ceil"]


class Stage(NamedTuple):
    """The arguments of one stage: `blocks` blocks, of which the first has the stride and the change of channels."""

    in_channels: int
    convs: tuple[Conv, ...]
    stride: int
    blocks: int


def stages(depth: int, width: float = 1.0) -> Iterator[Stage]:
    """conv2_x to conv5_x as stages, for a depth of Table 1. The stride of conv2_x is that of its pooling."""
    above = ROWS[0]
    (before,) = above.basic.scaled(width)
    for row in ROWS[1:]:
        convs = (row.basic if depth < 50 else row.bottleneck).scaled(width)
        stride = 1 if row.layer_name == "conv2_x" else above.output_size // row.output_size
        yield Stage(before.channels, convs, stride, getattr(row, f"n{depth}"))
        above, before = row, convs[-1]


def cifar_stages(depth: int) -> Iterator[Stage]:
    """The rows of the CIFAR table as stages, for `depth` = 6n + 2 layers; without the first convolution."""
    n = (depth - 2) // 6
    above = CIFAR_ROWS[0]
    for row in CIFAR_ROWS:
        layers = n * row.layers.times
        stride = above.output_map_size // row.output_map_size
        yield Stage(above.filters, (Conv(3, row.filters),) * 2, stride, layers // 2)
        above = row


class Block(nn.Module):
    """Convolutions, each with batch norm and ReLU, and the shortcut around them; the last ReLU comes after the sum.

    `shortcut` is one of section 4.1: A, the identity, with zeros for new channels; B, a 1x1 convolution
    where the shape changes, else the identity; C, a 1x1 convolution everywhere; None, there is none (a plain network).
    The stride is that of the first convolution, or with `stride_in` "3x3" of the first 3x3 one.
    Source: Figures 2 and 5.
    """

    def __init__(
        self,
        in_channels: int,
        convs: tuple[Conv, ...],
        stride: int,
        *,
        shortcut: Option | None,
        stride_in: StrideIn = "1x1",
    ) -> None:
        super().__init__()
        strided = 0 if stride_in == "1x1" else [conv.kernel for conv in convs].index(3)
        self.convs = tuple(f"conv{number}" for number in range(1, len(convs) + 1))
        channels = in_channels
        for place, (name, conv) in enumerate(zip(self.convs, convs, strict=True)):
            act = nn.ReLU if name != self.convs[-1] else None
            here = stride if place == strided else 1
            self.add_module(name, ConvNormAct(channels, conv.channels, conv.kernel, stride=here, act=act))
            channels = conv.channels
        self.shortcut = shortcut_of(shortcut, in_channels, channels, stride) if shortcut else None
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs:
            y = getattr(self, conv)(y)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        out: Tensor = self.act(y)
        return out


def shortcut_of(option: Option, in_channels: int, channels: int, stride: int) -> nn.Module:
    """The shortcut of section 4.1 between two shapes."""
    if option != "C" and stride == 1 and in_channels == channels:
        return nn.Identity()
    if option == "A":
        return ZeroPadShortcut(in_channels, channels, stride)
    return ConvNormAct(in_channels, channels, 1, stride=stride, act=None)


BlockMaker = Callable[[int, tuple[Conv, ...], int], nn.Module]  # of the input's channels, convolutions and stride


def blocks_of(stage: Stage, block: BlockMaker) -> list[nn.Module]:
    """The blocks of a stage, each made by `block`; the first has the stride and the change of channels."""
    after = stage.convs[-1].channels
    first = block(stage.in_channels, stage.convs, stage.stride)
    return [first, *(block(after, stage.convs, 1) for _ in range(stage.blocks - 1))]


def add_imagenet_stages(
    net: Net, first: Conv, rows: Iterable[Stage], block: BlockMaker, pooling: Pooling = "padded"
) -> None:
    """Give `net` conv1, with `first`, and conv2_x to conv5_x of Table 1, from `rows`; conv2_x opens with the pooling.

    Also sets `stages`, `feature_channels` and `embedding_size`; the head is left to the net.
    """
    net.add_module("conv1", ConvNormAct(net.in_channels, first.channels, first.kernel, stride=2))
    names = [row.layer_name for row in ROWS]
    pool = nn.MaxPool2d(3, 2, padding=1) if pooling == "padded" else nn.MaxPool2d(3, 2, ceil_mode=True)
    parts: list[tuple[str, nn.Module]] = [("pool", pool)]
    for name, stage in zip(names[1:], rows, strict=True):
        parts += [(str(number), made) for number, made in enumerate(blocks_of(stage, block))]
        net.add_module(name, nn.Sequential(OrderedDict(parts)))
        parts = []
    net.stages = tuple(names)
    net.feature_channels = net.embedding_size = stage.convs[-1].channels


class ResNet(Net):
    """The network of Table 1; the stages have the names of its rows; the pooling is part of conv2_x.

    `residual=False` gives the plain network, layer for layer the same but without shortcuts; `shortcut` is A, B or C of
    section 4.1. `stride_in` is the convolution of a bottleneck that has the stride: the first 1x1 one as in the paper,
    or the 3x3 one, as in most later code. `pooling` is "padded" by a pixel, or "ceil": windows cross the right and the
    lower edge, as in Caffe. `width` multiplies all filters. 224x224 images in the paper; any size of at least
    32 is accepted. Raises RequestError for a width outside (0, 8].
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        depth: Depth = 50,
        residual: bool = True,
        shortcut: Option = "B",
        stride_in: StrideIn = "1x1",
        pooling: Pooling = "padded",
        width: float = 1.0,
    ) -> None:
        if not 0 < width <= 8:
            raise RequestError(f"width must be above 0 and at most 8, not {width}")
        super().__init__()
        self.in_channels = in_channels
        (first,) = ROWS[0].basic.scaled(width)
        block = partial(Block, shortcut=shortcut if residual else None, stride_in=stride_in)
        add_imagenet_stages(self, first, stages(depth, width), block, pooling)
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal(self)


class CifarResNet(Net):
    """The network of section 4.2: a convolution, three stages of blocks, global average pooling, a linear layer.

    `depth` is 6n + 2; `residual=False` gives the plain network, layer for layer the same but without shortcuts.
    `shortcut` is A, B or C of section 4.1; the paper's CIFAR networks have A. 32x32 images in the paper; any size of at
    least 8 is accepted. Raises RequestError for a depth that is not 6n + 2, or above 1202.
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 20,
        residual: bool = True,
        shortcut: Option = "A",
    ) -> None:
        if not 8 <= depth <= 1202 or depth % 6 != 2:
            raise RequestError(f"depth must be 6n + 2, from 8 to 1202 (20, 32, 44, 56, 110, ...), not {depth}")
        super().__init__()
        self.in_channels = in_channels
        first, *_, last = CIFAR_ROWS
        self.stem = ConvNormAct(in_channels, first.filters, 3)
        block = partial(Block, shortcut=shortcut if residual else None)
        for number, stage in enumerate(cifar_stages(depth), start=1):
            self.add_module(f"stage{number}", nn.Sequential(*blocks_of(stage, block)))
        self.head = nn.Linear(last.filters, classes)
        self.stages = ("stem", "stage1", "stage2", "stage3")
        self.feature_channels = self.embedding_size = last.filters
        he_normal(self)


VARIANTS = {
    **{f"resnet{depth}": Variant(ResNet, {"depth": depth}) for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}_modern": Variant(ResNet, {"depth": depth, "stride_in": "3x3"}) for depth in (50, 101, 152)},
    "resnet18_a": Variant(ResNet, {"depth": 18, "shortcut": "A"}),
    "resnet34_a": Variant(ResNet, {"depth": 34, "shortcut": "A"}),
    "resnet34_c": Variant(ResNet, {"depth": 34, "shortcut": "C"}),
    "plain18": Variant(ResNet, {"depth": 18, "residual": False}),
    "plain34": Variant(ResNet, {"depth": 34, "residual": False}),
    "resnet_tiny": Variant(ResNet, {"depth": 18, "width": 0.125}),
    **{f"resnet{depth}": Variant(CifarResNet, {"depth": depth}) for depth in (8, 20, 32, 44, 56, 110, 1202)},
    **{
        f"plain{depth}": Variant(CifarResNet, {"depth": depth, "residual": False}) for depth in (8, 20, 32, 44, 56, 110)
    },
}

# Deviations. CIFAR: none in the layers; the position of the zero channels of option A is not stated and chosen here
# (see ZeroPadShortcut), and so is the linear layer's initialisation, which follows the convolutions'. ImageNet: the
# authors' Caffe models pool 112 to 56 with windows that cross the right and lower edge, ours are padded by a pixel
# (`pooling`); their ResNet-50 has a bias in its first convolution (64 parameters more), which none of their other
# networks has.
# The paper's error of 27.88 % for 18 layers is resnet18_a's; it has none for option B, which others publish.
# The _modern networks are not the paper's: its multiply-adds result with the stride in the 1x1 convolution.
# resnet8, plain8 (n = 1) and resnet_tiny are ours, for tests; plain32 is in Figure 6, without a figure for its error.
