"""Maxout Networks.

Ian J. Goodfellow, David Warde-Farley, Mehdi Mirza, Aaron Courville, Yoshua Bengio, 2013. arXiv:1302.4389; section 5 and
the authors' scripts (lisa-lab/pylearn2, scripts/papers/maxout).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from striate.layers.dropout import UnscaledDropout
from striate.layers.maxout import MaxoutConv2d
from striate.nets.base import Net, Variant
from striate.nets.cells import Patch
from striate.nets.initialise import uniform
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.shapes import window_places
from striate.tables import table

# A unit is the maximum of its `pieces`, which are linear. `size` is that of the map after pooling, which is by the
# maximum and rounds up; a kernel of "all" is as large as the map below: fully connected. y is the softmax.
MNIST_FULL = """
    layer  units  pieces  kernel  padding  pool   size
    h0     240    5       all     0        -      1
    h1     240    5       all     0        -      1
    y      10     1       all     0        -      1
"""

MNIST = """
    layer  units  pieces  kernel  padding  pool   size
    h0     48     2       8       0        4x4/2  10
    h1     48     2       8       3        4x4/2  4
    h2     24     4       5       3        2x2/2  3
    y      10     1       all     0        -      1
"""

# CIFAR-100 has y of 100 units.
CIFAR = """
    layer  units  pieces  kernel  padding  pool   size
    h0     96     2       8       4        4x4/2  16
    h1     192    2       8       3        4x4/2  7
    h2     192    2       5       3        2x2/2  5
    h3     500    5       all     0        -      1
    y      10     1       all     0        -      1
"""

CIFAR_FIRST = """
    layer  units  pieces  kernel  padding  pool   size
    h0     48     2       8       4        4x4/2  16
    h1     128    2       8       3        4x4/2  7
    h2     128    2       5       3        2x2/2  5
    h3     240    5       all     0        -      1
    y      10     1       all     0        -      1
"""

SVHN = """
    layer  units  pieces  kernel  padding  pool   size
    h0     64     2       5       4        3x3/2  18
    h1     128    2       5       3        3x3/2  10
    h2     128    2       5       3        3x3/2  6
    h3     400    5       all     0        -      1
    y      10     1       all     0        -      1
"""


class Row(NamedTuple):
    layer: str
    units: int
    pieces: int
    kernel: str
    padding: int
    pool: Patch | None
    size: int


ROWS = {text: table(Row, text) for text in (MNIST_FULL, MNIST, CIFAR, CIFAR_FIRST, SVHN)}


class Block(NamedTuple):
    """The arguments of one maxout layer; `positions` is the size of its map before pooling, `size` after it."""

    name: str
    inputs: int
    units: int
    pieces: int
    kernel: tuple[int, int]
    padding: int
    positions: tuple[int, int]
    pool: Patch | None
    size: tuple[int, int]


def stages(rows: tuple[Row, ...], in_channels: int, input_size: tuple[int, int], width: float = 1.0) -> Iterator[Block]:
    """The rows as blocks, without y; inputs are the units of the previous row."""
    inputs, size = in_channels, input_size
    for row in rows[:-1]:
        units = scaled(row.units, width)
        kernel = size if row.kernel == "all" else (int(row.kernel), int(row.kernel))
        size = positions = window_places(size, kernel, padding=row.padding)
        if row.pool is not None:
            size = window_places(size, (row.pool.kernel, row.pool.kernel), row.pool.stride, ceil=True)
        yield Block(row.layer, inputs, units, row.pieces, kernel, row.padding, positions, row.pool, size)
        inputs = units


class MaxoutCifar(Net):
    """Maxout layers, each after dropout of its input, with no other non-linearity; the net for CIFAR.

    `biases` of the convolutions: one for each "channel", or one for each channel at each "position", as the authors
    have it for MNIST. `width` multiplies the units of all layers but y. Of the image, `image_dropout` of the values are
    zeroed in training, and not rescaled; of the inputs of all further layers, `dropout`, and the others are scaled up.
    Images are 32 x 32; the fully connected layers are as large as their map, so a network takes images of its
    `input_size` only. `embed` gives the input of the head, y.
    Raises RequestError for a width outside (0, 8] or a dropout rate outside [0, 1).
    """

    table = CIFAR
    minimum_size = 8
    usual_size: ClassVar[tuple[int, int]] = (32, 32)

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        input_size: tuple[int, int] | None = None,
        biases: Literal["channel", "position"] = "channel",
        width: float = 1.0,
        dropout: float = 0.5,
        image_dropout: float = 0.2,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        check_dropout(image_dropout)
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size or self.usual_size
        blocks = list(stages(ROWS[self.table], in_channels, self.input_size, width))
        for block in blocks:
            before = UnscaledDropout(image_dropout) if block is blocks[0] else nn.Dropout(dropout)
            self.add_module(block.name, _layer(block, before, biases == "position"))
        self.stages = tuple(block.name for block in blocks)
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = blocks[-1].units
        self.embedding_size = blocks[-1].units * math.prod(blocks[-1].size)
        self.head = nn.Linear(self.embedding_size, classes)
        # At other widths than the paper's the bound is adapted to the number of inputs.
        uniform(self, 0.005 / math.sqrt(width))

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the input of the head [N, embedding_size], with dropout in training."""
        vector: Tensor = self.dropout(features.flatten(1))
        return vector


class MaxoutMnist(MaxoutCifar):
    """Three maxout convolutions for MNIST, 28 x 28, in one channel; otherwise as for CIFAR. Source: section 5.1."""

    table = MNIST
    minimum_size = 16
    usual_size = (28, 28)


class MaxoutMnistFull(MaxoutCifar):
    """Two fully connected maxout layers, for which the order of the pixels does not matter. Source: section 5.1."""

    table = MNIST_FULL
    minimum_size = 1
    usual_size = (28, 28)


class MaxoutCifarFirst(MaxoutCifar):
    """The smaller net for CIFAR-10 of the paper's first version, of February 2013. Source: cifar10_old_small.yaml."""

    table = CIFAR_FIRST


class MaxoutSvhn(MaxoutCifar):
    """The net for Street View House Numbers. Source: svhn.yaml."""

    table = SVHN
    minimum_size = 1


def _layer(block: Block, before: nn.Module, by_position: bool) -> nn.Sequential:
    conv = MaxoutConv2d(
        block.inputs,
        block.units,
        block.kernel,
        pieces=block.pieces,
        padding=block.padding,
        positions=block.positions if by_position else None,
    )
    parts = {"dropout": before, "maxout": conv}
    if block.pool is not None:
        parts["maxpool"] = nn.MaxPool2d(block.pool.kernel, block.pool.stride, ceil_mode=True)
    return nn.Sequential(OrderedDict(parts))


VARIANTS = {
    "maxout_mnist_full": Variant(MaxoutMnistFull, {}),
    "maxout_mnist": Variant(MaxoutMnist, {"biases": "position"}),
    "maxout_cifar": Variant(MaxoutCifar, {}),
    "maxout_cifar100": Variant(MaxoutCifar, {}),
    "maxout_cifar_first": Variant(MaxoutCifarFirst, {}),
    "maxout_svhn": Variant(MaxoutSvhn, {}),
    "maxout_tiny": Variant(MaxoutCifar, {"width": 1 / 32}),
}

# Deviations: the weights of a unit are not held below a norm (1.9365; h0's convolutions 0.9, h3 1.9), which belongs to
# training and is no layer. maxout_cifar100: no script for it was published; it is the net for CIFAR-10 with y of 100
# units. The recipe of maxout_cifar has one rate for all layers; the authors' convolutions learn at 1/20 of the rate of
# the layers above (0.17, SVHN 0.2). That of SVHN, with local contrast normalisation, is not expressed. With a bias for
# each position the convolutions of maxout_mnist take images of one size even without y. maxout_tiny is ours.
