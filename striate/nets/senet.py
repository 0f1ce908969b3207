"""Squeeze-and-Excitation Networks.

Jie Hu, Li Shen, Gang Sun, 2017. arXiv:1709.01507.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from striate.errors import RequestError
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets.base import Net, Variant
from striate.nets.mobilenet_v1 import MobileNetV1, SeparableConv
from striate.nets.resnet import BasicBlock, CifarResNet
from striate.nets.summary import output_shapes
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

# Section 3 and Figure 3: behind which part of a block squeeze-and-excitation stands. In a residual block it is the last
# of the branch, before the addition; elsewhere the whole block ("").
PLACES: Mapping[type[nn.Module], str] = {
    BasicBlock: "conv2",
    SeparableConv: "",
}


def squeeze_excite(
    net: Net, places: Mapping[type[nn.Module], str] = PLACES, *, reduction: int = 16, bias: bool = True
) -> None:
    """Put squeeze-and-excitation into every block of `net` whose class is among `places`.

    `places` says, for a class of block, behind which of its parts the layer goes; "" is the block itself. `reduction`
    (the paper's r) is by how much the channels are squeezed; without `bias`, the layers have none. Weights are drawn
    as the paper draws all of its own (He et al. 2015), biases are zero. Where the part is a sequence, its parameters
    keep their names. Raises RequestError for a net that has none of the blocks, or a reduction below 1.
    """
    if reduction < 1:
        raise RequestError(f"reduction must be at least 1, not {reduction}")
    found = [f"{name}.{places[type(block)]}".strip(".") for name, block in net.named_modules() if type(block) in places]
    if not found:
        known = ", ".join(block.__name__ for block in places)
        raise RequestError(f"{net.name} has none of the blocks that squeeze-and-excitation can be put into: {known}")
    for name, shape in output_shapes(net, found).items():
        layer = SqueezeExcitation(shape[0], max(1, shape[0] // reduction), bias=bias)
        _initialise(layer)
        _append(net, name, layer)


def _append(net: nn.Module, name: str, layer: nn.Module) -> None:
    """Let the module `name` of `net` be followed by `layer`."""
    module = net.get_submodule(name)
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        module.add_module("excitation", layer)
        return
    above, _, place = name.rpartition(".")
    followed = nn.Sequential()
    followed.add_module("body", module)
    followed.add_module("excitation", layer)
    net.get_submodule(above).add_module(place, followed)


def _initialise(layer: nn.Module) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class SECifarResNet(CifarResNet):
    """The CIFAR ResNet of `depth` layers with squeeze-and-excitation in every block; see squeeze_excite."""

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 20,
        residual: bool = True,
        reduction: int = 16,
        bias: bool = True,
    ) -> None:
        super().__init__(classes=classes, in_channels=in_channels, depth=depth, residual=residual)
        squeeze_excite(self, reduction=reduction, bias=bias)


class SEMobileNetV1(MobileNetV1):
    """MobileNet of `width` with squeeze-and-excitation behind every separable convolution; see squeeze_excite."""

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        reduction: int = 16,
        bias: bool = True,
    ) -> None:
        super().__init__(classes=classes, in_channels=in_channels, width=width)
        squeeze_excite(self, reduction=reduction, bias=bias)


VARIANTS = {
    "se_resnet20": Variant(SECifarResNet, {"depth": 20}),
    "se_mobilenet_v1": Variant(SEMobileNetV1, {}),
    "se_resnet_tiny": Variant(SECifarResNet, {"depth": 8}),
}
