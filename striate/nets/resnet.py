"""Deep Residual Learning for Image Recognition.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, 2015. arXiv:1512.03385.
Here: section 4.2, the CIFAR-10 networks, residual and plain. A network has 6n + 2 layers with weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.shortcut import ZeroPadShortcut
from striate.nets.base import Net, Variant
from striate.tables import table, turned

# The table of section 4.2. The 1 is the first convolution; a block has two layers.
CIFAR_TABLE = """
    output_map_size  32    16  8
    layers           1+2n  2n  2n
    filters          16    32  64
"""


class Row(NamedTuple):
    output_map_size: int
    layers: str
    filters: int


CIFAR_ROWS = table(Row, turned(CIFAR_TABLE))


class Stage(NamedTuple):
    """The arguments of one stage: `blocks` blocks, of which the first has the stride and the change of channels."""

    in_channels: int
    channels: int
    stride: int
    blocks: int


def stages(depth: int) -> Iterator[Stage]:
    """The rows of the table as stages, for a network of `depth` = 6n + 2 layers; the first convolution is apart."""
    n = (depth - 2) // 6
    above = CIFAR_ROWS[0]
    for row in CIFAR_ROWS:
        layers = n * int(row.layers.removeprefix("1+").removesuffix("n"))
        yield Stage(above.filters, row.filters, above.output_map_size // row.output_map_size, layers // 2)
        above = row


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and, if `residual`, the shortcut around them; the last ReLU comes after the sum.

    Source: Figure 2 (residual) and section 4.2 (plain).
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, residual: bool) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, channels, 3, stride=stride)
        self.conv2 = ConvNormAct(channels, channels, 3, act=None)
        self.shortcut: nn.Module | None = None
        if residual:
            same_shape = stride == 1 and in_channels == channels
            self.shortcut = nn.Identity() if same_shape else ZeroPadShortcut(in_channels, channels, stride)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        out: Tensor = self.act(y)
        return out


class CifarResNet(Net):
    """The network of section 4.2: a convolution, three stages of blocks, global average pooling, a linear layer.

    `depth` is 6n + 2; `residual=False` gives the plain network, layer for layer the same but without shortcuts.
    Shortcuts are option A everywhere: the identity, and zeros where channels are new. 32x32 images in the paper; any
    size of at least 8 is accepted. Raises RequestError for a depth that is not 6n + 2, or above 1202.
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(self, *, classes: int = 10, in_channels: int = 3, depth: int = 20, residual: bool = True) -> None:
        if not 8 <= depth <= 1202 or depth % 6 != 2:
            raise RequestError(f"depth must be 6n + 2, from 8 to 1202 (20, 32, 44, 56, 110, ...), not {depth}")
        super().__init__()
        self.in_channels = in_channels
        first, *_, last = CIFAR_ROWS
        self.stem = ConvNormAct(in_channels, first.filters, 3)
        for number, stage in enumerate(stages(depth), start=1):
            self.add_module(f"stage{number}", _blocks(stage, residual))
        self.head = nn.Linear(last.filters, classes)
        self.stages = ("stem", "stage1", "stage2", "stage3")
        self.feature_channels = self.embedding_size = last.filters
        _initialise(self)


def _blocks(stage: Stage, residual: bool) -> nn.Sequential:
    first = BasicBlock(stage.in_channels, stage.channels, stage.stride, residual=residual)
    others = (BasicBlock(stage.channels, stage.channels, 1, residual=residual) for _ in range(stage.blocks - 1))
    return nn.Sequential(first, *others)


def _initialise(net: nn.Module) -> None:
    """Normal weights of variance 2 / fan-in, biases zero: He et al. 2015, arXiv:1502.01852, equation 10."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


VARIANTS = {
    "resnet8": Variant(CifarResNet, {"depth": 8}),
    "resnet20": Variant(CifarResNet, {"depth": 20}),
    "resnet32": Variant(CifarResNet, {"depth": 32}),
    "resnet44": Variant(CifarResNet, {"depth": 44}),
    "resnet56": Variant(CifarResNet, {"depth": 56}),
    "resnet110": Variant(CifarResNet, {"depth": 110}),
    "resnet1202": Variant(CifarResNet, {"depth": 1202}),
    "plain8": Variant(CifarResNet, {"depth": 8, "residual": False}),
    "plain20": Variant(CifarResNet, {"depth": 20, "residual": False}),
    "plain32": Variant(CifarResNet, {"depth": 32, "residual": False}),
    "plain44": Variant(CifarResNet, {"depth": 44, "residual": False}),
    "plain56": Variant(CifarResNet, {"depth": 56, "residual": False}),
    "plain110": Variant(CifarResNet, {"depth": 110, "residual": False}),
}

# Deviations: none in the layers. Said by no one and chosen here: which channels the zeros of option A become (see
# ZeroPadShortcut), and the linear layer's initialisation, which follows the convolutions'. resnet8 and plain8 (n = 1)
# are ours, for tests; plain32 is in Figure 6 of the paper, with no number of its own.
