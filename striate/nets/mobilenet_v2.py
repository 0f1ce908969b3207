"""MobileNetV2: Inverted Residuals and Linear Bottlenecks.

Mark Sandler, Andrew Howard, Menglong Zhu, Andrey Zhmoginov, Liang-Chieh Chen, 2018. arXiv:1801.04381.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.nets.base import DropoutNet, Variant
from striate.nets.cells import MapSize
from striate.nets.initialise import truncated_normal
from striate.nets.mobilenet_v1 import Padding, conv_maker
from striate.nets.options import check_dropout, check_width
from striate.tables import table

# Table 2: expansion t, channels c, repeats n, stride s of the first. Pooling and the classifier follow.
TABLE = """
    input    operator    t  c     n  s
    224x3    conv2d_3x3  -  32    1  2
    112x32   bottleneck  1  16    1  1
    112x16   bottleneck  6  24    2  2
    56x24    bottleneck  6  32    3  2
    28x32    bottleneck  6  64    4  2
    14x64    bottleneck  6  96    3  1
    14x96    bottleneck  6  160   3  2
    7x160    bottleneck  6  320   1  1
    7x320    conv2d_1x1  -  1280  1  1
"""


class Row(NamedTuple):
    input: MapSize
    operator: str
    t: int | None
    c: int
    n: int
    s: int


ROWS = table(Row, TABLE)


class Stage(NamedTuple):
    """The arguments of one stage: `blocks` blocks, of which the first has the stride and the change of channels."""

    expansion: int
    in_channels: int
    channels: int
    stride: int
    blocks: int


def stages(in_channels: int = 3, width: float = 1.0) -> Iterator[Stage]:
    """The rows as stages, `width` times as wide, except the last, which is never narrower than in the table.

    Input channels are the previous row's; the expansion of the two plain convolutions is 0: there is none.
    """
    for row in ROWS:
        channels = round_channels(row.c * (max(1.0, width) if row is ROWS[-1] else width))
        yield Stage(row.t or 0, in_channels, channels, row.s, row.n)
        in_channels = channels


def round_channels(channels: float) -> int:
    """To the nearest multiple of 8, but never below 8 nor by more than a tenth down (the authors' code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, linear projection; with a shortcut if the shapes agree: Figure 4(d), Table 1.

    `conv` makes a convolution with norm and activation; with an expansion of 1 the first is omitted.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        expansion: int = 6,
        conv: Callable[..., nn.Sequential],
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = conv(in_channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = conv(wide, wide, kernel, stride=stride, groups=wide)
        self.project = conv(wide, channels, 1, act=None)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class MobileNetV2(DropoutNet):
    """The stages of the table, global average pooling, dropout, a linear layer.

    `width` multiplies the channels; `dropout` is the dropout rate of the pooled vector. 224x224 images in
    Table 2; any size of at least 32 is accepted. Ports differ from the authors' code in `padding` ("half": the same on
    all sides) and `norm_eps` (of batch normalisation). Raises RequestError for a width outside (0, 8], a dropout
    outside [0, 1) or a norm_eps outside (0, 0.1].
    """

    table = TABLE
    minimum_size = 32

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
        conv = conv_maker(padding, norm_eps, nn.ReLU6)
        super().__init__()
        self.in_channels = in_channels
        first, *bottlenecks, last = stages(in_channels, width)
        self.stem = conv(first.in_channels, first.channels, 3, stride=first.stride)
        for number, stage in enumerate(bottlenecks, start=1):
            self.add_module(f"stage{number}", _blocks(stage, conv))
        self.conv = conv(last.in_channels, last.channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.stages = ("stem", *(f"stage{number}" for number in range(1, len(bottlenecks) + 1)), "conv")
        self.feature_channels = self.embedding_size = last.channels
        self.head = nn.Linear(self.embedding_size, classes)
        truncated_normal(self)


def _blocks(stage: Stage, conv: Callable[..., nn.Sequential]) -> nn.Sequential:
    block = partial(InvertedResidual, expansion=stage.expansion, conv=conv)
    first = block(stage.in_channels, stage.channels, stride=stage.stride)
    return nn.Sequential(first, *(block(stage.channels, stage.channels) for _ in range(stage.blocks - 1)))


VARIANTS = {
    "mobilenet_v2": Variant(MobileNetV2, {}),
    "mobilenet_v2_140": Variant(MobileNetV2, {"width": 1.4}),
    "mobilenet_v2_130": Variant(MobileNetV2, {"width": 1.3}),
    "mobilenet_v2_075": Variant(MobileNetV2, {"width": 0.75}),
    "mobilenet_v2_050": Variant(MobileNetV2, {"width": 0.5}),
    "mobilenet_v2_035": Variant(MobileNetV2, {"width": 0.35}),
    "mobilenet_v2_tiny": Variant(MobileNetV2, {"width": 0.1}),
}

# Table 4 states 3.4 M parameters; Table 2 has 3,504,872 with a linear layer for 1000 classes. (The authors' repository
# states 3.47 M, which leaves out the norms' 34,112.) For width 1.4 the paper states 6.9 M and 585 M multiply-adds where
# table and rounding have 6,108,776 and 582,195,824; the repository states 6.06 M and 582 M, again without the norms.
# Not in the paper, from the authors' code (tensorflow/models, research/slim): rounding to 8, SAME padding, the norms'
# epsilon 1e-3, dropout, initialisation. Deviation from that code: its momentum in batch norm is 0.997; here it is
# torch's 0.9, so that short runs can be evaluated too. mobilenet_v2_tiny is ours, for tests.
