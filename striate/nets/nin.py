"""Network In Network.

Min Lin, Qiang Chen, Shuicheng Yan, 2013. arXiv:1312.4400; section 3, Figure 2, and the first author's definitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import nn

from striate.layers.conv import ConvAct
from striate.nets.base import Net, Variant
from striate.nets.cells import Parts
from striate.nets.initialise import normal
from striate.nets.options import check_dropout, check_width, scaled
from striate.tables import table

# An mlpconv layer is a convolution and a small multilayer perceptron at each of its positions, which is two 1 x 1
# convolutions, mlp1 and mlp2. `size` is that of its maps; maxpool is the maximum over 3 x 3 at stride 2, rounding up.
# The last mlp2 has a map for each class, and the map's average is the class's score.
CIFAR = """
    layer     kernel  stride  padding  conv  mlp1  mlp2  size  then
    mlpconv1  5       1       2        192   160   96    32    maxpool-dropout
    mlpconv2  5       1       2        192   192   192   16    maxpool-dropout
    mlpconv3  3       1       1        192   192   10    8     average
"""

IMAGENET = """
    layer     kernel  stride  padding  conv  mlp1  mlp2  size  then
    mlpconv1  11      4       0        96    96    96    54    maxpool
    mlpconv2  5       1       2        256   256   256   27    maxpool
    mlpconv3  3       1       1        384   384   384   13    maxpool-dropout
    mlpconv4  3       1       1        1024  1024  1000  6     average
"""


class Row(NamedTuple):
    layer: str
    kernel: int
    stride: int
    padding: int
    conv: int
    mlp1: int
    mlp2: int
    size: int
    then: Parts


ROWS = {text: table(Row, text) for text in (CIFAR, IMAGENET)}


class Block(NamedTuple):
    """The arguments of one mlpconv layer: `channels` of its convolution, of mlp1 and, if present, of mlp2."""

    name: str
    in_channels: int
    channels: tuple[int, ...]
    kernel: int
    stride: int
    padding: int
    then: Parts


def stages(
    rows: tuple[Row, ...], in_channels: int = 3, classes: int | None = None, width: float = 1.0
) -> Iterator[Block]:
    """The rows as blocks; input channels are the previous row's. The last mlp2 has `classes` maps; None omits it."""
    for row in rows:
        conv, mlp1, mlp2 = (scaled(maps, width) for maps in (row.conv, row.mlp1, row.mlp2))
        channels: tuple[int, ...] = (conv, mlp1, mlp2)
        if row is rows[-1]:
            channels = (conv, mlp1) if classes is None else (conv, mlp1, classes)
        yield Block(row.layer, in_channels, channels, row.kernel, row.stride, row.padding, row.then)
        in_channels = mlp2


class MlpConv(nn.Sequential):
    """A convolution, then 1 x 1 convolutions, each followed by ReLU; with biases. Source: section 3.1, equation 2."""

    def __init__(self, in_channels: int, channels: tuple[int, ...], kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = ConvAct(in_channels, channels[0], kernel, stride=stride, padding=padding)
        for number, (inputs, outputs) in enumerate(pairwise(channels), start=1):
            self.add_module(f"mlp{number}", ConvAct(inputs, outputs, 1))


class NetworkInNetwork(Net):
    """The mlpconv layers of the table for CIFAR-10, and global average pooling.

    `classifier` is the paper's "map", a map for each class whose mean is its logit: `features` gives these maps,
    `embed` the logits, and `head` is the identity. "linear" has a linear layer on the mean of the maps below in place
    of the last 1 x 1 convolution, to train on other classes with frozen features. `pooling` is "max", or "padded" by a
    pixel, and by the average after mlpconv2, as in later code. `width` multiplies all maps but the classes; `dropout`
    is the dropout rate after pooling. 32 x 32 images in the paper; any size of at least `minimum_size` is accepted.
    Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1).
    """

    table = CIFAR
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        classifier: Literal["map", "linear"] = "map",
        pooling: Literal["max", "padded"] = "max",
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        blocks = list(stages(ROWS[self.table], in_channels, classes if classifier == "map" else None, width))
        for block in blocks:
            self.add_module(block.name, _layer(block, dropout, pooling))
        self.stages = tuple(block.name for block in blocks)
        self.feature_channels = self.embedding_size = blocks[-1].channels[-1]
        self.head = nn.Identity() if classifier == "map" else nn.Linear(self.embedding_size, classes)
        # The first author's definitions; at other widths the deviation is adapted to the number of inputs.
        normal(self, 0.05 / math.sqrt(width))
        if classifier == "map" and classes < 10:
            # A few maps could all start below zero, where the gradient of the last ReLU is zero.
            nn.init.ones_(self.get_parameter(f"{blocks[-1].name}.mlp2.conv.bias"))


class ImageNetNetworkInNetwork(NetworkInNetwork):
    """The deeper network for ImageNet, 224 x 224 images; otherwise as for CIFAR-10. Source: the Caffe Model Zoo."""

    table = IMAGENET
    minimum_size = 39


def _layer(block: Block, dropout: float, pooling: str) -> nn.Sequential:
    layer = MlpConv(block.in_channels, block.channels, block.kernel, block.stride, block.padding)
    if "maxpool" in block.then and pooling == "max":
        layer.add_module("maxpool", nn.MaxPool2d(3, 2, ceil_mode=True))
    elif "maxpool" in block.then:
        kind = nn.AvgPool2d if block.name == "mlpconv2" else nn.MaxPool2d
        layer.add_module("pool", kind(3, 2, padding=1))
    if "dropout" in block.then:
        layer.add_module("dropout", nn.Dropout(dropout))
    return layer


VARIANTS = {
    "nin_cifar": Variant(NetworkInNetwork, {}),
    "nin_imagenet": Variant(ImageNetNetworkInNetwork, {}),
    "nin_tiny": Variant(NetworkInNetwork, {"width": 1 / 16}),
}

# Deviations of nin_cifar: none. The paper names no widths; they are those of the first author's definition for
# cuda-convnet, which pools by the maximum throughout, as the paper states; his later one for Caffe averages after
# mlpconv2. nin_imagenet is not in the paper but the first author's model of the Caffe Model Zoo; there conv1, the
# convolution of mlpconv3 and the last layer start from a deviation of 0.01, here all from 0.05. nin_tiny is ours.
# With fewer than CIFAR-10's ten classes the biases of the class maps start at 1, not 0: all of a few maps could start
# below zero, where output and gradient of ReLU are zero, and the net would never train.
