"""MnasNet: Platform-Aware Neural Architecture Search for Mobile.

Mingxing Tan, Bo Chen, Ruoming Pang, Vijay Vasudevan, Mark Sandler, Andrew Howard, Quoc V. Le, 2018. arXiv:1807.11626.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, NamedTuple

from torch import nn

from striate.layers.conv import ConvNormAct
from striate.nets.base import DropoutNet, Variant
from striate.nets.cells import MapSize
from striate.nets.efficientnet import MOMENTUM, MBConv
from striate.nets.initialise import he_normal_fan_out
from striate.nets.mobilenet_v1 import Padding
from striate.nets.mobilenet_v2 import InvertedResidual, round_channels
from striate.nets.options import check_dropout, check_eps, check_width
from striate.tables import table

# Figure 7, found by the search. `se`: the share of the block's input channels that squeeze-and-excitation has inside.
# The stem, pooling and the linear layer are fixed. A search step chooses operator, kernel, se, channels and layers.
A1 = """
    stage  operator  expansion  kernel  se    output     layers
    1      Conv      -          3       -     112x32     1
    2      SepConv   1          3       -     112x16     1
    3      MBConv    6          3       -     56x24      2
    4      MBConv    3          5       0.25  28x40      3
    5      MBConv    6          3       -     14x80      4
    6      MBConv    6          3       0.25  14x112     2
    7      MBConv    6          5       0.25  7x160      3
    8      MBConv    6          3       -     7x320      1
    9      Conv      -          1       -     7x1280     1
"""

# From the authors' code (tensorflow/tpu, models/official/mnasnet, mnasnet_models.py): the same search without
# squeeze-and-excitation, and a small network.
B1 = """
    stage  operator  expansion  kernel  se    output     layers
    1      Conv      -          3       -     112x32     1
    2      SepConv   1          3       -     112x16     1
    3      MBConv    3          3       -     56x24      3
    4      MBConv    3          5       -     28x40      3
    5      MBConv    6          5       -     14x80      3
    6      MBConv    6          3       -     14x96      2
    7      MBConv    6          5       -     7x192      4
    8      MBConv    6          3       -     7x320      1
    9      Conv      -          1       -     7x1280     1
"""

SMALL = """
    stage  operator  expansion  kernel  se    output     layers
    1      Conv      -          3       -     112x8      1
    2      SepConv   1          3       -     112x8      1
    3      MBConv    3          3       -     56x16      1
    4      MBConv    6          3       -     28x16      2
    5      MBConv    6          5       0.25  14x32      4
    6      MBConv    6          3       0.25  14x32      3
    7      MBConv    6          5       0.25  7x88       3
    8      MBConv    6          3       -     7x144      1
    9      Conv      -          1       -     7x1280     1
"""


class Row(NamedTuple):
    stage: int
    operator: str
    expansion: int | None
    kernel: int
    se: float | None
    output: MapSize
    layers: int


SIDE = 224  # of the image for which the tables print the sizes


class Stage(NamedTuple):
    """The arguments of one stage: `layers` layers, of which the first has the stride and the change of channels.

    The expansion of a plain convolution is 0: there is none; `se`: whether there is squeeze-and-excitation.
    """

    name: str
    expansion: int
    kernel: int
    se: bool
    stride: int
    in_channels: int
    channels: int
    layers: int


def stages(
    text: str, in_channels: int = 3, width: float = 1.0, depth: float = 1.0, side: int = SIDE
) -> Iterator[Stage]:
    """The rows of a table as stages, `width` times as wide, except for the last convolution, and `depth` times as deep.

    Strides follow from the sizes, which are those for an image of `side` pixels; input channels are the previous row's.
    """
    rows = table(Row, text)
    for row in rows:
        layers = math.ceil(row.layers * depth) if row.expansion else row.layers
        channels = row.output.channels if row is rows[-1] else round_channels(row.output.channels * width)
        stride = -(-side // row.output.height)  # of 7 to 4 pixels, too
        yield Stage(
            f"stage{row.stage}", row.expansion or 0, row.kernel, row.se is not None, stride, in_channels, channels,
            layers,
        )  # fmt: skip
        in_channels, side = channels, row.output.height


class MnasNet(DropoutNet):
    """MnasNet-A1: the stages of the table, global average pooling, dropout, a linear layer.

    `width` multiplies the channels but those of the last convolution; `dropout` is the dropout rate of the pooled
    vector. 224x224 images in the paper; any size of at least 32 is accepted. Ports differ from the authors' code in
    `padding` ("half": the same on all sides) and `norm_eps` (of batch normalisation). Raises RequestError for a width
    outside (0, 8], a dropout outside [0, 1) or a norm_eps outside (0, 0.1].
    """

    table = A1
    minimum_size = 32
    momentum: ClassVar[float] = MOMENTUM  # of batch normalisation

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.2,
        padding: Padding = "same",
        norm_eps: float = 1e-3,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        check_eps(norm_eps)
        super().__init__()
        self.in_channels = in_channels
        plan = self._plan(width)
        norm = partial(nn.BatchNorm2d, eps=norm_eps, momentum=self.momentum)
        conv = partial(ConvNormAct, padding=padding, norm=norm)
        for stage in plan:
            self.add_module(stage.name, _layers(stage, conv))
        self.dropout = nn.Dropout(dropout)
        self.stages = tuple(stage.name for stage in plan)
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal_fan_out(self)

    def _plan(self, width: float) -> list[Stage]:
        return list(stages(self.table, self.in_channels, width))


class MnasNetB1(MnasNet):
    """MnasNet-B1, without squeeze-and-excitation; options as of MnasNet."""

    table = B1


class MnasNetSmall(MnasNet):
    """MnasNet-small; options as of MnasNet."""

    table = SMALL


def _layers(stage: Stage, conv: Callable[..., nn.Sequential]) -> nn.Module:
    if not stage.expansion:
        return conv(stage.in_channels, stage.channels, stage.kernel, stride=stage.stride)
    kind: Callable[..., nn.Module] = partial(MBConv, act=nn.ReLU) if stage.se else InvertedResidual
    block = partial(kind, kernel=stage.kernel, expansion=stage.expansion, conv=conv)
    first = block(stage.in_channels, stage.channels, stride=stage.stride)
    return nn.Sequential(first, *(block(stage.channels, stage.channels, stride=1) for _ in range(stage.layers - 1)))


VARIANTS = {
    "mnasnet_a1": Variant(MnasNet, {}),
    "mnasnet_a1_140": Variant(MnasNet, {"width": 1.4}),
    "mnasnet_a1_075": Variant(MnasNet, {"width": 0.75}),
    "mnasnet_a1_050": Variant(MnasNet, {"width": 0.5}),
    "mnasnet_a1_035": Variant(MnasNet, {"width": 0.35}),
    "mnasnet_b1": Variant(MnasNetB1, {}),
    "mnasnet_small": Variant(MnasNetSmall, {"dropout": 0.0}),
    "mnasnet_tiny": Variant(MnasNet, {"width": 0.1}),
}

# Counted at width 1 the paper's figures are met; the README of the authors' code states slightly more multiply-adds
# than there are at other widths (591.5 M for 586.3 M at 1.4). Not in the paper, from that code: B1 and small, SAME
# padding, the norms' epsilon 1e-3, rounding to 8, initialisation, and that squeeze-and-excitation is inside a quarter
# as wide as the block's input, with ReLU. At the other widths the linear layer is as wide as at 1, as there.
# Deviations: none known in the layers. The running statistics of batch normalisation move by a hundredth a step, as the
# authors' do: see efficientnet.py. mnasnet_tiny is ours, for tests.
