"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.

Andrew G. Howard, Menglong Zhu, Bo Chen, Dmitry Kalenichenko, Weijun Wang, Tobias Weyand, Marco Andreetto, Hartwig
Adam, 2017. arXiv:1704.04861.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.nets.cells import Filter, MapSize
from striate.nets.initialise import truncated_normal
from striate.nets.options import check_eps, check_width
from striate.tables import table

# Table 1. Pooling and the linear layer follow.
TABLE = """
    type     stride  filter         input       times
    conv     2       3x3x3x32       224x224x3   1
    conv_dw  1       3x3x32         112x112x32  1
    conv     1       1x1x32x64      112x112x32  1
    conv_dw  2       3x3x64         112x112x64  1
    conv     1       1x1x64x128     56x56x64    1
    conv_dw  1       3x3x128        56x56x128   1
    conv     1       1x1x128x128    56x56x128   1
    conv_dw  2       3x3x128        56x56x128   1
    conv     1       1x1x128x256    28x28x128   1
    conv_dw  1       3x3x256        28x28x256   1
    conv     1       1x1x256x256    28x28x256   1
    conv_dw  2       3x3x256        28x28x256   1
    conv     1       1x1x256x512    14x14x256   1
    conv_dw  1       3x3x512        14x14x512   5
    conv     1       1x1x512x512    14x14x512   5
    conv_dw  2       3x3x512        14x14x512   1
    conv     1       1x1x512x1024   7x7x512     1
    conv_dw  2       3x3x1024       7x7x1024    1
    conv     1       1x1x1024x1024  7x7x1024    1
"""


class Row(NamedTuple):
    type: str
    stride: int
    filter: Filter
    input: MapSize
    times: int


ROWS = table(Row, TABLE)


class Stage(NamedTuple):
    """The arguments of one stage: `blocks` blocks, of which the first has the stride and the change of channels."""

    in_channels: int
    channels: int
    stride: int
    blocks: int


def stages(in_channels: int = 3, width: float = 1.0, *, shallow: bool = False) -> Iterator[Stage]:
    """The first convolution, then each depthwise row with the 1x1 row below it, `width` times as wide.

    Strides follow from the sizes of the rows. `shallow` omits the row that is repeated five times.
    """
    sides = [row.input.height for row in (*ROWS, ROWS[-1])]
    stride = 1
    for row, side, below in zip(ROWS, sides, sides[1:], strict=False):
        stride *= side // below
        if row.type == "conv_dw" or (shallow and row.times > 1):
            continue
        channels = max(8, int(row.filter.channels * width))
        yield Stage(in_channels, channels, stride, row.times)
        in_channels, stride = channels, 1


Padding = Literal["same", "half"]


def conv_maker(padding: Padding, norm_eps: float, act: type[nn.Module] = nn.ReLU) -> Callable[..., ConvNormAct]:
    """What makes a convolution: batch normalisation and an activation follow every one of them (section 3.2)."""
    check_eps(norm_eps)
    return partial(ConvNormAct, padding=padding, norm=partial(nn.BatchNorm2d, eps=norm_eps), act=act)


class SeparableConv(nn.Sequential):
    """A depthwise 3x3 convolution, then a 1x1 convolution, both made by `conv`: Figure 3, right."""

    def __init__(self, in_channels: int, channels: int, stride: int, conv: Callable[..., ConvNormAct]) -> None:
        super().__init__()
        self.depthwise = conv(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        self.pointwise = conv(in_channels, channels, 1)


class MobileNetV1(Net):
    """A convolution, thirteen separable convolutions, global average pooling, a linear layer.

    `width` multiplies the channels (the paper's alpha); its rho is the size of the image: 224, 192, 160 or 128 in the
    paper, any size of at least 32 is accepted. `shallow` omits the five layers of 512 channels (Table 5), and
    "full" for `convolution` puts 3x3 convolutions in place of the separable ones (Table 4). Ports differ from the
    authors' code in `padding` ("half": the same on all sides), `norm_eps` (of batch normalisation) and `activation`.
    Raises RequestError for a width outside (0, 8] or a norm_eps outside (0, 0.1].
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        shallow: bool = False,
        convolution: Literal["separable", "full"] = "separable",
        padding: Padding = "same",
        norm_eps: float = 1e-3,
        activation: Literal["relu", "relu6"] = "relu",
    ) -> None:
        check_width(width)
        conv = conv_maker(padding, norm_eps, {"relu": nn.ReLU, "relu6": nn.ReLU6}[activation])
        super().__init__()
        self.in_channels = in_channels
        first, *others = stages(in_channels, width, shallow=shallow)
        self.stem = conv(first.in_channels, first.channels, 3, stride=first.stride)
        block = partial(SeparableConv, conv=conv) if convolution == "separable" else partial(conv, kernel=3)
        for number, stage in enumerate(others, start=1):
            self.add_module(f"stage{number}", _blocks(stage, block))
        self.stages = ("stem", *(f"stage{number}" for number in range(1, len(others) + 1)))
        self.feature_channels = self.embedding_size = others[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        truncated_normal(self)


def _blocks(stage: Stage, block: Callable[..., nn.Sequential]) -> nn.Sequential:
    first = block(stage.in_channels, stage.channels, stride=stage.stride)
    others = (block(stage.channels, stage.channels, stride=1) for _ in range(stage.blocks - 1))
    return nn.Sequential(first, *others)


VARIANTS = {
    "mobilenet_v1": Variant(MobileNetV1, {}),
    "mobilenet_v1_075": Variant(MobileNetV1, {"width": 0.75}),
    "mobilenet_v1_050": Variant(MobileNetV1, {"width": 0.5}),
    "mobilenet_v1_025": Variant(MobileNetV1, {"width": 0.25}),
    "mobilenet_v1_shallow": Variant(MobileNetV1, {"shallow": True}),
    "mobilenet_v1_full": Variant(MobileNetV1, {"convolution": "full"}),
    "mobilenet_v1_tiny": Variant(MobileNetV1, {"width": 0.25, "shallow": True}),
}

# Table 1 prints stride 2 for its last depthwise row, whose input and output are both 7x7: an error, the stride is 1.
# All other printed strides agree with the sizes. Not in the paper, from the authors' code (tensorflow/models,
# research/slim): SAME padding, the norms' epsilon 1e-3 and the initialisation. Deviations from that code: it clips its
# ReLU at 6, has dropout of 0.001 on the pooled vector, and a momentum of 0.9997 in batch norm, for runs of millions of
# steps; here ReLU as in the paper, no dropout, and torch's 0.9. mobilenet_v1_tiny is ours, for tests.
