"""Xception: Deep Learning with Depthwise Separable Convolutions.

Francois Chollet, 2016. arXiv:1610.02357.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.layers.conv import ConvNormAct
from striate.layers.pooling import SameMaxPool2d
from striate.nets.base import DropoutNet, Variant
from striate.nets.cells import MapSize, Parts
from striate.nets.initialise import glorot_uniform
from striate.nets.mobilenet_v1 import Padding
from striate.nets.options import check_dropout, check_eps, check_width, scaled
from striate.tables import table

# Figure 5. conv: a convolution, sep: a separable one, with its channels; both are 3x3 and are followed by batch
# normalisation, which the figure does not show. pool: the maximum over 3x3 at stride 2. A block's input is added to its
# output, as it is or after a 1x1 convolution of stride 2. Pooling, a dropout and logistic regression follow.
TABLE = """
    stage    flow    input     layers                                      shortcut  times
    conv1    entry   299x3     conv32/2-relu                               -         1
    conv2    entry   149x32    conv64-relu                                 -         1
    block1   entry   147x64    sep128-relu-sep128-pool                     1x1/2     1
    block2   entry   74x128    relu-sep256-relu-sep256-pool                1x1/2     1
    block3   entry   37x256    relu-sep728-relu-sep728-pool                1x1/2     1
    middle   middle  19x728    relu-sep728-relu-sep728-relu-sep728         identity  8
    block12  exit    19x728    relu-sep728-relu-sep1024-pool               1x1/2     1
    conv3    exit    10x1024   sep1536-relu                                -         1
    conv4    exit    10x1536   sep2048-relu                                -         1
    pool     exit    10x2048   -                                           -         1
"""


class Row(NamedTuple):
    stage: str
    flow: str
    input: MapSize
    layers: Parts
    shortcut: str | None
    times: int


ROWS = table(Row, TABLE)


class Layer(NamedTuple):
    """One part of a row: kind, channels that come out, and stride."""

    kind: str
    in_channels: int
    channels: int
    stride: int


def layers(parts: Parts, in_channels: int, width: float = 1.0) -> Iterator[Layer]:
    """The parts of a cell, `width` times as wide."""
    for part in parts:
        found = re.fullmatch(r"(conv|sep|relu|pool)(\d*)(?:/(\d))?", part)
        if found is None:
            raise ValueError(f"expected a part such as conv32/2, sep128, relu or pool, not {part!r}")
        channels = scaled(int(found[2]), width) if found[2] else in_channels
        yield Layer(found[1], in_channels, channels, int(found[3] or 1))
        in_channels = channels


class SeparableConv(nn.Sequential):
    """A depthwise 3x3 convolution and a 1x1 convolution, without an activation in between; then normalisation.

    Without, training is faster and the network better (section 4.7). Input [N, in, H, W], output [N, out, H, W].
    """

    def __init__(self, in_channels: int, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm = norm(channels)


class Block(nn.Module):
    """A row's layers and its shortcut, added. Input [N, in, H, W], output [N, out, ceil(H/s), ceil(W/s)]."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.branch(x) + self.shortcut(x)
        return out


class Xception(DropoutNet):
    """The stages of Figure 5, global average pooling, dropout, a linear layer.

    `width` multiplies all channels; `dropout` is the dropout rate of the pooled vector. 299x299 images in the paper;
    any size of at least 7 is accepted. Ports differ from the author's code in `padding` ("half": the same on all sides;
    here of the poolings) and `norm_eps` (of batch normalisation). Raises RequestError for a width outside (0, 8], a
    dropout outside [0, 1) or a norm_eps outside (0, 0.1].
    """

    table = TABLE
    minimum_size = 7

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
        padding: Padding = "same",
        norm_eps: float = 1e-3,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        check_eps(norm_eps)
        super().__init__()
        self.in_channels = in_channels
        norm = partial(nn.BatchNorm2d, eps=norm_eps)
        channels = in_channels
        for row in ROWS[:-1]:
            plan = list(layers(row.layers, channels, width))
            blocks = [_block(plan, row.shortcut, padding, norm) for _ in range(row.times)]
            self.add_module(row.stage, nn.Sequential(*blocks) if row.times > 1 else blocks[0])
            channels = plan[-1].channels
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = channels
        self.head = nn.Linear(channels, classes)
        self.stages = tuple(row.stage for row in ROWS[:-1])
        glorot_uniform(self)


def _block(plan: list[Layer], shortcut: str | None, padding: Padding, norm: Callable[[int], nn.Module]) -> nn.Module:
    branch = nn.Sequential(*(_module(layer, padding, norm) for layer in plan))
    if shortcut is None:
        return branch
    if shortcut == "identity":
        return Block(branch, nn.Identity())
    return Block(branch, ConvNormAct(plan[0].in_channels, plan[-1].channels, 1, stride=2, norm=norm, act=None))


def _module(layer: Layer, padding: Padding, norm: Callable[[int], nn.Module]) -> nn.Module:
    if layer.kind == "conv":
        return ConvNormAct(
            layer.in_channels, layer.channels, 3, stride=layer.stride, padding="valid", norm=norm, act=None
        )
    if layer.kind == "sep":
        return SeparableConv(layer.in_channels, layer.channels, norm)
    if layer.kind == "relu":
        return nn.ReLU()
    return SameMaxPool2d(3, 2) if padding == "same" else nn.MaxPool2d(3, 2, padding=1)


VARIANTS = {
    "xception": Variant(Xception, {}),
    "xception_tiny": Variant(Xception, {"width": 1 / 16}),
}

# Figure 5 marks no padding; the sizes are those of the author's code (keras-team/keras, applications/xception): the two
# first convolutions have none, all other layers TensorFlow's SAME. It is asymmetric only where a map of 74 is halved;
# ports pad on all sides. From that code, too: the norms' epsilon and the initialisation; it has no dropout. The
# depthwise convolution comes before the 1x1, as in that code and not as in the paper's "extreme" Inception module; the
# paper says that this does not matter. The momentum of batch normalisation is torch's. xception_tiny is ours, for
# tests.
