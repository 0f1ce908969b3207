"""ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices.

Xiangyu Zhang, Xinyu Zhou, Mengxiao Lin, Jian Sun, 2017. arXiv:1707.01083.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.channel_shuffle import ChannelShuffle
from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.nets.initialise import normal_with_biases
from striate.nets.options import check_width
from striate.tables import table

# Table 1: output channels for g groups, at about the same cost. Pooling and the linear layer follow.
TABLE = """
    layer    output  kernel  stride  repeat  g1   g2   g3   g4    g8
    conv1    112     3       2       1       24   24   24   24    24
    maxpool  56      3       2       1       24   24   24   24    24
    stage2   28      -       2       1       144  200  240  272   384
    stage2   28      -       1       3       144  200  240  272   384
    stage3   14      -       2       1       288  400  480  544   768
    stage3   14      -       1       7       288  400  480  544   768
    stage4   7       -       2       1       576  800  960  1088  1536
    stage4   7       -       1       3       576  800  960  1088  1536
"""


class Row(NamedTuple):
    layer: str
    output: int
    kernel: int | None
    stride: int
    repeat: int
    g1: int
    g2: int
    g3: int
    g4: int
    g8: int


ROWS = table(Row, TABLE)
Groups = Literal[1, 2, 3, 4, 8]


class Stage(NamedTuple):
    """The arguments of one stage: `units` units, of which the first has stride 2 and the change of channels."""

    name: str
    in_channels: int
    channels: int
    units: int


def stages(groups: Groups, width: float = 1.0, stem: int | None = None) -> Iterator[Stage]:
    """The rows of a stage as one, `width` times as wide; `stem` channels come out of conv1, by default the table's."""
    in_channels = stem or getattr(ROWS[0], f"g{groups}")
    for name in ("stage2", "stage3", "stage4"):
        rows = [row for row in ROWS if row.layer == name]
        channels = round(getattr(rows[0], f"g{groups}") * width)
        yield Stage(name, in_channels, channels, sum(row.repeat for row in rows))
        in_channels = channels


class ShuffleUnit(nn.Module):
    """A bottleneck of grouped 1x1 convolutions with a shuffle in between: Figure 2, (b), or (c) for stride 2.

    A quarter of `channels` inside. At stride 2 the shortcut is average pooling and the two are concatenated, so the
    branch has `channels` without those of the input. `first_groups`: of the first convolution. `branch_first`: in the
    concatenation. Input [N, in_channels, H, W], output [N, channels, ceil(H/s), ceil(W/s)].
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, groups: int, first_groups: int, branch_first: bool
    ) -> None:
        super().__init__()
        inside = channels // 4
        self.branch = nn.Sequential(
            ConvNormAct(in_channels, inside, 1, groups=first_groups),
            ChannelShuffle(groups),
            ConvNormAct(inside, inside, 3, stride=stride, groups=inside, act=None),
            ConvNormAct(inside, channels - in_channels if stride == 2 else channels, 1, groups=groups, act=None),
        )
        self.pool = nn.AvgPool2d(3, 2, padding=1) if stride == 2 else None
        self.branch_first = branch_first
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        if self.pool is None:
            joined = x + branch
        else:
            pooled = self.pool(x)
            joined = torch.cat([branch, pooled] if self.branch_first else [pooled, branch], 1)
        out: Tensor = self.act(joined)
        return out


class ShuffleNet(Net):
    """A convolution, a pooling, three stages of units, global average pooling, a linear layer.

    `groups` is that of the 1x1 convolutions, a column of Table 1, and `width` multiplies the channels of the stages;
    `stem` are those of the first convolution. `join` is the order of the concatenations, which numbers channels only:
    "pooled" first, as in the authors' code, or "branch" first, as in a port. 224x224 images in the paper; any size of
    at least 32 is accepted. Raises RequestError for a width outside (0, 8], or one whose channels cannot be divided
    into the groups, with the stem.
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        groups: Groups = 3,
        width: float = 1.0,
        stem: int = 24,
        join: Literal["pooled", "branch"] = "pooled",
    ) -> None:
        check_width(width)
        plan = list(stages(groups, width, stem))
        for stage in plan:
            if stage.channels % (4 * groups) or (stage.channels - stage.in_channels) % groups or stem < 1:
                raise RequestError(
                    f"with {groups} groups, a width of {width:g} and a stem of {stem}, {stage.name} has "
                    f"{stage.channels} channels after {stage.in_channels}: a quarter of them and their difference must "
                    f"be multiples of {groups}"
                )
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Sequential(ConvNormAct(in_channels, stem, 3, stride=2), nn.MaxPool2d(3, 2, padding=1))
        for stage in plan:
            self.add_module(stage.name, _units(stage, groups, join == "branch", opens=stage is plan[0]))
        self.stages = ("stem", *(stage.name for stage in plan))
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        normal_with_biases(self, self._deviation, {})

    def _deviation(self, name: str) -> float:
        """Of a layer's initial weights, in the authors' code: a hundredth at both ends, else 1 / its input channels."""
        weight = self.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return 0.01 if name in ("stem.0.conv", "head") else 1 / weight.shape[1]


def _units(stage: Stage, groups: int, branch_first: bool, *, opens: bool) -> nn.Sequential:
    """The units of a stage. The first convolution of the first stage is not grouped: its input has few channels."""
    units = []
    for number in range(stage.units):
        unit = ShuffleUnit(
            stage.channels if number else stage.in_channels,
            stage.channels,
            stride=1 if number else 2,
            groups=groups,
            first_groups=1 if opens and not number else groups,
            branch_first=branch_first,
        )
        units.append(unit)
    return nn.Sequential(*units)


VARIANTS = {
    **{f"shufflenet_g{groups}": Variant(ShuffleNet, {"groups": groups}) for groups in (1, 2, 3, 4, 8)},
    "shufflenet_g3_050": Variant(ShuffleNet, {"groups": 3, "width": 0.5, "stem": 12}),
    "shufflenet_g3_150": Variant(ShuffleNet, {"groups": 3, "width": 1.5}),
    "shufflenet_g3_200": Variant(ShuffleNet, {"groups": 3, "width": 2.0, "stem": 48}),
    "shufflenet_g8_050": Variant(ShuffleNet, {"groups": 8, "width": 0.5, "stem": 16}),
    "shufflenet_g8_150": Variant(ShuffleNet, {"groups": 8, "width": 1.5}),
    "shufflenet_g8_200": Variant(ShuffleNet, {"groups": 8, "width": 2.0, "stem": 48}),
    "shufflenet_tiny": Variant(ShuffleNet, {"groups": 3, "width": 0.1, "stem": 6}),
}

# Not in the paper, from the authors' code (megvii-model/ShuffleNet-Series, V1): the stem's channels at other widths,
# the order of the concatenation, and the initialisation. Deviations from that code: its linear layer has no bias, here
# there is one; published counts of 1.5x and 2x (3,441,168 and 5,449,776) are without, that of 1x (1,865,728) is with
# it. Its norms start from a bias of 1e-4, here from 0, and it shuffles by another permutation; here that of section
# 3.1. shufflenet_tiny is ours, for tests.
