"""Boxes as tensors: overlaps, anchors, the coding of a box relative to an anchor, and non-maximum suppression.

A box is (x1, y1, x2, y2): its left upper and its right lower corner, with x2 - x1 its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import RequestError
from striate.tasks import boxes as arrays
from striate.tasks.box_tensors import box_areas, box_iou, encode_boxes

__all__ = [
    "anchors", "box_areas", "box_iou", "clip_boxes", "decode_boxes", "encode_boxes", "nms", "suppressed",
]  # fmt: skip

LARGEST = math.log(1000 / 16)  # of a coded width or height: an anchor grows at most so many times


def nms(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None = None) -> Tensor:
    """Greedy non-maximum suppression of boxes [N, 4] by scores [N]: the indices that are kept, the best first, int64.

    A box is dropped if its IoU with a kept one is above `threshold`; with `classes` [N], only with one of its class.
    """
    own = None if classes is None else classes.cpu().numpy()
    kept = arrays.nms(boxes.detach().float().cpu().numpy(), scores.detach().float().cpu().numpy(), threshold, own)
    return torch.from_numpy(kept).to(boxes.device, torch.int64)


def anchors(height: int, width: int, stride: int, scales: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Anchors around the centres of a map's cells: [height * width * len(scales) * len(ratios), 4], row by row.

    scales: square roots of the areas, in pixels of the image. ratios: height over width. Source: Ren, He, Girshick, Sun
    2015, arXiv:1506.01497, section 3.1.1. Raises RequestError for values that are not above 0.
    """
    if min(height, width, stride, *scales, *ratios) <= 0:
        raise RequestError("anchors take sizes, a stride, scales and ratios above 0")
    shapes = torch.tensor(
        [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for ratio in ratios for scale in scales]
    )
    y, x = (((torch.arange(side) + 0.5) * stride) for side in (height, width))
    centres = torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)
    halves = shapes / 2
    return torch.cat([centres[:, None] - halves, centres[:, None] + halves], 2).view(-1, 4)


def suppressed(boxes: Tensor, threshold: float, rounds: int) -> Tensor:
    """Which of boxes [..., K, 4], the best first, non-maximum suppression drops: bool [..., K].

    It is `nms` for a batch, in operations that a graph holds: in each round a box is dropped if one before it that the
    last round kept overlaps it. After as many rounds as the longest chain of boxes that drop each other it is exact.
    Source: Zheng et al. 2020, arXiv:2005.03572 (Cluster-NMS).
    """
    over = (box_iou(boxes, boxes) > threshold).float().triu(1)
    kept = torch.ones_like(boxes[..., :1])  # [..., K, 1]
    for _ in range(rounds):
        kept = (over.transpose(-1, -2) @ kept < 0.5).float()
    return kept[..., 0] < 0.5


def decode_boxes(codes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode_boxes`: codes [..., 4] and anchors [..., 4] -> boxes [..., 4]; sizes are limited."""
    sides = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., :2] + anchors[..., 2:]) / 2 + codes[..., :2] * sides
    half = sides * codes[..., 2:].clamp_max(LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def clip_boxes(boxes: Tensor, height: float, width: float) -> Tensor:
    """Boxes [..., 4] cut to an image of that size."""
    return torch.stack([boxes[..., i].clamp(0, width if i % 2 == 0 else height) for i in range(4)], -1)
