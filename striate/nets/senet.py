"""Squeeze-and-Excitation Networks.

Jie Hu, Li Shen, Gang Sun, 2017. arXiv:1709.01507.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from striate.errors import RequestError
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets import resnext, shake_shake, wide_resnet
from striate.nets.base import Net, Variant
from striate.nets.bn_inception import BNInception, Inception
from striate.nets.initialise import he_normal
from striate.nets.mobilenet_v1 import MobileNetV1, SeparableConv
from striate.nets.preact_resnet import CifarPreActResNet, Unit
from striate.nets.resnet import Block, CifarResNet, ResNet
from striate.nets.resnext import AggregatedBlock
from striate.nets.shake_shake import ShakeBlock, ShakeBottleneck
from striate.nets.shapes import output_shapes
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


class Row(NamedTuple):
    output_size: int
    conv_1x1: int
    conv_3x3: int
    conv_1x1_out: int
    fc_down: int
    fc_up: int
    blocks: int


ROWS = table(Row, TABLE)

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
    "se_mobilenet_v1": Variant(MobileNetV1, {}, squeeze_excite),
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
# SE-ResNet-50, 572 M for SE-MobileNet); here, as in all files, they are not counted (3.860 G, 569 M).
# The CIFAR networks of Tables 4 and 5 are assumed to be the pre-activation ones, whose errors are those of the paper's
# baselines. Inception is BN-Inception, as in Table 2. Where SE is in SE-MobileNet the paper does not state: after each
# separable convolution gives its 4.7 M. Nor does it say where it is in the Shake-Shake networks: here after the mixed
# branches, once a block. Not included: SE in VGG-16, Inception-ResNet-v2 and ShuffleNet, SENet-154. se_resnet20 and
# se_resnet_tiny (depth 8) are ours, for small machines and for tests.
