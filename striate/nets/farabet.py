"""Learning Hierarchical Features for Scene Labeling.

Clement Farabet, Camille Couprie, Laurent Najman, Yann LeCun. IEEE Transactions on Pattern Analysis and Machine
Intelligence 35 (8), 2013: one network at three scales of the image, and a classifier of each pixel on all three.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.table_conv import TableConv2d
from striate.nets.base import Variant
from striate.nets.initialise import uniform_by_fan_in
from striate.nets.kinds import Segmenter
from striate.nets.options import check_width, scaled
from striate.tables import table

# `seen` is how many of the maps before each map is computed from; `size` is that for an image of 320 x 240 at its own
# scale, height first. The network is run three times, with the same weights: on the image and at 1/2 and 1/4.
FARABET = """
    layer       kernel  maps     seen     activation  pooling  size
    conv1       7       16       Y,UV     tanh        2        120x160
    conv2       7       64       8        tanh        2        60x80
    conv3       7       256      32       -           -        60x80
    joined      -       768      -        -           -        60x80
    hidden      1       1024     768      tanh        -        60x80
    classifier  1       classes  1024     -           -        60x80
"""


class Row(NamedTuple):
    layer: str
    kernel: int | None
    maps: str
    seen: str
    activation: str
    pooling: int | None
    size: str


SCALES = 3
NEAR = 15  # pixels, the side of the window of local normalisation
LUMA = 10  # of the 16 first maps, those of Y
CHROMA = 6  # and those of U and V
KERNEL = 7
# Rows of Y, U, V from red, green, blue: ITU-R BT.601, as torch7's image package has them.
YUV = ((0.299, 0.587, 0.114), (-0.14713, -0.28886, 0.436), (0.615, -0.51499, -0.10001))


def links(inputs: int, outputs: int, seen: int) -> list[list[bool]]:
    """Which of the maps before each map is computed from: `seen` of them, drawn once for all networks.

    A row for each input map, as TableConv2d takes it; every input map is used.
    """
    draws = np.random.default_rng(inputs * outputs)
    grid = np.zeros((inputs, outputs), bool)
    for output in range(outputs):
        others = [place for place in draws.permutation(inputs).tolist() if place != output % inputs]
        grid[[output % inputs, *others[: seen - 1]], output] = True
    found: list[list[bool]] = grid.tolist()
    return found


def pyramid(x: Tensor) -> list[Tensor]:
    """Images [N, C, H, W] -> the Laplacian pyramid at 1, 1/2 and 1/4: each without what the next coarser one has."""
    found = []
    for _ in range(SCALES - 1):
        coarser = F.avg_pool2d(x, 2)
        found.append(x - F.interpolate(coarser, scale_factor=2, mode="bilinear", align_corners=False))
        x = coarser
    return [*found, x]


class LocalNormalisation(nn.Module):
    """Each map less its mean in a window of 15 x 15, divided by its deviation there, at least the image's mean one."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - _local_mean(x)
        deviation = _local_mean(centred.square()).sqrt()
        return centred / torch.maximum(deviation, deviation.mean((2, 3), keepdim=True)).clamp_min(1e-3)


def _local_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, NEAR, 1, NEAR // 2, count_include_pad=False)


class FirstMaps(nn.Module):
    """The first layer: 10 maps of the luminance, 6 of the colour differences; of other images 16 maps of all channels.

    [N, in_channels, H, W] -> [N, maps, H, W].
    """

    def __init__(self, in_channels: int, maps: int) -> None:
        super().__init__()
        self.colour = in_channels == 3
        if self.colour:
            luma = maps * LUMA // (LUMA + CHROMA)
            self.luma = nn.Conv2d(1, luma, KERNEL, padding=KERNEL // 2)
            self.chroma = nn.Conv2d(2, maps - luma, KERNEL, padding=KERNEL // 2)
        else:
            self.all = nn.Conv2d(in_channels, maps, KERNEL, padding=KERNEL // 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.colour:
            return torch.cat([self.luma(x[:, :1]), self.chroma(x[:, 1:])], 1)
        made: Tensor = self.all(x)
        return made


class ScaleNet(nn.Module):
    """The network of one scale: three banks of 7 x 7 filters, the first two with tanh and maximum pooling.

    [N, in_channels, H, W] -> [N, maps, H / 4, W / 4].
    """

    def __init__(self, in_channels: int, maps: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = maps
        self.conv1 = FirstMaps(in_channels, first)
        self.conv2 = TableConv2d(links(first, second, max(1, first // 2)), KERNEL)
        self.conv3 = TableConv2d(links(second, third, max(1, second // 2)), KERNEL)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv1(x).tanh())
        x = self.pool(self.conv2(_framed(x)).tanh())
        made: Tensor = self.conv3(_framed(x))
        return made


def _framed(x: Tensor) -> Tensor:
    return F.pad(x, [KERNEL // 2] * 4)


class Farabet(Segmenter):
    """One network at three scales, whose maps are joined, and a classifier with a hidden layer: logits of every pixel.

    `width` multiplies all maps but the classes. Raises RequestError for a width outside (0, 8].
    """

    table = FARABET
    minimum_size = 16
    multiple = 16
    yuv: Tensor

    def __init__(self, *, classes: int = 8, in_channels: int = 3, width: float = 1.0) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        first, second, third, hidden = (scaled(int(row.maps), width) for row in ROWS if row.layer in _COUNTED)
        self.register_buffer("yuv", torch.tensor(YUV), persistent=False)
        self.normalise = LocalNormalisation()
        self.scale = ScaleNet(in_channels, (first, second, third))
        self.hidden = nn.Conv2d(SCALES * third, hidden, 1)
        self.classifier = nn.Conv2d(hidden, classes, 1)
        self.stages = ("scale", "hidden", "classifier")
        uniform_by_fan_in(self, lambda fan_in: 1 / math.sqrt(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes, H, W]."""
        self.check(x)
        if self.in_channels == len(YUV):
            x = F.conv2d(x, self.yuv.to(x.dtype)[:, :, None, None])
        maps = [self.scale(self.normalise(level)) for level in pyramid(x)]
        joined = torch.cat([maps[0], *(F.interpolate(coarse, maps[0].shape[2:]) for coarse in maps[1:])], 1)
        logits = self.classifier(self.hidden(joined).tanh())
        return F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=False)


ROWS = table(Row, FARABET)
_COUNTED = ("conv1", "conv2", "conv3", "hidden")

VARIANTS = {
    "farabet": Variant(Farabet, {}),
    "farabet_tiny": Variant(Farabet, {"width": 1 / 8}),
}

# Deviations: the sizes above are from memory, not checked: of the paper's text only the beginning was at hand. Which
# maps are connected is drawn at random there, and drawn once here. What follows the network in the paper is missing:
# superpixels, the optimal cover of segments, and the conditional random field; each pixel has the class of its own
# features. There the network is trained under a linear classifier, and the one with a hidden layer afterwards; here
# both at once. Maps are padded with zeros. The tiny net is ours.
