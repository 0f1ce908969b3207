"""Tiny Darknet.

Joseph Redmon, 2016. https://pjreddie.com/darknet/tiny-darknet: a network without a paper, described by its page and by
cfg/tiny.cfg of pjreddie/darknet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.nets.cells import MapSize, Patch
from striate.nets.initialise import he_normal
from striate.nets.options import check_width, scaled
from striate.tables import table

# The page's table: layers as Darknet prints them. After the last come the average over its maps and the softmax.
TABLE = """
    layer  type  filters  size   input       output
    0      conv  16       3x3/1  224x224x3   224x224x16
    1      max   -        2x2/2  224x224x16  112x112x16
    2      conv  32       3x3/1  112x112x16  112x112x32
    3      max   -        2x2/2  112x112x32  56x56x32
    4      conv  16       1x1/1  56x56x32    56x56x16
    5      conv  128      3x3/1  56x56x16    56x56x128
    6      conv  16       1x1/1  56x56x128   56x56x16
    7      conv  128      3x3/1  56x56x16    56x56x128
    8      max   -        2x2/2  56x56x128   28x28x128
    9      conv  32       1x1/1  28x28x128   28x28x32
    10     conv  256      3x3/1  28x28x32    28x28x256
    11     conv  32       1x1/1  28x28x256   28x28x32
    12     conv  256      3x3/1  28x28x32    28x28x256
    13     max   -        2x2/2  28x28x256   14x14x256
    14     conv  64       1x1/1  14x14x256   14x14x64
    15     conv  512      3x3/1  14x14x64    14x14x512
    16     conv  64       1x1/1  14x14x512   14x14x64
    17     conv  512      3x3/1  14x14x64    14x14x512
    18     conv  128      1x1/1  14x14x512   14x14x128
    19     conv  1000     1x1/1  14x14x128   14x14x1000
"""

SLOPE = 0.1  # of the leaky ReLU below zero


class Row(NamedTuple):
    layer: int
    type: str
    filters: int | None
    size: Patch
    input: MapSize
    output: MapSize


ROWS = table(Row, TABLE)


class Layer(NamedTuple):
    """The arguments of one layer: a convolution, or a pooling, which keeps its channels."""

    name: str
    type: str
    in_channels: int
    channels: int
    kernel: int


def stages(in_channels: int = 3, width: float = 1.0) -> Iterator[list[Layer]]:
    """The rows but the last as layers, in stages that begin with a pooling; `width` times as wide."""
    stage: list[Layer] = []
    for row in ROWS[:-1]:
        channels = in_channels if row.filters is None else scaled(row.filters, width)
        if row.type == "max":
            yield stage
            stage = []
        stage.append(Layer(f"{row.type}{row.layer}", row.type, in_channels, channels, row.size.kernel))
        in_channels = channels
    yield stage


class TinyDarknet(Net):
    """The layers of the table: batch normalisation and leaky ReLU follow every convolution but the last.

    `classifier` is the table's "map", a map for each class whose mean is its logit: `features` gives these maps,
    `embed` the logits, and `head` is the identity. "linear" has a linear layer on the mean of layer 18's maps in place
    of layer 19, which computes the same. `width` multiplies all filters but the classes. 224x224 images on the page;
    any size of at least 16 is accepted. Raises RequestError for a width outside (0, 8].
    """

    table = TABLE
    minimum_size = 16

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        classifier: Literal["map", "linear"] = "map",
        width: float = 1.0,
    ) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        plan = list(stages(in_channels, width))
        for number, layers in enumerate(plan, start=1):
            self.add_module(f"stage{number}", nn.Sequential(OrderedDict((row.name, _module(row)) for row in layers)))
        self.stages = tuple(f"stage{number}" for number in range(1, len(plan) + 1))
        below = plan[-1][-1].channels
        self.head: nn.Module
        if classifier == "map":
            self.conv19 = nn.Conv2d(below, classes, 1)
            self.stages += ("conv19",)
            self.head = nn.Identity()
        else:
            self.head = nn.Linear(below, classes)
        self.feature_channels = self.embedding_size = classes if classifier == "map" else below
        he_normal(self)


def _module(layer: Layer) -> nn.Module:
    if layer.type == "max":
        return nn.MaxPool2d(layer.kernel, ceil_mode=True)
    return ConvNormAct(layer.in_channels, layer.channels, layer.kernel, act=partial(nn.LeakyReLU, SLOPE))


VARIANTS = {
    "tiny_darknet": Variant(TinyDarknet, {}),
    "tiny_darknet_tiny": Variant(TinyDarknet, {"width": 1 / 8}),
}

# The page states 0.98 billion operations, two to a multiply-add. Deviations: Darknet divides by the standard deviation
# plus 1e-6 in batch normalisation; here 1e-5 is added to the variance, and imported variances are adapted so that the
# quotients are equal. Its running statistics move by a hundredth a step, here by torch's tenth, so that short
# runs can be evaluated too. Maps of odd sizes are pooled with windows that cross the right and lower edge, as there.
# tiny_darknet_tiny is ours, for tests.
