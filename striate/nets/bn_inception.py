"""Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift: BN-Inception.

Sergey Ioffe, Christian Szegedy, 2015. arXiv:1502.03167. Here: the network of the appendix, trained as BN-x30.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from striate.layers.branches import Branches
from striate.layers.conv import ConvNormAct
from striate.nets.base import Net, Variant
from striate.nets.cells import MapSize, Patch, StridedKind
from striate.nets.initialise import he_normal
from striate.nets.options import check_width, scaled
from striate.tables import table

# Figure 5. `d3x3r` and `d3x3` are the branch of two 3x3 convolutions in place of GoogLeNet's 5x5; `proj` is the
# 1x1 projection after the pooling, 0 where the pooled input passes through. Output as printed: see the last comment.
TABLE = """
    stage        type         patch  output      depth  #1x1  #3x3r  #3x3  d3x3r  d3x3  pool  proj
    conv1        convolution  7x7/2  112x112x64  1      -     -      -     -      -     -     -
    pool1        max_pool     3x3/2  56x56x64    0      -     -      -     -      -     -     -
    conv2        convolution  3x3/1  56x56x192   1      -     64     192   -      -     -     -
    pool2        max_pool     3x3/2  28x28x192   0      -     -      -     -      -     -     -
    inception3a  inception    -      28x28x256   3      64    64     64    64     96    avg   32
    inception3b  inception    -      28x28x320   3      64    64     96    64     96    avg   64
    inception3c  inception/2  -      28x28x576   3      0     128    160   64     96    max   0
    inception4a  inception    -      14x14x576   3      224   64     96    96     128   avg   128
    inception4b  inception    -      14x14x576   3      192   96     128   96     128   avg   128
    inception4c  inception    -      14x14x576   3      160   128    160   128    160   avg   128
    inception4d  inception    -      14x14x576   3      96    128    192   160    192   avg   128
    inception4e  inception/2  -      14x14x1024  3      0     128    192   192    256   max   0
    inception5a  inception    -      7x7x1024    3      352   192    320   160    224   avg   128
    inception5b  inception    -      7x7x1024    3      352   192    320   192    224   max   128
    pool3        avg_pool     7x7/1  1x1x1024    0      -     -      -     -      -     -     -
"""


class Row(NamedTuple):
    stage: str
    type: StridedKind
    patch: Patch | None
    output: MapSize
    depth: int
    n1x1: int | None
    n3x3r: int | None
    n3x3: int | None
    d3x3r: int | None
    d3x3: int | None
    pool: str
    proj: int | None


ROWS = table(Row, TABLE.replace("#", "n"))  # a field's name cannot start with #


class Widths(NamedTuple):
    """Channels of a module's convolutions, the two of `d3x3` have as many; 0 where there is none."""

    n1x1: int
    n3x3r: int
    n3x3: int
    d3x3r: int
    d3x3: int
    proj: int


class Stage(NamedTuple):
    """The arguments of one stage; only modules have `widths` and a kind of `pool`, and conv2 has `widths`."""

    name: str
    type: str
    kernel: int
    stride: int
    in_channels: int
    channels: int
    widths: Widths
    pool: str


def stages(in_channels: int = 3, width: float = 1.0) -> Iterator[Stage]:
    """The rows up to the last map as stages, `width` times as wide; a module's channels are those of its branches."""
    for row in ROWS[:-1]:
        kernel, stride = row.patch or Patch(0, row.type.stride)
        widths = Widths(*(scaled(channels, width) if channels else 0 for channels in (*row[5:10], row.proj)))
        channels = in_channels
        if row.type.name == "convolution":
            channels = scaled(row.output.channels, width)
        elif row.type.name == "inception":
            channels = widths.n1x1 + widths.n3x3 + widths.d3x3 + (widths.proj or in_channels)
        yield Stage(row.stage, row.type.name, kernel, stride, in_channels, channels, widths, row.pool)
        in_channels = channels


class Inception(Branches):
    """A module: 1x1, 3x3, two 3x3, and pooling with a projection; [N, in_channels, H, W] -> [N, channels, H/s, W/s].

    One of stride 2 has neither the 1x1 branch nor the projection: its pooled input passes through. An odd map becomes
    (n + 1) / 2, as its convolutions have it.
    """

    def __init__(self, in_channels: int, widths: Widths, *, stride: int, pool: str) -> None:
        paths: dict[str, nn.Module] = {}
        if widths.n1x1:
            paths["1x1"] = ConvNormAct(in_channels, widths.n1x1, 1)
        paths["3x3"] = nn.Sequential(
            ConvNormAct(in_channels, widths.n3x3r, 1), ConvNormAct(widths.n3x3r, widths.n3x3, 3, stride=stride)
        )
        paths["double3x3"] = nn.Sequential(
            ConvNormAct(in_channels, widths.d3x3r, 1),
            ConvNormAct(widths.d3x3r, widths.d3x3, 3),
            ConvNormAct(widths.d3x3, widths.d3x3, 3, stride=stride),
        )
        pooling = _pooling(pool, stride)
        paths["pool"] = nn.Sequential(pooling, ConvNormAct(in_channels, widths.proj, 1)) if widths.proj else pooling
        super().__init__(paths)


def _pooling(pool: str, stride: int) -> nn.Module:
    if stride == 2:
        # As pooling that rounds up, but for an odd n it gives (n + 1) / 2 too; padding is never the maximum.
        return nn.Sequential(nn.ConstantPad2d((0, 2, 0, 2), float("-inf")), nn.MaxPool2d(3, 2))
    return nn.AvgPool2d(3, 1, 1) if pool == "avg" else nn.MaxPool2d(3, 1, 1)


class BNInception(Net):
    """The stages of the table, global average pooling, a linear layer; batch normalisation before every ReLU.

    `width` multiplies all channels. 224x224 images in the paper; any size of at least 32 is accepted. Raises
    RequestError for a width outside (0, 8].
    """

    table = TABLE
    minimum_size = 32

    def __init__(self, *, classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        plan = list(stages(in_channels, width))
        for stage in plan:
            self.add_module(stage.name, _layers(stage))
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(stage.name for stage in plan)
        he_normal(self)  # The paper does not state it.


def _layers(stage: Stage) -> nn.Module:
    if stage.type == "inception":
        return Inception(stage.in_channels, stage.widths, stride=stage.stride, pool=stage.pool)
    if stage.type == "max_pool":
        return nn.MaxPool2d(stage.kernel, stage.stride, ceil_mode=True)
    if not stage.widths.n3x3r:
        return ConvNormAct(stage.in_channels, stage.channels, stage.kernel, stride=stage.stride)
    return nn.Sequential(
        ConvNormAct(stage.in_channels, stage.widths.n3x3r, 1),
        ConvNormAct(stage.widths.n3x3r, stage.channels, stage.kernel, stride=stage.stride),
    )


VARIANTS = {
    "bn_inception": Variant(BNInception, {}),
    "bn_inception_tiny": Variant(BNInception, {"width": 0.125}),
}

# Where Figure 5 contradicts itself, its widths are used. The branches of 4c and 4d add up to 608 channels and not to
# the 576 printed, those of 4e then to 1056 and not 1024, and 3c and 4e print the size of their input. The authors'
# later code (TF-slim's inception_v2) has 576, with projections of 96; the Caffe and PyTorch ports, and the
# SE-BN-Inception of the SENet paper, have the widths as printed, and so has this network.
# Deviations: conv1 is a plain
# convolution, as in the ports; the authors' was separable, with depth multiplier 8. The ports keep a bias before each
# batch normalisation, where it has no effect: 11,295,240 parameters, 11,285,224 here. No dropout and no local response
# normalisation, as in section 4.2.1, and no auxiliary heads, which the appendix does not mention. bn_inception_tiny is
# ours, for tests.
