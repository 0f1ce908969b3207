"""Very Deep Convolutional Networks for Large-Scale Image Recognition: VGG.

Karen Simonyan, Andrew Zisserman, 2014. arXiv:1409.1556; section 2 and Table 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn

from striate.layers.conv import ConvAct
from striate.layers.lrn import LRN
from striate.nets.base import Net, Variant
from striate.nets.cells import ColumnLayer
from striate.nets.initialise import glorot_uniform
from striate.nets.options import check_dropout, check_width, scaled
from striate.tables import table

# Table 1, a column for each configuration. conv3-64 is a 3 x 3 convolution with 64 maps, then ReLU; a dot is no layer.
TABLE = """
    A          A_LRN      B          C          D          E
    conv3-64   conv3-64   conv3-64   conv3-64   conv3-64   conv3-64
    .          LRN        conv3-64   conv3-64   conv3-64   conv3-64
    maxpool    maxpool    maxpool    maxpool    maxpool    maxpool
    conv3-128  conv3-128  conv3-128  conv3-128  conv3-128  conv3-128
    .          .          conv3-128  conv3-128  conv3-128  conv3-128
    maxpool    maxpool    maxpool    maxpool    maxpool    maxpool
    conv3-256  conv3-256  conv3-256  conv3-256  conv3-256  conv3-256
    conv3-256  conv3-256  conv3-256  conv3-256  conv3-256  conv3-256
    .          .          .          conv1-256  conv3-256  conv3-256
    .          .          .          .          .          conv3-256
    maxpool    maxpool    maxpool    maxpool    maxpool    maxpool
    conv3-512  conv3-512  conv3-512  conv3-512  conv3-512  conv3-512
    conv3-512  conv3-512  conv3-512  conv3-512  conv3-512  conv3-512
    .          .          .          conv1-512  conv3-512  conv3-512
    .          .          .          .          .          conv3-512
    maxpool    maxpool    maxpool    maxpool    maxpool    maxpool
    conv3-512  conv3-512  conv3-512  conv3-512  conv3-512  conv3-512
    conv3-512  conv3-512  conv3-512  conv3-512  conv3-512  conv3-512
    .          .          .          conv1-512  conv3-512  conv3-512
    .          .          .          .          .          conv3-512
    maxpool    maxpool    maxpool    maxpool    maxpool    maxpool
    FC-4096    FC-4096    FC-4096    FC-4096    FC-4096    FC-4096
    FC-4096    FC-4096    FC-4096    FC-4096    FC-4096    FC-4096
    FC-1000    FC-1000    FC-1000    FC-1000    FC-1000    FC-1000
"""

Configuration = Literal["A", "A_LRN", "B", "C", "D", "E"]


class Row(NamedTuple):
    A: ColumnLayer
    A_LRN: ColumnLayer
    B: ColumnLayer
    C: ColumnLayer
    D: ColumnLayer
    E: ColumnLayer


ROWS = table(Row, TABLE)
COLUMNS: dict[str, tuple[ColumnLayer, ...]] = dict(zip(get_args(Configuration), zip(*ROWS, strict=True), strict=True))


class Layer(NamedTuple):
    """The arguments of one convolution; kernel 0 means local response normalisation."""

    kernel: int
    in_channels: int
    channels: int


def stages(configuration: Configuration, in_channels: int = 3, width: float = 1.0) -> Iterator[tuple[Layer, ...]]:
    """The column's five stages, each the layers down to its max-pooling; input channels are the previous row's."""
    stage: list[Layer] = []
    for kind, kernel, channels in COLUMNS[configuration]:
        if kind == "maxpool":
            yield tuple(stage)
            stage = []
        elif kind == "LRN":
            stage.append(Layer(0, in_channels, in_channels))
        elif kind == "conv":
            maps = scaled(channels, width)
            stage.append(Layer(kernel, in_channels, maps))
            in_channels = maps


class VGG(Net):
    """A column of the table: five stages of convolutions, three fully connected layers, ReLU, dropout.

    `configuration` is the column. `batch_norm` normalises between each convolution and its ReLU. `width` multiplies all
    maps but the classes, `dropout` is the dropout rate of fc6 and fc7. Images are 224 x 224 in the paper,
    whose last map is 7 x 7; the size of fc6 follows from `input_size`, so a network takes images of that size
    only. `embed` gives fc7's activations; `head` is fc8. `stage3.conv2` is called conv3_2 elsewhere.
    Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1).
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (224, 224),
        configuration: Configuration = "D",
        batch_norm: bool = False,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size
        made = list(stages(configuration, in_channels, width))
        self.stages = tuple(f"stage{number}" for number, _ in enumerate(made, start=1))
        for name, layers in zip(self.stages, made, strict=True):
            self.add_module(name, _stage(layers, batch_norm))
        self.feature_channels = made[-1][-1].channels
        shrunk = 2 ** len(made)
        places = (input_size[0] // shrunk) * (input_size[1] // shrunk)
        fc6, fc7, _ = (scaled(cell.channels, width) for cell in COLUMNS[configuration] if cell.kind == "FC")
        self.fc6 = nn.Sequential(nn.Linear(self.feature_channels * places, fc6), nn.ReLU(), nn.Dropout(dropout))
        self.fc7 = nn.Sequential(nn.Linear(fc6, fc7), nn.ReLU(), nn.Dropout(dropout))
        self.embedding_size = fc7
        self.head = nn.Linear(fc7, classes)
        glorot_uniform(self)  # Section 3.1 found it to do without pre-training.

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the activations of fc7 [N, embedding_size], with dropout in training."""
        vector: Tensor = self.fc7(self.fc6(features.flatten(1)))
        return vector


def _stage(layers: tuple[Layer, ...], batch_norm: bool) -> nn.Sequential:
    stage = nn.Sequential()
    for number, layer in enumerate(layers, start=1):
        if layer.kernel:
            norm = nn.BatchNorm2d if batch_norm else None
            stage.add_module(f"conv{number}", ConvAct(layer.in_channels, layer.channels, layer.kernel, norm=norm))
        else:
            stage.add_module("lrn", LRN())
    stage.add_module("maxpool", nn.MaxPool2d(2))
    return stage


VARIANTS = {
    "vgg11": Variant(VGG, {"configuration": "A"}),
    "vgg11_lrn": Variant(VGG, {"configuration": "A_LRN"}),
    "vgg13": Variant(VGG, {"configuration": "B"}),
    "vgg16_c": Variant(VGG, {"configuration": "C"}),
    "vgg16": Variant(VGG, {"configuration": "D"}),
    "vgg19": Variant(VGG, {"configuration": "E"}),
    "vgg11_bn": Variant(VGG, {"configuration": "A", "batch_norm": True}),
    "vgg13_bn": Variant(VGG, {"configuration": "B", "batch_norm": True}),
    "vgg16_c_bn": Variant(VGG, {"configuration": "C", "batch_norm": True}),
    "vgg16_bn": Variant(VGG, {"configuration": "D", "batch_norm": True}),
    "vgg19_bn": Variant(VGG, {"configuration": "E", "batch_norm": True}),
    "vgg_tiny": Variant(VGG, {"configuration": "A", "width": 1 / 16}),
}

# Deviations: none in the layers. The paper trains A from normal weights and starts the deeper networks from A's first
# four convolutions and its fully connected layers; here all start from Glorot's initialisation, as the paper later
# recommends. It applies fully connected layers as convolutions to larger images in testing, here they take one size.
# The batch-normalised networks are not the paper's, which is older than batch normalisation; they keep the biases.
# vgg_tiny is ours.
