"""The part of an exported detector behind its network: candidates by torch, suppression by the format's own operator.

A graph gives `boxes` [N, 100, 4], x1, y1, x2, y2 in pixels of the images that it was given, `scores` [N, 100] and
`labels` [N, 100] (int64), the best first; behind an image's last object the label is -1, the score and the box are 0.
They are those of `striate.tasks.detection_arrays.detections`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.inference.backbones import backbone_of
from striate.model import Model
from striate.tasks.detection_arrays import CANDIDATES, LOGITS, MOST, PREDICTED, QUALITY

NAMES = ("boxes", "scores", "labels")


class BoxLayers(nn.Module):
    """Pixels [N, H, W, C], integers 0..255 at the network's input size -> the K best of each image, CANDIDATES or less.

    boxes float32 [N, K, 4] as shares of the sides, scores [N, K], the best first, labels int64 [N, K].
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = backbone_of(model)
        self.classes = model.task.outputs

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The candidates."""
        outputs = self.backbone(pixels)
        quality = outputs[:, :, QUALITY : QUALITY + 1].sigmoid()
        each = (outputs[:, :, LOGITS:].sigmoid() * quality).sqrt().flatten(1)
        if each.shape[1] < MOST:  # of a small image: the outputs are of one size always
            each = F.pad(each, (0, MOST - each.shape[1]))
        scores, places = each.topk(min(CANDIDATES, each.shape[1]), dim=1)
        at = torch.div(places, self.classes, rounding_mode="floor").clamp_max(outputs.shape[1] - 1)
        boxes = outputs[:, :, PREDICTED].clamp(0, 1).gather(1, at.unsqueeze(2).expand(-1, -1, 4))
        return boxes, scores, places - at * self.classes
