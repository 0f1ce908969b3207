"""Squeeze-and-Excitation Networks.

Jie Hu, Li Shen, Gang Sun, 2017. arXiv:1709.01507.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvAct, ConvNormAct
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets import resnext, shake_shake, wide_resnet
from striate.nets.base import DropoutNet, Net, Variant
from striate.nets.bn_inception import BNInception, Inception
from striate.nets.inception_v4 import InceptionResNetV2, Residual
from striate.nets.initialise import he_normal
from striate.nets.mobilenet_v1 import MobileNetV1, SeparableConv
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.preact_resnet import CifarPreActResNet, Unit
from striate.nets.resnet import Block, CifarResNet, ResNet
from striate.nets.resnext import AggregatedBlock
from striate.nets.shake_shake import ShakeBlock, ShakeBottleneck
from striate.nets.shapes import output_shapes
from striate.nets.shufflenet import ShuffleNet, ShuffleUnit
from striate.nets.vgg import VGG
from striate.nets.wide_resnet import WideBlock
from striate.tables import table

# Table 1, the column of SE-ResNet-50: the blocks of ResNet-50, and in each the two fully connected layers.
TABLE = """
    output_size  conv_1x1  conv_3x3  conv_1x1_out  fc_down  fc_up  blocks
    56           64        64        256           16       256    3
    28           128       128       512           32       512    4
    14           256       256       1024          64       1024   6
    7            512       512       2048          128      2048   3
"""


# SENet-154, the network of the ILSVRC 2017 (appendix, and the authors' definition): ResNeXt-152 (64x4d) with half as
# many channels in the first 1x1 convolution of a block, a stem of three 3x3 convolutions, and a 3x3 `projection` on
# shortcuts.
SENET154 = """
    output_size  conv_1x1  conv_3x3  groups  conv_1x1_out  fc_down  fc_up  projection  blocks
    56           128       256       64      256           16       256    1           3
    28           256       512       64      512           32       512    3           8
    14           512       1024      64      1024          64       1024   3           36
    7            1024      2048      64      2048          128      2048   3           3
"""
STEM = (64, 64, 128)  # its 3x3 convolutions; the first has stride 2, and 3x3 pooling of stride 2 follows


class Row(NamedTuple):
    output_size: int
    conv_1x1: int
    conv_3x3: int
    conv_1x1_out: int
    fc_down: int
    fc_up: int
    blocks: int


class SENet154Row(NamedTuple):
    output_size: int
    conv_1x1: int
    conv_3x3: int
    groups: int
    conv_1x1_out: int
    fc_down: int
    fc_up: int
    projection: int
    blocks: int


ROWS = table(Row, TABLE)
SENET154_ROWS = table(SENet154Row, SENET154)


class GroupedBottleneck(nn.Module):
    """1x1, grouped 3x3 with the stride, and 1x1 convolutions; a shortcut around them, a convolution if shapes differ.

    Input [N, in_channels, H, W], output [N, row.conv_1x1_out, ceil(H/s), ceil(W/s)].
    """

    def __init__(self, in_channels: int, row: SENet154Row, stride: int) -> None:
        super().__init__()
        channels = row.conv_1x1_out
        self.conv1 = ConvNormAct(in_channels, row.conv_1x1, 1)
        self.conv2 = ConvNormAct(row.conv_1x1, row.conv_3x3, 3, stride=stride, groups=row.groups)
        self.conv3 = ConvNormAct(row.conv_3x3, channels, 1, act=None)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != channels:
            self.shortcut = ConvNormAct(in_channels, channels, row.projection, stride=stride, act=None)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x))
        return out


class SENet154(DropoutNet):
    """The stem, the rows of its table, global average pooling, dropout, a linear layer; SE itself is added afterwards.

    `width` multiplies channels and groups; `dropout` is the dropout rate of the pooled vector. 224x224 images in the
    paper; any size of at least 32 is accepted. Raises RequestError for a width outside (0, 8] or a dropout outside
    [0, 1).
    """

    table = SENET154
    minimum_size = 32

    def __init__(self, *, classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        self.conv1 = nn.Sequential()
        channels = in_channels
        for number, filters in enumerate(STEM):
            self.conv1.append(ConvNormAct(channels, scaled(filters, width), 3, stride=1 if number else 2))
            channels = scaled(filters, width)
        self.conv1.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for number, row in enumerate(SENET154_ROWS, start=2):
            row = _scaled(row, width)
            stride = 1 if number == 2 else 2
            blocks = [GroupedBottleneck(channels, row, stride)]
            blocks += [GroupedBottleneck(row.conv_1x1_out, row, 1) for _ in range(row.blocks - 1)]
            self.add_module(f"conv{number}_x", nn.Sequential(*blocks))
            channels = row.conv_1x1_out
        self.dropout = nn.Dropout(dropout)
        self.stages = ("conv1", *(f"conv{number}_x" for number in range(2, 6)))
        self.feature_channels = self.embedding_size = channels
        self.head = nn.Linear(channels, classes)
        he_normal(self)


def _scaled(row: SENet154Row, width: float) -> SENet154Row:
    groups = scaled(row.groups, width)
    return row._replace(
        conv_1x1=groups * max(1, round(row.conv_1x1 * width / groups)),
        conv_3x3=groups * max(1, round(row.conv_3x3 * width / groups)),
        groups=groups,
        conv_1x1_out=scaled(row.conv_1x1_out, width),
    )


# Section 3, Figures 2 and 3: the part of a block that squeeze-and-excitation follows. In a residual block it is the
# last of the branch, before the addition; elsewhere the whole block, "".
Places = Mapping[type[nn.Module], Callable[[Any], str]]
PLACES: Places = {
    Inception: lambda block: "",
    Block: lambda block: block.convs[-1],
    Unit: lambda block: "residual",
    SeparableConv: lambda block: "",
    WideBlock: lambda block: "residual",
    AggregatedBlock: lambda block: "transformations",
    ShakeBlock: lambda block: "branches",
    ShakeBottleneck: lambda block: "branches",
    GroupedBottleneck: lambda block: "conv3",
    Residual: lambda block: "linear",
    ShuffleUnit: lambda block: "branch",
}


def squeeze_excite(net: Net, places: Places = PLACES, *, reduction: int = 16, bias: bool = True) -> None:
    """Add squeeze-and-excitation to every block of `net` whose class is among `places`.

    `places` maps a class of block to the name of the part after which the layer is inserted. `reduction` (the paper's
    r) divides the number of channels; `bias` gives the layers a bias. Weights are initialised as in the paper (He et
    al. 2015), biases are zero. Parameters of the net keep their values and, where the part is a sequence, their
    names. Raises RequestError for a net that has none of the blocks, or a reduction below 1.
    """
    if reduction < 1:
        raise RequestError(f"reduction must be at least 1, not {reduction}")
    parts = [
        f"{name}.{places[type(block)](block)}".strip(".")
        for name, block in net.named_modules()
        if type(block) in places
    ]
    if not parts:
        known = ", ".join(block.__name__ for block in places)
        raise RequestError(f"{net.name} has none of the blocks that squeeze-and-excitation can be put into: {known}")
    for part, (channels, *_) in output_shapes(net, parts).items():
        layer = SqueezeExcitation(channels, max(1, channels // reduction), bias=bias)
        he_normal(layer)
        _append(net, part, layer)


def squeeze_excite_convs(net: Net, *, reduction: int = 16, bias: bool = True) -> None:
    """`squeeze_excite` after every convolution with its ReLU, for networks without blocks, such as VGG."""
    squeeze_excite(net, {ConvAct: lambda block: ""}, reduction=reduction, bias=bias)


def _append(net: nn.Module, name: str, layer: nn.Module) -> None:
    """Insert `layer` after the module `name` of `net`."""
    module = net.get_submodule(name)
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        module.add_module("excitation", layer)
        return
    above, _, place = name.rpartition(".")
    followed = nn.Sequential()
    followed.add_module("body", module)
    followed.add_module("excitation", layer)
    net.get_submodule(above).add_module(place, followed)


VARIANTS = {
    **{f"se_resnet{depth}": Variant(ResNet, {"depth": depth}, squeeze_excite, TABLE) for depth in (50, 101, 152)},
    "se_resnet50_lecture": Variant(ResNet, {"depth": 50, "bias": False}, squeeze_excite, TABLE),
    "se_bn_inception": Variant(BNInception, {}, squeeze_excite),
    "senet154": Variant(SENet154, {}, squeeze_excite),
    "se_vgg16_bn": Variant(VGG, {"configuration": "D", "batch_norm": True}, squeeze_excite_convs),
    "se_inception_resnet_v2": Variant(InceptionResNetV2, {}, squeeze_excite),
    "se_mobilenet_v1": Variant(MobileNetV1, {}, squeeze_excite),
    "se_shufflenet_g3": Variant(ShuffleNet, {"groups": 3}, squeeze_excite),
    "se_preact_resnet110": Variant(CifarPreActResNet, {"depth": 110}, squeeze_excite),
    "se_preact_resnet164": Variant(CifarPreActResNet, {"depth": 164, "bottleneck": True}, squeeze_excite),
    "se_resnext50_32x4d": resnext.VARIANTS["resnext50_32x4d"]._replace(then=squeeze_excite),
    "se_resnext101_32x4d": resnext.VARIANTS["resnext101_32x4d"]._replace(then=squeeze_excite),
    "se_wrn_16_8": wide_resnet.VARIANTS["wrn_16_8"]._replace(then=squeeze_excite),
    "se_shake_26_2x96d": shake_shake.VARIANTS["shake_shake_26_2x96d"]._replace(then=squeeze_excite),
    "se_shake_even_29_2x4x64d": shake_shake.VARIANTS["shake_even_29_2x4x64d"]._replace(then=squeeze_excite),
    "se_resnet20": Variant(CifarResNet, {"depth": 20}, squeeze_excite),
    "se_resnet_tiny": Variant(CifarResNet, {"depth": 8}, squeeze_excite),
}

# The paper's fully connected layers have biases (28,088,024 parameters in SE-ResNet-50); lectures and many libraries
# omit them (28,071,976): se_resnet50_lecture. The paper counts the additions of every pooling, too (3.87 G for
# SE-ResNet-50, 572 M for SE-MobileNet); here, as in all files, they are not counted (3.860 G, 569 M). SENet-154's first
# 1x1 convolution has half of its 3x3's channels. The CIFAR networks of Tables 4 and 5 are assumed to be the
# pre-activation ones, whose errors are those of the paper's baselines. Inception is BN-Inception, as in Table 2. Where
# SE is in SE-MobileNet the paper does not state: after each separable convolution gives its 4.7 M. Nor where it is in
# SE-VGG-16: here after the ReLU of each of the 13 convolutions; nor in the Shake-Shake networks: here after the mixed
# branches, once a block. In SE-ShuffleNet it is on the branch, before the addition or concatenation, which gives
# 2,484,533 parameters (the paper's 2.4 M, as its 1.8 M is 1,865,728 cut off); the paper counts 142 M multiply-adds for
# it, the layers have 138.1 M. Its Inception-ResNet-v2 is a re-implementation of 11.75 G multiply-adds; here SE is put
# into the released network, of 13.16 G. se_resnet20 and se_resnet_tiny (depth 8) are ours, for tests.
