"""Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks.

Shaoqing Ren, Kaiming He, Ross Girshick, Jian Sun, NIPS 2015. arXiv:1506.01497: a network proposes boxes around anchors,
and a second one classifies what is in each and corrects the box; both share the maps of one body. The number of boxes
differs from image to image, so it is built and trained by the functions of this file, and not by `striate train`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.boxes import anchors, box_iou, clip_boxes, decode_boxes, encode_boxes, nms
from striate.layers.roi_align import roi_align
from striate.tables import table

# Section 3.1 and py-faster-rcnn (models/pascal_voc/VGG16). k anchors a place, C classes with the background.
LAYERS = """
    part            layer   input  output
    rpn.conv        conv3   body   512
    rpn.objectness  conv1   512    2k
    rpn.boxes       conv1   512    4k
    regions         align7  body   body
    fc6             linear  body   4096
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
SIDE = 7  # of the map of a region


@dataclass(frozen=True)
class Settings:
    """How boxes are proposed, sampled and kept. The defaults are those of the paper and of py-faster-rcnn.

    scales: of anchors, square roots of their areas in pixels. ratios: height over width. An anchor is positive from an
    IoU of `positive` on, or as an object's best, and negative below `negative`; `sampled` of an image are trained on,
    at most half of them positive. proposed: (before, after) suppression by `suppress`, in training and afterwards.
    regions: of an image that are trained on, `foreground` of them with an IoU of at least a half. deviations: by which
    coded boxes of regions are divided.
    """

    scales: tuple[float, ...] = (128, 256, 512)
    ratios: tuple[float, ...] = (0.5, 1, 2)
    positive: float = 0.7
    negative: float = 0.3
    sampled: int = 256
    suppress: float = 0.7
    proposed_in_training: tuple[int, int] = (12_000, 2_000)
    proposed: tuple[int, int] = (6_000, 300)
    least: float = 16.0  # pixels of a proposal's side
    regions: int = 128
    foreground: float = 0.25
    deviations: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)


class Objects(NamedTuple):
    """The objects of an image: boxes [G, 4] in pixels, and classes int64 [G] from 1 on; 0 is the background."""

    boxes: Tensor
    classes: Tensor


class Losses(NamedTuple):
    """The four parts of the loss, each a mean over the images; their sum is trained."""

    objectness: Tensor
    proposals: Tensor
    classes: Tensor
    boxes: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.objectness + self.proposals + self.classes + self.boxes


class Found(NamedTuple):
    """Detections in an image, the best first: boxes [D, 4] in pixels, classes int64 [D] from 1 on, scores [D]."""

    boxes: Tensor
    classes: Tensor
    scores: Tensor


class RegionProposals(nn.Module):
    """Maps [N, channels, h, w] -> logits [N, A, 2] of its anchors, nothing and something, and coded boxes [N, A, 4]."""

    def __init__(self, channels: int, width: int, each: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.objectness = nn.Conv2d(width, 2 * each, 1)
        self.boxes = nn.Conv2d(width, 4 * each, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.conv(maps))
        return self._rows(self.objectness(x), 2), self._rows(self.boxes(x), 4)

    @staticmethod
    def _rows(x: Tensor, values: int) -> Tensor:
        """[N, each * values, h, w] -> [N, h * w * each, values], in the order of `anchors`."""
        return x.permute(0, 2, 3, 1).reshape(len(x), -1, values)


class FasterRCNN(nn.Module):
    """A body's maps, the proposals on them, and the classes and boxes of regions.

    body: a module from images [N, c, H, W] to maps [N, channels, H / stride, W / stride]. classes: with the background.
    width, hidden: channels of the proposals' convolution, and units of fc6 and fc7.
    """

    table = LAYERS

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        *,
        classes: int = 21,
        stride: int = 16,
        width: int = 512,
        hidden: int = 4096,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self.body, self.stride, self.settings = body, stride, settings or Settings()
        self.rpn = RegionProposals(channels, width, len(self.settings.scales) * len(self.settings.ratios))
        self.fc6, self.fc7 = nn.Linear(channels * SIDE * SIDE, hidden), nn.Linear(hidden, hidden)
        self.classes, self.boxes = nn.Linear(hidden, classes), nn.Linear(hidden, 4 * classes)
        for layer in (self.rpn.conv, self.rpn.objectness, self.rpn.boxes, self.classes):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.001)
        for biased in (self.rpn.conv, self.rpn.objectness, self.rpn.boxes, self.classes, self.boxes):
            nn.init.zeros_(biased.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> list[Found]:
        """Images [N, c, H, W] -> the objects in each, with a score of at least 0.05."""
        maps = self.body(images)
        places, logits, codes = self._anchored(maps)
        size = (images.shape[2], images.shape[3])
        found = []
        for number in range(len(images)):
            proposals = self.proposed(logits[number], codes[number], places, size, self.settings.proposed)
            chances, boxes = self._regions(maps, proposals, torch.full((len(proposals),), number))
            found.append(self._kept(chances.softmax(1), boxes, proposals, size))
        return found

    def losses(self, images: Tensor, objects: Sequence[Objects], generator: torch.Generator) -> Losses:
        """The loss of images [N, c, H, W]; `generator` draws the anchors and regions that are trained on.

        An image may be without objects. Raises RequestError for another number of images than of their objects.
        """
        if len(objects) != len(images):
            raise RequestError(f"{len(images)} images need as many objects, not {len(objects)}")
        maps = self.body(images)
        places, logits, codes = self._anchored(maps)
        size = (images.shape[2], images.shape[3])
        parts = []
        for number, own in enumerate(objects):
            of_anchors = self._anchor_losses(logits[number], codes[number], places, own, size, generator)
            proposals = self.proposed(logits[number], codes[number], places, size, self.settings.proposed_in_training)
            of_regions = self._region_losses(maps, number, torch.cat([proposals, own.boxes]), own, generator)
            parts.append(torch.stack([*of_anchors, *of_regions]))
        return Losses(*torch.stack(parts).mean(0))

    @torch.no_grad()
    def proposed(
        self, logits: Tensor, codes: Tensor, places: Tensor, size: tuple[int, int], most: tuple[int, int]
    ) -> Tensor:
        """One image's proposals [P, 4]: the best anchors' boxes, cut to the image, overlapping ones suppressed."""
        scores = logits.softmax(1)[:, 1]
        best = scores.argsort(descending=True)[: most[0]]
        boxes = clip_boxes(decode_boxes(codes[best], places[best]), *size)
        large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= self.settings.least
        boxes, scores = boxes[large], scores[best][large]
        return boxes[nms(boxes, scores, self.settings.suppress)[: most[1]]]

    def _anchored(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Anchors [A, 4], logits [N, A, 2] and codes [N, A, 4]."""
        height, width = maps.shape[2:]
        logits, codes = self.rpn(maps)
        return anchors(height, width, self.stride, self.settings.scales, self.settings.ratios).to(maps), logits, codes

    def _regions(self, maps: Tensor, boxes: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [R, classes] and codes [R, classes, 4] of regions [R, 4]."""
        x = roi_align(maps, boxes, images, (SIDE, SIDE), scale=1 / self.stride).flatten(1)
        x = F.relu(self.fc7(F.relu(self.fc6(x))))
        return self.classes(x), self.boxes(x).view(len(boxes), -1, 4)

    def _anchor_losses(
        self, logits: Tensor, codes: Tensor, places: Tensor, own: Objects, size: tuple[int, int], draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Of what is an object, over sampled anchors, and of the boxes of the positive ones."""
        chosen = self.settings
        whole = (places[:, :2] >= 0).all(1) & (places[:, 2] <= size[1]) & (places[:, 3] <= size[0])
        overlap = box_iou(places, own.boxes) if len(own.boxes) else places.new_zeros(len(places), 1)
        overlap = torch.where(whole[:, None], overlap, -1.0)  # anchors across the border are not trained on
        value, row = overlap.max(1)
        best = ((overlap == overlap.amax(0, keepdim=True)) & (overlap > 0)).any(1)
        positive = whole & ((value >= chosen.positive) | best)
        negative = whole & (value < chosen.negative) & ~positive
        right = _some(positive, chosen.sampled // 2, draw)
        sample = torch.cat([right, _some(negative, chosen.sampled - len(right), draw)])
        if not len(sample):
            return logits.sum() * 0, codes.sum() * 0
        of_class = F.cross_entropy(logits[sample], positive[sample].long())
        if not len(right):
            return of_class, codes.sum() * 0
        wanted = encode_boxes(own.boxes[row[right]], places[right])
        return of_class, F.smooth_l1_loss(codes[right], wanted, beta=1 / 9, reduction="sum") / len(sample)

    def _region_losses(
        self, maps: Tensor, number: int, proposals: Tensor, own: Objects, draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Of the classes of sampled regions, and of the boxes of those that are objects."""
        chosen = self.settings
        if len(own.boxes):
            value, row = box_iou(proposals, own.boxes).max(1)
        else:
            value, row = proposals.new_zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.long)
        right = _some(value >= 0.5, round(chosen.regions * chosen.foreground), draw)
        sample = torch.cat([right, _some(value < 0.5, chosen.regions - len(right), draw)])
        if not len(sample):
            return maps.sum() * 0, maps.sum() * 0
        logits, codes = self._regions(maps, proposals[sample], torch.full((len(sample),), number))
        names = torch.zeros(len(sample), dtype=torch.long)
        names[: len(right)] = own.classes[row[right]]
        of_class = F.cross_entropy(logits, names)
        if not len(right):
            return of_class, codes.sum() * 0
        wanted = encode_boxes(own.boxes[row[right]], proposals[right]) / codes.new_tensor(chosen.deviations)
        given = codes[torch.arange(len(right)), names[: len(right)]]
        return of_class, F.smooth_l1_loss(given, wanted, reduction="sum") / len(sample)

    def _kept(self, chances: Tensor, codes: Tensor, proposals: Tensor, size: tuple[int, int]) -> Found:
        """Detections of all classes but the background: suppressed within each (IoU 0.3), at most 100."""
        regions, names = torch.nonzero(chances[:, 1:] > 0.05, as_tuple=True)
        names = names + 1
        scores = chances[regions, names]
        scaled = codes[regions, names] * codes.new_tensor(self.settings.deviations)
        boxes = clip_boxes(decode_boxes(scaled, proposals[regions]), *size)
        best = nms(boxes, scores, 0.3, names)[:100]
        return Found(boxes[best], names[best], scores[best])


def _some(among: Tensor, most: int, draw: torch.Generator) -> Tensor:
    """The indices of at most so many of those that are marked, drawn at random."""
    found = torch.nonzero(among).flatten()
    return found[torch.randperm(len(found), generator=draw)[:most]]


# Deviations: regions are read by RoI align (He et al. 2017, arXiv:1703.06870) and not by RoI pooling, whose rounding
# moves boxes by up to half a place; both networks are trained at once, as in the authors' later code, and not in four
# steps; dropout behind fc6 and fc7 is left out. lambda is 1 with means over the sampled anchors, as in the code.
