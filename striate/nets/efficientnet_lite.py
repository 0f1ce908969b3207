"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6 for swish.

Mingxing Tan, Quoc V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
arXiv:1905.11946; the Lite family is described in the authors' repository (tensorflow/tpu, models/official/efficientnet/
lite, 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.tables import table

# Table 1 of the paper (EfficientNet-B0); a row's resolution is that of its input. Pooling and the linear layer follow.
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


class Row(NamedTuple):
    stage: int
    operator: str
    expansion: int
    kernel: int
    resolution: int
    channels: int
    layers: int


ROWS = table(Row, TABLE)


class Stage(NamedTuple):
    """The arguments of one stage: `layers` layers, of which the first has the stride and the change of channels."""

    operator: str
    expansion: int
    kernel: int
    stride: int
    in_channels: int
    channels: int
    layers: int


def stages(in_channels: int = 3, width: float = 1.0, depth: float = 1.0) -> Iterator[Stage]:
    """The rows as stages, `width` times as wide and `depth` times as deep.

    A stride is what leads to the next row's resolution; input channels are the row before's. Lite scales neither the
    two plain convolutions nor, in depth, the first and the last row of MBConv.
    """
    for row, below in zip(ROWS, (*ROWS[1:], ROWS[-1]), strict=True):
        scaled = row.operator == "MBConv"
        channels = round_channels(row.channels * width) if scaled else row.channels
        layers = math.ceil(row.layers * depth) if scaled and 2 < row.stage < 8 else row.layers
        stride = row.resolution // below.resolution
        yield Stage(row.operator, row.expansion, row.kernel, stride, in_channels, channels, layers)
        in_channels = channels


def round_channels(channels: float) -> int:
    """To the nearest multiple of 8, but never below 8 nor by more than a tenth down (the authors' code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


# Momentum is torch's: the share of the new value, 1 - 0.99 of the authors' 0.99.
Conv = partial(ConvNormAct, padding="same", norm=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01), act=nn.ReLU6)


class MBConv(nn.Module):
    """The inverted residual: widen, filter each channel by itself, narrow without activation; add the input if it fits.

    Source: section 4 of the paper, after MobileNetV2 (arXiv:1801.04381).
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = Conv(in_channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = Conv(wide, wide, kernel, stride=stride, groups=wide)
        self.project = Conv(wide, channels, 1, act=None)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(Net):
    """The stages of the table, global average pooling, dropout, a linear layer.

    `width` and `depth` multiply channels and layers; `dropout` is the share of the pooled vector dropped in training.
    224x224 images in the paper; any size of at least 32 is accepted. Raises RequestError for a width or depth outside
    (0, 8] or a dropout outside [0, 1).
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        for name, value in (("width", width), ("depth", depth)):
            if not 0 < value <= 8:
                raise RequestError(f"{name} must be above 0 and at most 8, not {value}")
        if not 0 <= dropout < 1:
            raise RequestError(f"dropout must be at least 0 and below 1, not {dropout}")
        super().__init__()
        self.in_channels = in_channels
        for row, stage in zip(ROWS, stages(in_channels, width, depth), strict=True):
            self.add_module(f"stage{row.stage}", _layers(stage))
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = ROWS[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(f"stage{row.stage}" for row in ROWS)
        _initialise(self)

    def embed(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> vectors [N, embedding_size], with dropout in training."""
        vector: Tensor = self.dropout(super().embed(x))
        return vector


def _layers(stage: Stage) -> nn.Module:
    if stage.operator == "Conv":
        return Conv(stage.in_channels, stage.channels, stage.kernel, stride=stage.stride)
    first = MBConv(stage.in_channels, stage.channels, stage.kernel, stage.stride, stage.expansion)
    others = (MBConv(stage.channels, stage.channels, stage.kernel, 1, stage.expansion) for _ in range(stage.layers - 1))
    return nn.Sequential(first, *others)


@torch.no_grad()
def _initialise(net: nn.Module) -> None:
    """As the authors': normal of variance 2 / fan-out, the linear layer uniform in +-1 / sqrt(classes), biases zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
            module.weight.normal_(0, math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            module.weight.uniform_(-bound, bound)
            module.bias.zero_()


VARIANTS = {
    "efficientnet_lite0": Variant(EfficientNetLite, {}),
    "efficientnet_lite_tiny": Variant(EfficientNetLite, {"width": 0.25, "depth": 0.5}),
}

# The authors state 407 M multiply-adds for lite0; the convolutions and the linear layer have 385,187,552.
# Deviations: the authors train with stochastic depth (survival 0.8 at the end), a technique put into any network from
# outside and not part of this one. efficientnet_lite_tiny is ours, for tests.
