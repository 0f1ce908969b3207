"""Boxes moved with their images: the same windows, flips, shifts, turns and scales as `warp` reads the pixels by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.warp import Draws, Moves, Size, Windows, draw_moves, draw_windows, turned_back
from striate.errors import RequestError
from striate.tasks.detection_arrays import BOX, CLASS

ELASTIC = "augment.elastic bends the images, and where the boxes of bent objects are is not known"
LEAST_SEEN = 0.25  # the share of a box that must be left of it in the picture: less is no example of its class

Floats = NDArray[np.float64]


class _Axis(NamedTuple):
    """Source pixels by output pixels from the middle: by_x x + by_y y + offset, for each sample [B]."""

    by_x: Floats
    by_y: Floats
    offset: Floats


def augment_boxes(
    targets: Tensor,
    samples: NDArray[np.integer],
    chosen: Augmentation,
    *,
    seed: int,
    epoch: int,
    across: Size,
    size: Size,
    fraction: float = 1.0,
) -> Tensor:
    """Rows of boxes float32 [B, rows, 9] moved as `augment` moves the images [B, C, *across] of the same samples.

    Boxes are shares of the sides: of an image of `across` = (height, width) before, of `size` after. Of a turned box
    the box around its corners is taken. A box is cut to the picture, and has no class any more where less than
    LEAST_SEEN of it is left. Raises RequestError for elastic displacements, which bend boxes.
    """
    if chosen.elastic:
        raise RequestError(ELASTIC)
    if chosen.fill == "mirror" and chosen.resamples:
        raise RequestError("augment.fill 'mirror': objects that are mirrored at the border would have no boxes")
    same_aspect = across[0] * size[1] == across[1] * size[0]
    if not (chosen.resamples or chosen.shorter_side or chosen.shift or chosen.flip) and fraction == 1 and same_aspect:
        return targets
    draws = Draws(seed, epoch, samples)
    moves = draw_moves(draws, chosen, size)
    windows = draw_windows(draws, chosen, torch.empty(0, 1, *across), size, fraction)
    x, y = _axes(draws, chosen, moves, windows, size)
    boxes = targets[..., BOX].double().cpu().numpy() * np.tile(np.array(across[::-1]), 2)
    moved = _moved(boxes, x, y) + np.tile(np.array(size[::-1]) / 2, 2)
    whole = np.maximum(moved[..., 2:] - moved[..., :2], 0).prod(axis=2)
    cut = moved.clip(0, np.tile(np.array(size[::-1]), 2))
    seen = np.maximum(cut[..., 2:] - cut[..., :2], 0).prod(axis=2)
    out = targets.clone()
    out[..., BOX] = torch.from_numpy(cut / np.tile(np.array(size[::-1]), 2)).to(targets)
    out[..., CLASS].masked_fill_(torch.from_numpy(seen < LEAST_SEEN * whole).to(targets.device), -1.0)
    return out


def _axes(draws: Draws, chosen: Augmentation, moves: Moves, windows: Windows, size: Size) -> tuple[_Axis, _Axis]:
    """The map of `warp.sampling_grid`, in pixels."""
    back = turned_back(draws, chosen, moves)
    found = []
    for (by_x, by_y), start, extent, out in (
        (back[0], windows.left, windows.width, size[1]),
        (back[1], windows.top, windows.height, size[0]),
    ):
        unit = extent / out
        offset = start + extent / 2 - unit * (by_x * moves.right + by_y * moves.down)
        found.append(_Axis(unit * by_x, unit * by_y, offset))
    return found[0], found[1]


def _moved(boxes: Floats, x: _Axis, y: _Axis) -> Floats:
    """Boxes [B, rows, 4] in source pixels -> boxes around their corners, in output pixels from the middle."""
    determinant = (x.by_x * y.by_y - x.by_y * y.by_x)[:, None, None]
    corner_x = boxes[..., [0, 2, 2, 0]] - x.offset[:, None, None]
    corner_y = boxes[..., [1, 1, 3, 3]] - y.offset[:, None, None]
    a, b, c, d = (values[:, None, None] for values in (x.by_x, x.by_y, y.by_x, y.by_y))
    across = (d * corner_x - b * corner_y) / determinant
    down = (a * corner_y - c * corner_x) / determinant
    return np.stack([across.min(axis=2), down.min(axis=2), across.max(axis=2), down.max(axis=2)], axis=2)
