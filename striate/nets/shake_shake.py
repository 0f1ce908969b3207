"""Shake-Shake regularization.

Xavier Gastaldi, 2017. arXiv:1705.07485.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.shake import BackwardPass, ForwardPass, Level, ShakeShake
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs
from striate.nets.initialise import he_normal_torch7
from striate.nets.resnet import Stage, blocks_of, shortcut_of
from striate.nets.resnext import CIFAR_ROWS, CIFAR_TABLE, Grouped, cifar_stages
from striate.tables import table

# Section 2: 26 2x32d, 26 layers of residual blocks with two branches, whose first blocks are 32 wide; all but the first
# convolution of 26 2xkd are k / 32 times as wide. ReLU, global average pooling and a linear layer follow.
TABLE = """
    output  branch           blocks
    32      3x3,16           1
    32      3x3,32;3x3,32    4
    16      3x3,64;3x3,64    4
    8       3x3,128;3x3,128  4
"""

# Table 1: errors in per cent on CIFAR-10 by what is done to the coefficients in training. Shake: drawn anew; even: a
# half; keep: those of the forward pass. Level: for each image or for the batch.
RESULTS = """
    forward  backward  level  d32   d64   d96
    even     even      -      4.27  3.76  3.58
    even     shake     batch  4.44  -     -
    shake    keep      batch  4.11  -     -
    shake    even      batch  3.47  -     -
    shake    shake     batch  3.67  -     -
    even     shake     image  4.11  -     -
    shake    keep      image  4.09  -     -
    shake    even      image  3.47  -     -
    shake    shake     image  3.55  2.98  2.86
"""


class Row(NamedTuple):
    output: int
    branch: Convs
    blocks: int


class Result(NamedTuple):
    forward: str
    backward: str
    level: str | None
    d32: float
    d64: float | None
    d96: float | None


ROWS = table(Row, TABLE)


def stages(d: int) -> Iterator[Stage]:
    """The three stages of 26 2xdd."""
    (before,), size = ROWS[0].branch, ROWS[0].output
    for row in ROWS[1:]:
        convs = row.branch.scaled(d / 32)
        yield Stage(before.channels, convs, size // row.output, row.blocks)
        before, size = convs[-1], row.output


class Shaking(NamedTuple):
    """How the branches of every block are mixed: see `ShakeShake`."""

    forward_pass: ForwardPass
    backward_pass: BackwardPass
    level: Level

    def mixed(self, one: nn.Module, other: nn.Module) -> ShakeShake:
        """The two branches as one module."""
        return ShakeShake(
            one, other, forward_pass=self.forward_pass, backward_pass=self.backward_pass, level=self.level
        )


class TwoPathShortcut(nn.Module):
    """ReLU; every `stride`-th pixel, and every `stride`-th of the map moved right and down by one, with zeros there.

    Each path has a 1x1 convolution to half of the channels; they are concatenated, and batch norm follows. So the
    second path sees other pixels than the first. Source: the authors' code, models/shakeshakeblock.lua.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.path1 = nn.Conv2d(in_channels, channels // 2, 1, bias=False)
        self.path2 = nn.Conv2d(in_channels, channels - channels // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x, step = F.relu(x), self.stride
        moved = F.pad(x, (1, 0, 1, 0))[:, :, :-1:step, :-1:step]
        out: Tensor = self.norm(torch.cat([self.path1(x[:, :, ::step, ::step]), self.path2(moved)], 1))
        return out


class ShakeBlock(nn.Module):
    """Two branches, mixed, and the shortcut: each branch is ReLU, 3x3 convolution, BN, twice. No ReLU after the sum.

    Where the width is the same, the shortcut is the identity. Source: section 2 and the authors' code.
    """

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, *, shaking: Shaking) -> None:
        super().__init__()
        one, other = (_branch(in_channels, convs, stride) for _ in range(2))
        self.branches = shaking.mixed(one, other)
        channels = convs[-1].channels
        self.shortcut = nn.Identity() if in_channels == channels else TwoPathShortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.branches(x)
        return out


def _branch(in_channels: int, convs: tuple[Conv, ...], stride: int) -> nn.Sequential:
    first, second = convs
    return nn.Sequential(
        nn.ReLU(),
        ConvNormAct(in_channels, first.channels, first.kernel, stride=stride),
        ConvNormAct(first.channels, second.channels, second.kernel, act=None),
    )


class ShakeBottleneck(nn.Module):
    """Two of ResNeXt's transformations, mixed, and its shortcut; the last ReLU comes after the sum."""

    def __init__(
        self, in_channels: int, convs: tuple[Conv, ...], stride: int, *, cardinality: int, shaking: Shaking
    ) -> None:
        super().__init__()
        one, other = (Grouped(in_channels, convs, stride, cardinality) for _ in range(2))
        self.branches = shaking.mixed(one, other)
        self.shortcut = shortcut_of("B", in_channels, convs[-1].channels, stride)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.shortcut(x) + self.branches(x))
        return out


class _Shaken(Net):
    """The base of both networks: a stem, three stages, an activation after the last, a linear layer."""

    minimum_size = 8

    def __init__(
        self, classes: int, in_channels: int, stem: ConvNormAct, rows: list[list[nn.Module]], last: int
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = stem
        names = [f"stage{number}" for number in range(1, len(rows) + 1)]
        for name, blocks in zip(names, rows, strict=True):
            self.add_module(name, nn.Sequential(*blocks))
        self.stages = ("stem", *names)
        self.feature_channels = self.embedding_size = last
        self.head = nn.Linear(last, classes)
        he_normal_torch7(self, "out")


class ShakeShakeNet(_Shaken):
    """26 2xdd for CIFAR-10; `depth` is 6n + 2, n blocks a stage, 26 in the paper.

    `forward_pass`, `backward_pass` and `level` are those of Table 1: see `striate.layers.shake.ShakeShake`. 32x32
    images in the paper; any size of at least 8 is accepted. Raises RequestError for a depth that is not 6n + 2, or
    above 1202, or a d that is odd or outside 2 to 512.
    """

    table = TABLE

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 26,
        d: int = 32,
        forward_pass: ForwardPass = "shake",
        backward_pass: BackwardPass = "shake",
        level: Level = "image",
    ) -> None:
        if not 8 <= depth <= 1202 or depth % 6 != 2:
            raise RequestError(f"depth must be 6n + 2, from 8 to 1202 (20, 26, ...), not {depth}")
        if not 2 <= d <= 512 or d % 2:
            raise RequestError(f"d must be even and from 2 to 512, not {d}")
        (first,) = ROWS[0].branch
        stem = ConvNormAct(in_channels, first.channels, first.kernel, act=None)
        block = partial(ShakeBlock, shaking=Shaking(forward_pass, backward_pass, level))
        rows = [stage._replace(blocks=(depth - 2) // 6) for stage in stages(d)]
        last = rows[-1].convs[-1].channels
        super().__init__(classes, in_channels, stem, [blocks_of(row, block) for row in rows], last)
        self.last = nn.ReLU()
        self.stages = (*self.stages, "last")


class ShakeResNeXt(_Shaken):
    """29 2xCxdd for CIFAR-100: the CIFAR ResNeXt with two transformations a block; 29 2x4x64d in the paper.

    `depth` is 9n + 2, `cardinality` the paper's C; the rest is as in `ShakeShakeNet`, with which "even" goes backward.
    Raises RequestError for a depth that is not 9n + 2, or above 1202, or a cardinality or d outside 1 to 256.
    """

    table = CIFAR_TABLE

    def __init__(
        self,
        *,
        classes: int = 100,
        in_channels: int = 3,
        depth: int = 29,
        cardinality: int = 4,
        d: int = 64,
        forward_pass: ForwardPass = "shake",
        backward_pass: BackwardPass = "even",
        level: Level = "image",
    ) -> None:
        if not 11 <= depth <= 1202 or depth % 9 != 2:
            raise RequestError(f"depth must be 9n + 2, from 11 to 1202 (20, 29, 38, ...), not {depth}")
        if not 1 <= cardinality <= 256 or not 1 <= d <= 256:
            raise RequestError(f"cardinality and d must be from 1 to 256, not {cardinality} and {d}")
        (first,) = CIFAR_ROWS[0].block
        stem = ConvNormAct(in_channels, first.channels, first.kernel)
        shaking = Shaking(forward_pass, backward_pass, level)
        block = partial(ShakeBottleneck, cardinality=cardinality, shaking=shaking)
        rows = list(cifar_stages(depth, cardinality, d))
        last = rows[-1].convs[-1].channels
        super().__init__(classes, in_channels, stem, [blocks_of(row, block) for row in rows], last)


VARIANTS = {
    **{f"shake_shake_26_2x{d}d": Variant(ShakeShakeNet, {"d": d}) for d in (32, 64, 96, 112)},
    "shake_even_29_2x4x64d": Variant(ShakeResNeXt, {"cardinality": 4, "d": 64}),
    "shake_shake_tiny": Variant(ShakeShakeNet, {"depth": 8, "d": 8}),
}

# Deviations: none in the layers, whose details are those of the authors' code (xgastaldi/shake-shake). That code has no
# "keep", which is made here as the paper describes it. The paper gives 34.4 M parameters for 29 2x4x64d, which is what
# it has with ten classes (34,437,450); with CIFAR-100's hundred it has 34,529,700. shake_shake_tiny is ours, for tests.
