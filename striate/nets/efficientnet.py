"""EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.

Mingxing Tan, Quoc V. Le, ICML 2019. arXiv:1905.11946.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar, NamedTuple

from torch import nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.drop_path import DropPath, check_rate
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets.base import DropoutNet, Variant
from striate.nets.initialise import he_normal_fan_out
from striate.nets.mobilenet_v1 import Padding
from striate.nets.mobilenet_v2 import InvertedResidual, round_channels
from striate.nets.options import check_dropout, check_eps, check_width
from striate.tables import table

# Table 1 (EfficientNet-B0); a row's resolution is that of its input. Pooling and the linear layer follow.
TABLE = """
    stage  operator  expansion  kernel  resolution  channels  layers
    1      Conv      1          3       224         32        1
    2      MBConv    1          3       112         16        1
    3      MBConv    6          3       112         24        2
    4      MBConv    6          5       56          40        2
    5      MBConv    6          3       28          80        3
    6      MBConv    6          5       14          112       3
    7      MBConv    6          5       14          192       4
    8      MBConv    6          3       7           320       1
    9      Conv      1          1       7           1280      1
"""

# The scaling factors of B0, from the authors' code (tensorflow/tpu, models/official/efficientnet).
SCALES = """
    net  width  depth  resolution  dropout
    b0   1.0    1.0    224         0.2
    b1   1.0    1.1    240         0.2
    b2   1.1    1.2    260         0.3
    b3   1.2    1.4    300         0.3
    b4   1.4    1.8    380         0.4
    b5   1.6    2.2    456         0.4
    b6   1.8    2.6    528         0.5
    b7   2.0    3.1    600         0.5
"""

# Section 3.3: found by a grid search on B0, so that depth x width^2 x resolution^2 is about 2 for each step of phi.
DEPTH_BASE = 1.2
WIDTH_BASE = 1.1
RESOLUTION_BASE = 1.15


class Row(NamedTuple):
    stage: int
    operator: str
    expansion: int
    kernel: int
    resolution: int
    channels: int
    layers: int


class Scale(NamedTuple):
    net: str
    width: float
    depth: float
    resolution: int
    dropout: float


ROWS = table(Row, TABLE)
SCALE_ROWS = table(Scale, SCALES)


class Stage(NamedTuple):
    """The arguments of one stage: `layers` layers, of which the first has the stride and the change of channels."""

    operator: str
    expansion: int
    kernel: int
    stride: int
    in_channels: int
    channels: int
    layers: int


def stages(rows: Iterable[Row], in_channels: int = 3) -> Iterator[Stage]:
    """Rows, scaled or not, as stages: strides follow from the resolutions, input channels are the previous row's."""
    rows = tuple(rows)
    for row, below in zip(rows, (*rows[1:], rows[-1]), strict=True):
        stride = row.resolution // below.resolution
        yield Stage(row.operator, row.expansion, row.kernel, stride, in_channels, row.channels, row.layers)
        in_channels = row.channels


# Of batch normalisation, torch's: the share of the new value, 1 - 0.99 of the authors' 0.99.
MOMENTUM = 0.01


class MBConv(InvertedResidual):
    """MobileNetV2's inverted residual, with squeeze-and-excitation on the expanded map.

    Squeezed to a quarter of the block's input channels, not of the expanded map's (the authors' code; section 4).
    `act` is the activation between the two layers of squeeze-and-excitation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        conv: Callable[..., nn.Sequential],
        act: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__(in_channels, channels, kernel=kernel, stride=stride, expansion=expansion, conv=conv)
        excitation = SqueezeExcitation(in_channels * expansion, max(1, in_channels // 4), act=act)
        self.depthwise.add_module("excitation", excitation)


class EfficientNet(DropoutNet):
    """The stages of Table 1, scaled; global average pooling, dropout, a linear layer.

    `width` and `depth` multiply channels and layers. In training, `dropout` is the dropout rate of the pooled vector,
    and `drop_path` the stochastic-depth rate, which grows linearly with depth: see `drop_paths`.
    Images as in the table of scales; any size of at least 32 is accepted. Ports differ from the authors' code in
    `padding` ("half": the same on all sides) and `norm_eps` (of batch normalisation). Raises RequestError for a width
    or depth outside (0, 8], a dropout or drop_path outside [0, 1), or a norm_eps outside (0, 0.1].
    """

    table = TABLE
    minimum_size = 32

    # A later family may override this and `scaled`.
    act: ClassVar[type[nn.Module]] = nn.SiLU
    block: ClassVar[type[InvertedResidual]] = MBConv

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        drop_path: float = 0.2,
        padding: Padding = "same",
        norm_eps: float = 1e-3,
    ) -> None:
        check_width(width)
        check_eps(norm_eps)
        if not 0 < depth <= 8:
            raise RequestError(f"depth must be above 0 and at most 8, not {depth}")
        check_dropout(dropout)
        check_rate(drop_path)
        super().__init__()
        self.in_channels = in_channels
        rows = [self.scaled(row, width, depth) for row in ROWS]
        norm = partial(nn.BatchNorm2d, eps=norm_eps, momentum=MOMENTUM)
        conv = partial(ConvNormAct, padding=padding, norm=norm, act=self.act)
        for row, stage in zip(rows, stages(rows, in_channels), strict=True):
            self.add_module(f"stage{row.stage}", self._layers(stage, conv))
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = rows[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(f"stage{row.stage}" for row in rows)
        he_normal_fan_out(self)
        drop_paths(self, drop_path)

    @staticmethod
    def scaled(row: Row, width: float, depth: float) -> Row:
        """The row `width` times as wide and, if of blocks, `depth` times as deep, rounded as in the authors' code."""
        layers = math.ceil(row.layers * depth) if row.operator == "MBConv" else row.layers
        return row._replace(channels=round_channels(row.channels * width), layers=layers)

    def _layers(self, stage: Stage, conv: Callable[..., nn.Sequential]) -> nn.Module:
        if stage.operator == "Conv":
            return conv(stage.in_channels, stage.channels, stage.kernel, stride=stage.stride)
        block = partial(self.block, kernel=stage.kernel, expansion=stage.expansion, conv=conv)
        first = block(stage.in_channels, stage.channels, stride=stage.stride)
        others = (block(stage.channels, stage.channels, stride=1) for _ in range(stage.layers - 1))
        return nn.Sequential(first, *others)


def drop_paths(net: nn.Module, rate: float) -> None:
    """Add stochastic depth to every inverted residual of `net` that has a shortcut, before the addition.

    Of n blocks (including those without shortcut), block i (from 0) is dropped for a share rate * i / n of the images,
    in training only. The names of parameters do not change. Raises RequestError for a rate outside [0, 1).
    Source: section 5.2 (survival probability 0.8) and the authors' code.
    """
    check_rate(rate)
    blocks = [module for module in net.modules() if isinstance(module, InvertedResidual)]
    for number, block in enumerate(blocks):
        if block.residual:
            block.project.add_module("drop", DropPath(rate * number / len(blocks)))


VARIANTS = {
    **{
        f"efficientnet_{scale.net}": Variant(
            EfficientNet, {"width": scale.width, "depth": scale.depth, "dropout": scale.dropout}
        )
        for scale in SCALE_ROWS
    },
    "efficientnet_tiny": Variant(EfficientNet, {"width": 0.25, "depth": 0.5}),
}

# The paper prints no phi. Its B2 is equation 3 with phi 1, B3 nearly that with 2, and from B5 on the networks cost what
# equation 3 gives for the phi of their number, to a tenth: see striate.anatomy.compound_scaling. Multiply-adds counted
# at the stated resolutions are 2 to 5 % above the paper's for B4 (4.394 G for 4.2), B5 (10.27 G for 9.9) and B7
# (37.75 G for 37).
# Deviations: none known in the layers. The running statistics of batch normalisation move by a hundredth a step, as the
# authors' do: after a run of a few hundred steps they are still near their start, and evaluation is far below training.
# efficientnet_tiny is ours, for tests.
