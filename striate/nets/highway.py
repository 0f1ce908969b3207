"""Highway Networks; Training Very Deep Networks.

Rupesh Kumar Srivastava, Klaus Greff, Juergen Schmidhuber, 2015. arXiv:1505.00387; NIPS 2015, arXiv:1507.06228.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvAct
from striate.layers.highway import Highway, convolutional
from striate.nets.base import Net, Variant
from striate.nets.cells import Convs, Patch
from striate.nets.initialise import caffe_xavier
from striate.nets.options import check_width
from striate.tables import table

# Highway 19 for CIFAR, from the authors' definition. A stage is a plain convolution with ReLU, which changes the width,
# and highway layers of 3x3 convolutions; then maximum pooling and dropout. The average of the last map, with dropout of
# 0.2, goes into a linear layer; the image is dropped out at 0.2, too. The gates' biases start at -2.
CIFAR = """
    stage   size  plain    highway  maxpool  dropout
    stage1  32    3x3,32   4        2x2/2    0.2
    stage2  16    3x3,80   5        2x2/2    0.2
    stage3  8     3x3,128  5        -        -
    last    8     1x1,100  0        -        -
"""

# The 10 layers for MNIST, from the authors' definition; the first convolution has no padding, and the last map goes
# into the linear layer as a whole. The image is dropped out at 0.2. The gates' biases start at -1.
MNIST = """
    stage   size  plain   highway  maxpool  dropout
    stage1  24    5x5,32  2        3x3/2    0.3
    stage2  12    -       3        3x3/2    0.4
    stage3  6     -       3        2x2/2    0.5
"""

# The fully connected networks for MNIST, of 10, 20, 50 or 100 layers 50 wide (section 4): a plain layer, highway layers
# and the linear layer.
CONNECTED = """
    stage    units  plain  highway
    full     50     1      -
    highway  50     -      depth-2
"""


class Row(NamedTuple):
    stage: str
    size: int
    plain: Convs | None
    highway: int
    maxpool: Patch | None
    dropout: float | None


class ConnectedRow(NamedTuple):
    stage: str
    units: int
    plain: int | None
    highway: str | None


ROWS = {text: table(Row, text) for text in (CIFAR, MNIST)}
CONNECTED_ROWS = table(ConnectedRow, CONNECTED)
IMAGE_DROPOUT = 0.2  # of both convolutional networks


def _check_bias(gate_bias: float) -> None:
    if not -20 <= gate_bias <= 20:
        raise RequestError(f"gate_bias must be in -20 to 20, not {gate_bias}")


@torch.no_grad()
def _initialise(net: Net, gate_bias: float, head_deviation: float) -> None:
    """Caffe's "xavier" weights, a normal linear layer, zero biases but for those of the gates."""
    caffe_xavier(net)
    for module in net.modules():
        if isinstance(module, Highway):
            nn.init.constant_(module.gate.bias, gate_bias)  # type: ignore[arg-type]
    nn.init.normal_(net.head.weight, std=head_deviation)  # type: ignore[arg-type]


class _Convolutional(Net):
    """The base of both convolutional networks: dropout of the image, the stages of the table."""

    def __init__(self, in_channels: int, padded: bool, width: float) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = in_channels
        for row in ROWS[self.table]:
            stage = nn.Sequential()
            if row is ROWS[self.table][0]:
                stage.add_module("image_dropout", nn.Dropout(IMAGE_DROPOUT))
            if row.plain is not None:
                (conv,) = row.plain.scaled(width)
                stage.add_module("plain", ConvAct(channels, conv.channels, conv.kernel, padding=None if padded else 0))
                channels = conv.channels
            for number in range(1, row.highway + 1):
                stage.add_module(f"highway{number}", convolutional(channels, 3))
            if row.maxpool is not None:
                stage.add_module("pool", nn.MaxPool2d(row.maxpool.kernel, row.maxpool.stride, ceil_mode=True))
            if row.dropout is not None:
                stage.add_module("dropout", nn.Dropout(row.dropout))
            self.add_module(row.stage, stage)
        self.stages = tuple(row.stage for row in ROWS[self.table])
        self.feature_channels = channels


class HighwayNet(_Convolutional):
    """Highway 19 for CIFAR-10 and CIFAR-100.

    `gate_bias` is the initial bias of the transform gates; `width` multiplies all channels. 32x32 images in the paper;
    any size of at least 8 is accepted. Raises RequestError for a gate_bias outside -20 to 20 or a width outside (0, 8].
    """

    table = CIFAR
    minimum_size = 8

    def __init__(self, *, classes: int = 10, in_channels: int = 3, gate_bias: float = -2.0, width: float = 1.0) -> None:
        _check_bias(gate_bias)
        check_width(width)
        super().__init__(in_channels, padded=True, width=width)
        self.embedding_size = self.feature_channels
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(self.embedding_size, classes)
        _initialise(self, gate_bias, 0.05)
        nn.init.normal_(self.stage1.plain.conv.weight, std=0.05)  # type: ignore[union-attr, arg-type]

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> vectors [N, embedding_size], with dropout in training."""
        vector: Tensor = self.dropout(super().pooled(features))
        return vector


class MnistHighwayNet(_Convolutional):
    """The 10 layers for MNIST: `channels` filters in all of them, 32 or 16 in the paper.

    Images of one size, 28x28 in the paper; at least 12 x 12. Raises RequestError for channels outside 1 to 512 or a
    gate_bias outside -20 to 20.
    """

    table = MNIST
    minimum_size = 12

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        input_size: tuple[int, int] = (28, 28),
        channels: int = 32,
        gate_bias: float = -1.0,
    ) -> None:
        _check_bias(gate_bias)
        if not 1 <= channels <= 512:
            raise RequestError(f"channels must be from 1 to 512, not {channels}")
        super().__init__(in_channels, padded=False, width=channels / 32)
        self.input_size = input_size
        height, width = (_pooled(side) for side in input_size)
        self.embedding_size = self.feature_channels * height * width
        self.head = nn.Linear(self.embedding_size, classes)
        _initialise(self, gate_bias, 0.1)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> vectors [N, embedding_size]: the last map, with dropout in training."""
        return features.flatten(1)


def _pooled(side: int) -> int:
    """The side of the last map for an image of this side."""
    plain = ROWS[MNIST][0].plain
    assert plain is not None
    side -= plain[0].kernel - 1
    for row in ROWS[MNIST]:
        if row.maxpool is not None:
            side = -(-(side - row.maxpool.kernel) // row.maxpool.stride) + 1
    return side


class ConnectedHighwayNet(Net):
    """The fully connected networks for MNIST: `depth` layers of 50 units, the first of them plain, the last the head.

    `gated=False` leaves out the gates: plain layers, which do not train at great depths. Images of one size, 28x28 in
    the paper. Layers are written as convolutions: the first with a kernel of the image's size, the others 1x1 on its
    1x1 map. Raises RequestError for a depth outside 3 to 1000 or a gate_bias outside -20 to 20.
    """

    table = CONNECTED
    minimum_size = 1

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        input_size: tuple[int, int] = (28, 28),
        depth: int = 10,
        gate_bias: float = -2.0,
        gated: bool = True,
    ) -> None:
        if not 3 <= depth <= 1000:
            raise RequestError(f"depth must be from 3 to 1000, not {depth}")
        _check_bias(gate_bias)
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size
        units = CONNECTED_ROWS[0].units
        self.full = nn.Sequential(nn.Conv2d(in_channels, units, input_size), nn.ReLU())
        self.highway = nn.Sequential(*(convolutional(units, 1) for _ in range(depth - 2)))
        if not gated:
            self.highway = nn.Sequential(*(layer.get_submodule("transform") for layer in self.highway))
        self.stages = tuple(row.stage for row in CONNECTED_ROWS)
        self.feature_channels = self.embedding_size = units
        self.head = nn.Linear(units, classes)
        _initialise(self, gate_bias, 0.1)


VARIANTS = {
    "highway19": Variant(HighwayNet, {}),
    "highway10_mnist": Variant(MnistHighwayNet, {}),
    "highway10_mnist_16": Variant(MnistHighwayNet, {"channels": 16}),
    **{f"highway_fc{depth}": Variant(ConnectedHighwayNet, {"depth": depth}) for depth in (10, 20, 50, 100)},
    "highway_tiny": Variant(HighwayNet, {"width": 0.125}),
}

# Deviations. The authors' definition gives the first CIFAR convolution a "gaussian" filler with a value of 0.05, which
# Caffe does not read; it is taken for the standard deviation. Of the fully connected networks the paper found the
# activation and the gates' bias by a search; here ReLU and -2. Learning rates of biases are twice the others' there,
# and the linear layer's weight decay ten times; no recipe key expresses either. Not included: Highway 32, of 1.25 M
# parameters, whose widths were never published, and Highway 11. highway_tiny is ours, for tests.
