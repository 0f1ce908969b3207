"""Boxes as tensors: areas, overlaps, and the coding of a box relative to another. torch is imported when first used.

A box is (x1, y1, x2, y2): its left upper and its right lower corner, with x2 - x1 its width. Overlaps and codes are
the same in pixels and in shares of an image's sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def box_areas(boxes: Tensor) -> Tensor:
    """The areas of boxes [..., 4]; 0 for a box without one."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)
    return sides[..., 0] * sides[..., 1]


def box_intersections(a: Tensor, b: Tensor) -> Tensor:
    """The area that each of boxes [..., N, 4] shares with each of boxes [..., M, 4]: [..., N, M]."""
    import torch

    one, other = a.unsqueeze(-2), b.unsqueeze(-3)
    sides = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp_min(0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [..., N, 4] with boxes [..., M, 4], each with each: [..., N, M]; 0 where none
    has an area."""
    import torch

    shared = box_intersections(a, b)
    union = box_areas(a).unsqueeze(-1) + box_areas(b).unsqueeze(-2) - shared
    return torch.where(union > 0, shared / union.clamp_min(torch.finfo(union.dtype).tiny), 0.0)


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes [..., 4] relative to anchors [..., 4]: shifts of the centre in widths and heights, and logarithms of the
    sizes, which are at least a thousandth of the anchor's: a box without an extent has no logarithm.

    Source: Girshick et al. 2014, arXiv:1311.2524, appendix C.
    """
    import torch

    own, other = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) / (2 * other)
    return torch.cat([shift, (own / other).clamp_min(1e-3).log()], -1)
