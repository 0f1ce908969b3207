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

LARGEST = math.log(1000 / 16)  # of a coded width or height: an anchor grows at most so many times


def box_areas(boxes: Tensor) -> Tensor:
    """The areas of boxes [..., 4]; 0 for a box without one."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] with boxes [M, 4], each with each: [N, M]; 0 where none has an area."""
    sides = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp_min(0)
    shared = sides[..., 0] * sides[..., 1]
    union = box_areas(a)[:, None] + box_areas(b)[None] - shared
    return torch.where(union > 0, shared / union.clamp_min(torch.finfo(union.dtype).tiny), 0.0)


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


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes [N, 4] relative to anchors [N, 4]: shifts of the centre in widths and heights, and logarithms of the sizes.

    Source: Girshick et al. 2014, arXiv:1311.2524, appendix C.
    """
    own, other = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / (2 * other)
    return torch.cat([shift, (own / other).log()], 1)


def decode_boxes(codes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode_boxes`: codes [N, 4] and anchors [N, 4] -> boxes [N, 4]; sizes are limited."""
    sides = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + codes[:, :2] * sides
    half = sides * codes[:, 2:].clamp_max(LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], 1)


def clip_boxes(boxes: Tensor, height: float, width: float) -> Tensor:
    """Boxes [..., 4] cut to an image of that size."""
    return torch.stack([boxes[..., i].clamp(0, width if i % 2 == 0 else height) for i in range(4)], -1)
