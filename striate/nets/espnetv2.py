"""ESPNetv2: A Light-weight, Power Efficient, and General Purpose Convolutional Neural Network.

Sachin Mehta, Mohammad Rastegari, Linda Shapiro, Hannaneh Hajishirzi, CVPR 2019. arXiv:1811.11431; Table 1, Figures 2
and 3. Its segmenter is that of the authors' code (sacmehta/EdgeNets, model/segmentation), which has pyramid pooling
in its decoder.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.channel_shuffle import ChannelShuffle
from striate.layers.conv import ConvNormAct
from striate.nets.base import Variant
from striate.nets.initialise import he_normal_torch7
from striate.nets.kinds import Segmenter
from striate.nets.options import check_width
from striate.tables import table

# Table 1 at width 1, without the level of stride 32 and the classifier; `size` is that of the map for an image of 384.
# `units` begin with the one of stride 2; `dilations` are those of a unit's branches.
ESPNETV2 = """
    level   units  channels  size  strided  dilations
    level1  1      32        192   -        -
    level2  1      64        96    1,2,3,4  -
    level3  4      128       48    1,2,3,4  1,2,3,4
    level4  8      256       24    1,2,3,4  1,1,2,3
"""


class Row(NamedTuple):
    level: str
    units: int
    channels: int
    size: int
    strided: str
    dilations: str


ROWS = table(Row, ESPNETV2)
BRANCHES = 4
REINFORCEMENT = 3  # maps of the image on its way to each level
SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)  # of the pyramid pooling
LEAST = 5  # sides of its maps
PLANES = (4, 3, 2)  # maps of the decoder's steps, times `decoder_width`

_stretched = partial(F.interpolate, mode="bilinear", align_corners=True)


class NormAct(nn.Sequential):
    """Batch normalisation and PReLU with a slope for each map; its parts are `norm` and `act`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.act = nn.BatchNorm2d(channels), nn.PReLU(channels)


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Module:
    return ConvNormAct(
        inputs, outputs, kernel, stride=stride, groups=groups, act=partial(nn.PReLU, outputs) if act else None
    )


class Pyramid(nn.Module):
    """Depth-wise dilated convolutions side by side, their outputs added one after another and joined.

    A grouped 1 x 1 convolution to a quarter of the maps before, and one of all maps after. [N, inputs, H, W] ->
    [N, outputs, H / stride, W / stride]. Source: Figure 2c, and section 3.2 (hierarchical feature fusion).
    """

    def __init__(self, inputs: int, outputs: int, dilations: str, stride: int = 1) -> None:
        super().__init__()
        inside = outputs // BRANCHES
        self.reduce = _conv(inputs, inside, 1, groups=BRANCHES)
        self.branches = nn.ModuleList(
            nn.Conv2d(inside, inside, 3, stride, rate, rate, groups=inside, bias=False)
            for rate in map(int, dilations.split(","))
        )
        self.joined = NormAct(outputs)
        self.expand = _conv(outputs, outputs, 1, groups=BRANCHES, act=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        found: list[Tensor] = []
        for branch in self.branches:
            made = branch(x)
            found.append(made + found[-1] if found else made)
        expanded: Tensor = self.expand(self.joined(torch.cat(found, 1)))
        return expanded


class Unit(nn.Module):
    """EESP: the pyramid and its input added, then PReLU. Source: Figure 2c."""

    def __init__(self, channels: int, dilations: str) -> None:
        super().__init__()
        self.pyramid, self.act = Pyramid(channels, channels, dilations), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.act(self.pyramid(x) + x)
        return summed


class StridedUnit(nn.Module):
    """Strided EESP: average pooling beside a pyramid of stride 2, joined, and the image, made small, added.

    forward: a map [N, inputs, H, W] and the image -> [N, outputs, H / 2, W / 2]. Source: Figure 3.
    """

    def __init__(self, inputs: int, outputs: int, dilations: str, in_channels: int, halvings: int) -> None:
        super().__init__()
        self.pool, self.halvings = nn.AvgPool2d(3, 2, 1), halvings
        self.pyramid = Pyramid(inputs, outputs - inputs, dilations, stride=2)
        self.image = nn.Sequential(_conv(in_channels, REINFORCEMENT, 3), _conv(REINFORCEMENT, outputs, 1, act=False))
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        joined = torch.cat([self.pool(x), self.pyramid(x)], 1)
        for _ in range(self.halvings):
            image = self.pool(image)
        reinforced: Tensor = self.act(joined + self.image(image))
        return reinforced


class Level(nn.Module):
    """A strided unit, which also takes the image, and the units of the same size."""

    def __init__(self, row: Row, inputs: int, outputs: int, in_channels: int, halvings: int) -> None:
        super().__init__()
        self.down = StridedUnit(inputs, outputs, row.strided, in_channels, halvings)
        self.units = nn.Sequential(*(Unit(outputs, row.dilations) for _ in range(row.units - 1)))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        found: Tensor = self.units(self.down(x, image))
        return found


class PyramidPooling(nn.Module):
    """Depth-wise convolutions of the map at five scales, at its own size again, mixed by a grouped convolution.

    [N, inputs, h, w] -> [N, inside, h, w]. Source: the authors' code, nn_layers/efficient_pyramid_pool.py.
    """

    def __init__(self, inputs: int, inside: int) -> None:
        super().__init__()
        self.project = _conv(inputs, inside, 1)
        self.scales = nn.ModuleList(nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False) for _ in SCALES)
        joined = inside * len(SCALES)
        self.joined, self.shuffle = NormAct(joined), ChannelShuffle(len(SCALES))
        self.mix = _conv(joined, inside, 3, groups=inside)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        height, width = x.shape[2:]
        found = []
        for scale, conv in zip(SCALES, self.scales, strict=True):
            size = (max(LEAST, math.ceil(height * scale)), max(LEAST, math.ceil(width * scale)))
            if scale > 1:
                made = F.adaptive_avg_pool2d(conv(_stretched(x, size)), (height, width))
            else:
                made = conv(x) if scale == 1 else _stretched(conv(F.adaptive_avg_pool2d(x, size)), (height, width))
            found.append(made)
        mixed: Tensor = self.mix(self.shuffle(self.joined(torch.cat(found, 1))))
        return mixed


class Skip(nn.Module):
    """A map of the encoder for the decoder: a grouped 3 x 3 convolution, each map weighted by the mean of all."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.conv = _conv(inputs, outputs, 3, groups=math.gcd(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        weighted: Tensor = self.conv(x) * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return weighted


class Step(nn.Module):
    """Pyramid pooling and a 1 x 1 convolution; the result, twice as large, is added to a finer map."""

    def __init__(self, inputs: int, inside: int, outputs: int, skipped: int) -> None:
        super().__init__()
        self.pooling = PyramidPooling(inputs, inside)
        self.expand = nn.Conv2d(inside, outputs, 1, bias=False)
        self.expanded = NormAct(outputs)
        self.skip, self.added = Skip(skipped, outputs), NormAct(outputs)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        x = _stretched(self.expanded(self.expand(self.pooling(x))), scale_factor=2)
        summed: Tensor = self.added(self.skip(finer) + x)
        return summed


class ESPNetv2(Segmenter):
    """The encoder down to stride 16, and a decoder up to stride 2: logits of every pixel.

    `width` multiplies the maps of the encoder, but those of level1 beyond 32, and must make each level's a multiple of
    16; `decoder_width` those of the decoder. Its pyramid pooling has half as many maps as there are classes, at most
    `decoder_width`. Raises RequestError for a width outside (0, 8], or one that makes no multiple of 16.
    """

    table = ESPNETV2
    minimum_size = 16
    multiple = 16

    def __init__(self, *, classes: int = 21, in_channels: int = 3, width: float = 1.0, decoder_width: int = 16) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        channels = [_channels(row, width) for row in ROWS]
        self.level1 = _conv(in_channels, channels[0], 3, stride=2)
        for place, (row, (inputs, outputs)) in enumerate(zip(ROWS[1:], pairwise(channels), strict=True), 2):
            setattr(self, row.level, Level(row, inputs, outputs, in_channels, place))
        inside = max(1, min(classes // 2, decoder_width))
        planes = [channels[3], *(times * decoder_width for times in PLANES)]
        for place, (skipped, (inputs, outputs)) in enumerate(zip(channels[2::-1], pairwise(planes), strict=True), 1):
            setattr(self, f"step{place}", Step(inputs, inside, outputs, skipped))
        self.pooling = PyramidPooling(planes[-1], inside)
        self.classifier = nn.Conv2d(inside, classes, 1)
        self.stages = tuple(name for name, _ in self.named_children())
        he_normal_torch7(self, fan="out")

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes, H, W]."""
        self.check(x)
        maps = [self.level1(x)]
        for row in ROWS[1:]:
            maps.append(getattr(self, row.level)(maps[-1], x))
        found = maps.pop()
        for place in range(1, len(PLANES) + 1):
            found = getattr(self, f"step{place}")(found, maps.pop())
        return _stretched(self.classifier(self.pooling(found)), x.shape[2:])


def _channels(row: Row, width: float) -> int:
    """The maps of a level. Raises RequestError where its branches could not have as many each, in groups."""
    found = row.channels * width
    if row.level == ROWS[0].level:
        found = min(row.channels, found)
    if found % BRANCHES**2:
        raise RequestError(f"width {width:g} makes {found:g} maps of {row.level}, which is no multiple of 16")
    return int(found)


VARIANTS = {
    "espnetv2_050": Variant(ESPNetv2, {"width": 0.5}),
    "espnetv2_100": Variant(ESPNetv2, {}),
    "espnetv2_150": Variant(ESPNetv2, {"width": 1.5}),
    "espnetv2_200": Variant(ESPNetv2, {"width": 2.0}),
    "espnetv2_tiny": Variant(ESPNetv2, {"width": 0.5, "decoder_width": 4}),
}

# Deviations: none in what is computed from the authors' code, of which the published weights are. Its strided units
# have a PReLU in their pyramid that is never run, and is left out: 112 parameters at width 0.5. The classifier of
# ImageNet, with the level of stride 32, is not here. The pyramid pooling has as few as one map where there are two or
# three classes. The tiny net is ours: a narrower decoder.
