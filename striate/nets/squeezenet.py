"""SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size.

Forrest Iandola, Song Han, Matthew Moskewicz, Khalid Ashraf, William Dally, Kurt Keutzer, 2016. arXiv:1602.07360;
section 3 and Table 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.conv import ConvAct
from striate.nets.base import Net, Variant
from striate.nets.initialise import caffe_xavier
from striate.nets.options import check_dropout, check_width, scaled
from striate.tables import table

# Table 1, without its columns about compression. A Fire module squeezes to s1x1 maps and expands to e1x1 + e3x3.
# `size` is that of the output from images of 227 x 227; parameters are weights and biases; 0 is an empty cell. All
# convolutions have ReLU; the average of each of conv10's maps (avgpool10) is a class's logit.
V1_0 = """
    layer      size  channels  kernel  stride  s1x1  e1x1  e3x3  parameters
    conv1      111   96        7       2       0     0     0     14208
    maxpool1   55    96        3       2       0     0     0     0
    fire2      55    128       0       0       16    64    64    11920
    fire3      55    128       0       0       16    64    64    12432
    fire4      55    256       0       0       32    128   128   45344
    maxpool4   27    256       3       2       0     0     0     0
    fire5      27    256       0       0       32    128   128   49440
    fire6      27    384       0       0       48    192   192   104880
    fire7      27    384       0       0       48    192   192   111024
    fire8      27    512       0       0       64    256   256   188992
    maxpool8   13    512       3       2       0     0     0     0
    fire9      13    512       0       0       64    256   256   197184
    conv10     13    1000      1       1       0     0     0     513000
"""

# Version 1.1, of the authors' repository: less than half of the multiply-adds, by a smaller conv1 and earlier pooling.
V1_1 = """
    layer      size  channels  kernel  stride  s1x1  e1x1  e3x3  parameters
    conv1      113   64        3       2       0     0     0     1792
    maxpool1   56    64        3       2       0     0     0     0
    fire2      56    128       0       0       16    64    64    11408
    fire3      56    128       0       0       16    64    64    12432
    maxpool3   28    128       3       2       0     0     0     0
    fire4      28    256       0       0       32    128   128   45344
    fire5      28    256       0       0       32    128   128   49440
    maxpool5   14    256       3       2       0     0     0     0
    fire6      14    384       0       0       48    192   192   104880
    fire7      14    384       0       0       48    192   192   111024
    fire8      14    512       0       0       64    256   256   188992
    fire9      14    512       0       0       64    256   256   197184
    conv10     14    1000      1       1       0     0     0     513000
"""


class Row(NamedTuple):
    layer: str
    size: int
    channels: int
    kernel: int
    stride: int
    s1x1: int
    e1x1: int
    e3x3: int
    parameters: int


ROWS = {text: table(Row, text) for text in (V1_0, V1_1)}


class Layer(NamedTuple):
    """The arguments of one layer; `fire` is (squeeze, expand 1x1, expand 3x3) of a Fire module, None for others."""

    name: str
    in_channels: int
    channels: int
    kernel: int
    stride: int
    fire: tuple[int, int, int] | None


def stages(rows: tuple[Row, ...], in_channels: int = 3, width: float = 1.0) -> Iterator[Layer]:
    """The rows as layers, without conv10; input channels are the previous row's."""
    for row in rows[:-1]:
        fire, channels = None, scaled(row.channels, width)
        if row.s1x1:
            fire = scaled(row.s1x1, width), scaled(row.e1x1, width), scaled(row.e3x3, width)
            channels = fire[1] + fire[2]
        yield Layer(row.layer, in_channels, channels, row.kernel, row.stride, fire)
        in_channels = channels


class Fire(nn.Module):
    """Squeeze by 1 x 1, then expand by 1 x 1 and, in parallel, 3 x 3; ReLU after each.

    `bypass` adds the input where it has as many maps as the output. Source: section 3.2, Figure 1; section 6, Figure 2.
    """

    def __init__(self, in_channels: int, squeeze: int, expand1x1: int, expand3x3: int, *, bypass: bool) -> None:
        super().__init__()
        self.bypass = bypass and in_channels == expand1x1 + expand3x3
        self.squeeze1x1 = ConvAct(in_channels, squeeze, 1)
        self.expand1x1 = ConvAct(squeeze, expand1x1, 1)
        self.expand3x3 = ConvAct(squeeze, expand3x3, 3)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze1x1(x)
        expanded = torch.cat((self.expand1x1(squeezed), self.expand3x3(squeezed)), 1)
        return x + expanded if self.bypass else expanded


class SqueezeNet(Net):
    """The layers of Table 1 and global average pooling.

    `classifier` is the paper's "map", conv10 with a map for each class whose mean is its logit: `features` gives these
    maps, `embed` the logits, and `head` is the identity. "linear" replaces conv10 by a linear layer on the mean of
    fire9's maps, to train on other classes with frozen features. `border` pads conv10's input with zeros,
    so that its maps are 15 x 15 and not 13 x 13, as the authors' version 1.0 was trained. `bypass` adds the
    input of every second Fire module to its output, the simple bypass of section 6. `width` multiplies all maps but the
    classes, `dropout` is the dropout rate after fire9. conv1 has no padding and pooling rounds up,
    as in Caffe. Any size of at least `minimum_size` is accepted.
    Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1).
    """

    table = V1_0
    minimum_size = 21

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        classifier: Literal["map", "linear"] = "map",
        border: bool = False,
        bypass: bool = False,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        layers = list(stages(ROWS[self.table], in_channels, width))
        for layer in layers:
            self.add_module(layer.name, _module(layer, bypass))
        self.stages = tuple(layer.name for layer in layers)
        below = layers[-1].channels
        self.head: nn.Module
        last: nn.Conv2d | nn.Linear
        if classifier == "map":
            last = nn.Conv2d(below, classes, 1, padding=int(border))
            parts = OrderedDict(dropout=nn.Dropout(dropout), conv=last, act=nn.ReLU())
            self.conv10 = nn.Sequential(parts)
            self.stages += ("conv10",)
            self.head = nn.Identity()
        else:
            self.dropout = nn.Dropout(dropout)
            self.head = last = nn.Linear(below, classes)
        self.feature_channels = self.embedding_size = classes if classifier == "map" else below
        # As the authors' definition for Caffe.
        caffe_xavier(self)
        nn.init.normal_(last.weight, std=0.01)
        if classifier == "map" and classes < 1000:
            # A few maps could all start below zero, where the gradient of the last ReLU is zero.
            assert last.bias is not None
            nn.init.ones_(last.bias)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the mean of the last map [N, embedding_size]; see `classifier`."""
        mean = super().pooled(features)
        return mean if "conv10" in self.stages else self.dropout(mean)


class SqueezeNet11(SqueezeNet):
    """Version 1.1, otherwise the same. Source: the authors' repository, SqueezeNet_v1.1."""

    table = V1_1
    minimum_size = 17


def _module(layer: Layer, bypass: bool) -> nn.Module:
    if layer.fire is not None:
        return Fire(layer.in_channels, *layer.fire, bypass=bypass)
    if layer.name.startswith("maxpool"):
        return nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=True)
    return ConvAct(layer.in_channels, layer.channels, layer.kernel, stride=layer.stride, padding=0)


VARIANTS = {
    "squeezenet1_0": Variant(SqueezeNet, {"border": True}),
    "squeezenet1_0_bypass": Variant(SqueezeNet, {"border": True, "bypass": True}),
    "squeezenet1_1": Variant(SqueezeNet11, {}),
    "squeezenet_tiny": Variant(SqueezeNet, {"border": True, "width": 1 / 8}),
}

# Deviations of squeezenet1_0: the border around conv10, which Table 1 does not have and the authors' definition and
# weights do; border=False is exactly the table. The paper states 224 x 224 pixels, which does not give conv1's 111
# positions; the definition has 227. The repository's 1.72 "GFLOPS" are twice the 861,339,936 multiply-adds,
# border included; its 0.72 for version 1.1 is between twice those at 224 and at 227. squeezenet_tiny is ours.
# With fewer than the paper's 1,000 classes conv10's biases start at 1, not 0: with two or three classes all maps could
# start below zero, where output and gradient of ReLU are zero, and the net would never train.
