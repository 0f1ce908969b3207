"""Self-Normalizing Neural Networks.

Guenter Klambauer, Thomas Unterthiner, Andreas Mayr, Sepp Hochreiter, 2017. arXiv:1706.02515; equation 2, Figure 1, and
the authors' tutorials (bioinf-jku/SNNs, TF_2_x and figure1).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.layers.dropout import AlphaDropout
from striate.nets.base import Net, Variant
from striate.nets.cells import Patch
from striate.nets.initialise import he_normal, lecun_normal
from striate.nets.options import check_width, scaled
from striate.nets.shapes import window_places
from striate.tables import table

# The fixed point of equation 2: selu(x) is SCALE x above zero, SCALE ALPHA (exp(x) - 1) below. What has mean 0 and
# variance 1 before has them after, through any number of layers. torch.nn.SELU has the same constants.
ALPHA = 1.6732632423543772848170429916717
SCALE = 1.0507009873554804934193349852946

# CIFAR10-Conv-SELU.py and MNIST-MLP-SELU.py. Each layer but the output is followed by SELU, maximum pooling and alpha
# dropout; a kernel of "all" is as large as the map below: fully connected. `size` is that of the map after pooling.
CIFAR = """
    layer   units  kernel  padding  pool   dropout  size
    conv1   32     3       1        -      0        32
    conv2   32     3       0        2x2/2  0.1      15
    conv3   64     3       1        -      0        15
    conv4   64     3       0        2x2/2  0.1      6
    full    512    all     0        -      0.2      1
    output  10     all     0        -      0        1
"""

MNIST = """
    layer   units  kernel  padding  pool   dropout  size
    full1   512    all     0        -      0.05     1
    full2   256    all     0        -      0.05     1
    output  10     all     0        -      0        1
"""

# Figure 1: as many hidden layers, each as wide as the input, which is 784 for MNIST and 3072 for CIFAR-10.
FIGURE_1 = """
    layers  units
    8       input
    16      input
    32      input
"""


class Row(NamedTuple):
    layer: str
    units: int
    kernel: str
    padding: int
    pool: Patch | None
    dropout: float
    size: int


class Stack(NamedTuple):
    layers: int
    units: str


ROWS = {text: table(Row, text) for text in (CIFAR, MNIST)}
STACKS = {row.layers: row for row in table(Stack, FIGURE_1)}


class Block(NamedTuple):
    """The arguments of one layer; `size` is that of its map after pooling."""

    name: str
    inputs: int
    units: int
    kernel: tuple[int, int]
    padding: int
    pool: Patch | None
    dropout: float
    size: tuple[int, int]


def stages(rows: tuple[Row, ...], in_channels: int, input_size: tuple[int, int], width: float = 1.0) -> Iterator[Block]:
    """The rows as blocks, without the output; inputs are the units of the previous row."""
    inputs, size = in_channels, input_size
    for row in rows[:-1]:
        units = scaled(row.units, width)
        kernel = size if row.kernel == "all" else (int(row.kernel), int(row.kernel))
        size = window_places(size, kernel, padding=row.padding)
        if row.pool is not None:
            size = window_places(size, (row.pool.kernel, row.pool.kernel), row.pool.stride)
        yield Block(row.layer, inputs, units, kernel, row.padding, row.pool, row.dropout, size)
        inputs = units


def stack(layers: int, in_channels: int, input_size: tuple[int, int], width: float = 1.0) -> Iterator[Block]:
    """So many fully connected layers as wide as the image has values, times `width`."""
    inputs, kernel, units = in_channels, input_size, scaled(in_channels * math.prod(input_size), width)
    for number in range(1, layers + 1):
        yield Block(f"full{number}", inputs, units, kernel, 0, None, 0.0, (1, 1))
        inputs, kernel = units, (1, 1)


class SelfNormalisingNet(Net):
    """Layers of SELU, each with LeCun's initial weights; what all nets of this file have in common.

    `norm`: the baseline of Figure 1, ReLU and then batch normalisation, with He's initial weights. The fully connected
    layers are as large as their map, so a network takes images of its `input_size` only; they should be standardised
    to mean 0 and variance 1. `embed` gives the input of the head.
    """

    def __init__(self, blocks: list[Block], classes: int, input_size: tuple[int, int], *, norm: bool = False) -> None:
        super().__init__()
        self.in_channels, self.input_size = blocks[0].inputs, input_size
        for block in blocks:
            self.add_module(block.name, _layer(block, norm=norm))
        self.stages = tuple(block.name for block in blocks)
        self.feature_channels = blocks[-1].units
        self.embedding_size = blocks[-1].units * math.prod(blocks[-1].size)
        self.head: nn.Linear = nn.Linear(self.embedding_size, classes)
        (he_normal if norm else lecun_normal)(self)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the activations of the last hidden layer [N, embedding_size]."""
        return features.flatten(1)


class SelfNormalisingConv(SelfNormalisingNet):
    """The convolutional net of the authors' tutorial for CIFAR-10, 32 x 32.

    `width` multiplies the units of all layers but the output. Raises RequestError for a width outside (0, 8].
    """

    table = CIFAR
    minimum_size = 10

    def __init__(
        self, *, classes: int = 10, in_channels: int = 3, input_size: tuple[int, int] = (32, 32), width: float = 1.0
    ) -> None:
        check_width(width)
        super().__init__(list(stages(ROWS[CIFAR], in_channels, input_size, width)), classes, input_size)


class SelfNormalisingPerceptron(SelfNormalisingNet):
    """The fully connected net of the authors' tutorial for MNIST, 28 x 28; its output starts from Glorot's normal.

    `width` multiplies the units of all layers but the output. Raises RequestError for a width outside (0, 8].
    """

    table = MNIST
    minimum_size = 1

    def __init__(
        self, *, classes: int = 10, in_channels: int = 1, input_size: tuple[int, int] = (28, 28), width: float = 1.0
    ) -> None:
        check_width(width)
        super().__init__(list(stages(ROWS[MNIST], in_channels, input_size, width)), classes, input_size)
        nn.init.xavier_normal_(self.head.weight)


class SelfNormalisingStack(SelfNormalisingNet):
    """A net of Figure 1: 8, 16 or 32 equal layers without dropout; its output starts from Glorot's uniform weights.

    `activation`: "selu", or "relu_bn", the figure's baseline: ReLU, then batch normalisation, and He's initial weights.
    `width` multiplies the hidden units. Raises RequestError for a width outside (0, 8].
    """

    table = FIGURE_1
    minimum_size = 1

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        input_size: tuple[int, int] = (28, 28),
        layers: Literal[8, 16, 32] = 8,
        activation: Literal["selu", "relu_bn"] = "selu",
        width: float = 1.0,
    ) -> None:
        check_width(width)
        blocks = list(stack(STACKS[layers].layers, in_channels, input_size, width))
        super().__init__(blocks, classes, input_size, norm=activation == "relu_bn")
        nn.init.xavier_uniform_(self.head.weight)


def _layer(block: Block, *, norm: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = nn.Conv2d(block.inputs, block.units, block.kernel, padding=block.padding)
    if norm:
        parts["relu"], parts["norm"] = nn.ReLU(), nn.BatchNorm2d(block.units)
    else:
        parts["selu"] = nn.SELU()
    if block.pool is not None:
        parts["maxpool"] = nn.MaxPool2d(block.pool.kernel, block.pool.stride)
    if block.dropout:
        parts["dropout"] = AlphaDropout(block.dropout)
    return nn.Sequential(parts)


VARIANTS = {
    "snn_mnist": Variant(SelfNormalisingPerceptron, {}),
    "snn_cifar": Variant(SelfNormalisingConv, {}),
    **{f"snn{layers}_mnist": Variant(SelfNormalisingStack, {"layers": layers}) for layers in STACKS},
    **{f"snn{layers}_cifar": Variant(SelfNormalisingStack, {"layers": layers}) for layers in STACKS},
    "snn_tiny": Variant(SelfNormalisingConv, {"width": 1 / 16}),
}

# Deviations: the tutorials draw normal weights that are cut off at twice the deviation; the paper, and this file, do
# not cut them off. The tutorials do not standardise the images, though the paper demands it; a recipe here does, by
# channel, and Figure 1 by pixel. snn_tiny is ours.
