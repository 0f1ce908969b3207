"""Boxes in NumPy: overlaps and non-maximum suppression.

A box is (x1, y1, x2, y2): its left upper and its right lower corner, x to the right and y down, with x2 - x1 its width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def areas(boxes: Floats) -> Floats:
    """The area of each box [N, 4]: [N]; 0 for a box without one."""
    sides = np.maximum(boxes[:, 2:4] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersections(a: Floats, b: Floats) -> Floats:
    """The area that each of boxes [N, 4] shares with each of boxes [M, 4]: [N, M]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(np.minimum(a[:, None, 2:4], b[None, :, 2:4]) - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def ious(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes [N, 4] with boxes [M, 4], each with each: [N, M]; 0 where none has an area."""
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def nms(
    boxes: Floats, scores: Floats, threshold: float, classes: NDArray[np.integer] | None = None
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: the indices of the boxes that are kept, the highest score first.

    A box is dropped if its IoU with a kept one is above `threshold`; with `classes` [N], only with one of its class.
    Of equal scores the first is kept.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    if not len(order):
        return order
    sorted_boxes = np.asarray(boxes)[order]
    over = ious(sorted_boxes, sorted_boxes) > threshold
    if classes is not None:
        own = np.asarray(classes)[order]
        over &= own[:, None] == own[None]
    alive = np.ones(len(order), bool)
    for place in range(len(order) - 1):
        if alive[place]:
            alive[place + 1 :] &= ~over[place, place + 1 :]
    return order[alive]
