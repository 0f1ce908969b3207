"""Gradient-Based Learning Applied to Document Recognition: LeNet-5.

Yann LeCun, Leon Bottou, Yoshua Bengio, Patrick Haffner. Proceedings of the IEEE 86 (11), 1998, section II.B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.layers.activation import ScaledTanh
from striate.layers.rbf import RBF
from striate.layers.subsampling import Subsampling
from striate.layers.table_conv import TableConv2d
from striate.nets.base import Net, Variant
from striate.nets.initialise import lecun_bound, lenet_bound, uniform_by_fan_in
from striate.tables import grid, table

# Figure 2 and the text of section II.B, which gives trainable parameters and connections of each layer.
LAYERS = """
    layer  kind         kernel  maps  size  trainable  connections
    C1     convolution  5       6     28    156        122304
    S2     subsampling  2       6     14    12         5880
    C3     convolution  5       16    10    1516       151600
    S4     subsampling  2       16    5     32         2000
    C5     convolution  5       120   1     48120      48120
    F6     full         1       84    1     10164      10164
    OUTPUT rbf          1       10    1     0          840
"""

# Table I: which maps of S2 (rows) each map of C3 (columns) sees.
CONNECTIONS = """
         0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
     0   X  .  .  .  X  X  X  .  .  X  X  X  X  .  X  X
     1   X  X  .  .  .  X  X  X  .  .  X  X  X  X  .  X
     2   X  X  X  .  .  .  X  X  X  .  .  X  .  X  X  X
     3   .  X  X  X  .  .  X  X  X  X  .  .  X  .  X  X
     4   .  .  X  X  X  .  .  X  X  X  X  .  X  X  .  X
     5   .  .  .  X  X  X  .  .  X  X  X  X  .  X  X  X
"""

# The codes of the output units: each digit drawn on 7 x 12 pixels, X for +1 and a dot for -1.
DIGITS = """
    ....... ....... ....... ....... ....... ....... ....... ....... ....... .......
    ..XXX.. ...XX.. .XXXXX. XXXXXX. ....XX. XXXXXXX ..XXXX. XXXXXXX .XXXXX. .XXXXX.
    .XX.XX. ..XXX.. XX...XX .....XX ...XXX. XX..... .XX.... XX...XX XX...XX XX...XX
    XX...XX .XXXX.. XX...XX .....XX ..XXXX. XX..... XX..... .....XX XX...XX XX...XX
    XX...XX ...XX.. .....XX .....XX .XX.XX. XX..... XX..... ....XX. XX...XX XX...XX
    XX...XX ...XX.. ....XX. ..XXXX. XX..XX. XXXXXX. XXXXXX. ....XX. .XXXXX. XX...XX
    XX...XX ...XX.. ...XX.. .....XX XX..XX. .....XX XX...XX ...XX.. XX...XX .XXXXXX
    XX...XX ...XX.. ..XX... .....XX XXXXXXX .....XX XX...XX ...XX.. XX...XX .....XX
    XX...XX ...XX.. .XX.... .....XX ....XX. .....XX XX...XX ..XX... XX...XX .....XX
    .XX.XX. ...XX.. XX..... XX...XX ....XX. XX...XX XX...XX ..XX... XX...XX ....XX.
    ..XXX.. .XXXXXX XXXXXXX .XXXXX. ....XX. .XXXXX. .XXXXX. ..XX... .XXXXX. .XXXX..
    ....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


class Row(NamedTuple):
    layer: str
    kind: str
    kernel: int
    maps: int
    size: int
    trainable: int
    connections: int


ROWS = table(Row, LAYERS)
GRID = grid(CONNECTIONS)


class Block(NamedTuple):
    """The arguments of one layer; `links` is the grid of a convolution that does not see every map."""

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: int
    links: tuple[tuple[bool, ...], ...] | None


def stages(in_channels: int = 1, connections: Literal["table", "full"] = "table") -> Iterator[Block]:
    """The rows as blocks, from C1 to F6; inputs are the maps of the previous row."""
    inputs = in_channels
    for row in ROWS[:-1]:
        links = GRID if row.layer == "C3" and connections == "table" else None
        yield Block(row.layer.lower(), row.kind, inputs, row.maps, row.kernel, links)
        inputs = row.maps


def digit_codes() -> list[list[float]]:
    """The ten drawings, each as 84 numbers +-1, row by row."""
    width = 7
    rows = grid(DIGITS)
    digits = range(len(rows[0]) // width)
    return [[1.0 if x else -1.0 for row in rows for x in row[width * d : width * (d + 1)]] for d in digits]


def class_codes(classes: int, length: int) -> Tensor:
    """Codes [classes, length] of +-1: the drawn digits for ten classes, otherwise random signs from a fixed seed."""
    if classes == len(drawn := digit_codes()):
        return torch.tensor(drawn)
    coins = np.random.default_rng(1998).integers(0, 2, size=(classes, length))
    return torch.tensor((2 * coins - 1).astype(np.float32))


class LeNet5(Net):
    """LeNet-5, as in the paper or in its common simplifications.

    `connections` of C3: the paper's "table", or "full". `subsampling`: "trainable" (sum, coefficient, bias, then
    squashing), "squashed" (average, then squashing) or "average". `squashing`: "scaled_tanh" is 1.7159 tanh(2/3 a).
    `output`: "rbf" logits are minus the squared distance to each class's code, "linear" is for a softmax.
    Images are 32 x 32, background -0.1 and ink 1.175 in the paper. On a larger image C5 has more than one position, and
    the input of F6 is their mean. `embed` gives F6's 84 activations.
    """

    table = f"{LAYERS}{CONNECTIONS}"
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        connections: Literal["table", "full"] = "table",
        subsampling: Literal["trainable", "squashed", "average"] = "trainable",
        squashing: Literal["scaled_tanh", "tanh"] = "scaled_tanh",
        output: Literal["rbf", "linear"] = "rbf",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        squash = ScaledTanh if squashing == "scaled_tanh" else nn.Tanh
        *below, f6 = stages(in_channels, connections)
        for block in below:
            self.add_module(block.name, _layer(block, subsampling, squash))
        self.stages = tuple(block.name for block in below)
        self.feature_channels, self.embedding_size = f6.inputs, f6.outputs
        self.f6 = nn.Sequential(nn.Linear(f6.inputs, f6.outputs), squash())
        self.head: nn.Module
        if output == "rbf":
            self.head = RBF(class_codes(classes, f6.outputs))
        else:
            self.head = nn.Linear(f6.outputs, classes)
        uniform_by_fan_in(self, lenet_bound if squashing == "scaled_tanh" else lecun_bound)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the activations of F6 [N, 84]."""
        vector: Tensor = self.f6(super().pooled(features))
        return vector


def _layer(block: Block, subsampling: str, squash: Callable[[], nn.Module]) -> nn.Module:
    if block.kind == "convolution":
        if block.links is not None:
            return nn.Sequential(TableConv2d(block.links, block.kernel), squash())
        return nn.Sequential(nn.Conv2d(block.inputs, block.outputs, block.kernel), squash())
    if subsampling == "trainable":
        return nn.Sequential(Subsampling(block.outputs, block.kernel), squash())
    average = nn.AvgPool2d(block.kernel)
    return nn.Sequential(average, squash()) if subsampling == "squashed" else average


VARIANTS = {
    "lenet5": Variant(LeNet5, {}),
    "lenet5_lecture": Variant(LeNet5, {"subsampling": "squashed", "squashing": "tanh", "output": "linear"}),
    "lenet5_plain": Variant(
        LeNet5, {"connections": "full", "subsampling": "average", "squashing": "tanh", "output": "linear"}
    ),
}

# Deviations of lenet5: the drawings are ours, after the paper's Figure 3, whose bitmaps are not available; any
# other number of classes takes random codes; the logits are minus the paper's penalties. lenet5_lecture and
# lenet5_plain are what courses and libraries call LeNet-5: the first has the table of connections and squashes after
# pooling; the second connects C3 in full and pools without squashing. From the paper's small initial weights these two,
# with plain tanh and a softmax, do not train; they use the first author's rule for plain tanh instead.
