"""Boxes and key points moved with their images: the same windows, flips, shifts, turns and scales as `warp` reads the
pixels by."""

from __future__ import annotations

import re
from collections.abc import Sequence
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

_SIDE = re.compile(r"(?<![A-Za-z])(?:left|right)(?![a-z])|(?:Left|Right)(?![a-z])")  # left_eye, leftEye, EyeLeft
_OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}

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
    _check(chosen)
    if _stays(chosen, across, size, fraction):
        return targets
    x, y = _axes_of(chosen, samples, seed, epoch, across, size, fraction)
    boxes = targets[..., BOX].double().cpu().numpy() * np.tile(np.array(across[::-1]), 2)
    moved = _moved(boxes, x, y) + np.tile(np.array(size[::-1]) / 2, 2)
    whole = np.maximum(moved[..., 2:] - moved[..., :2], 0).prod(axis=2)
    cut = moved.clip(0, np.tile(np.array(size[::-1]), 2))
    seen = np.maximum(cut[..., 2:] - cut[..., :2], 0).prod(axis=2)
    out = targets.clone()
    out[..., BOX] = torch.from_numpy(cut / np.tile(np.array(size[::-1]), 2)).to(targets)
    out[..., CLASS].masked_fill_(torch.from_numpy(seen < LEAST_SEEN * whole).to(targets.device), -1.0)
    return out


def augment_points(
    points: Tensor,
    samples: NDArray[np.integer],
    chosen: Augmentation,
    *,
    seed: int,
    epoch: int,
    across: Size,
    size: Size,
    fraction: float = 1.0,
) -> Tensor:
    """Key points float32 [B, points, 2], x and y as shares of the sides, moved as `augment` moves the images.

    Arguments and errors as of `augment_boxes`. A point that leaves the picture becomes NaN, and NaN, a point that is
    not known, stays so. The order of the points is not changed; `swap_mirrored` makes a mirrored left eye the right
    one.
    """
    _check(chosen)
    if _stays(chosen, across, size, fraction):
        return points
    x, y = _axes_of(chosen, samples, seed, epoch, across, size, fraction)
    given = points.double().cpu().numpy() * np.array(across[::-1])
    found = np.stack(_placed(given[..., 0], given[..., 1], x, y), axis=2) / np.array(size[::-1]) + 0.5
    found[((found < 0) | (found > 1)).any(axis=2)] = np.nan
    return torch.from_numpy(found).to(points)


def mirror_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of key points that change places in a mirrored image, by the words left and right in their names, as in
    COCO's "left_eye" and "right_eye".

    Raises RequestError for a name without one counterpart.
    """
    found = []
    for place, name in enumerate(names):
        side = _SIDE.search(name)
        if side is None:
            continue
        counterpart = name[: side.start()] + _OTHER[side.group()] + name[side.end() :]
        places = [at for at, one in enumerate(names) if one == counterpart]
        if len(places) != 1:
            raise RequestError(f"the key point {name!r} needs one {counterpart!r}, of which there are {len(places)}")
        if place < places[0]:
            found.append((place, places[0]))
    return found


def swap_mirrored(points: Tensor, mirrored: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Key points [B, points, ...] with those of each pair exchanged where an image is mirrored, [B].

    mirrored: as `striate.data.augment.batch.mirrors` gives it for the same samples. pairs: as of `mirror_pairs`.
    """
    order = np.tile(np.arange(points.shape[1]), (len(points), 1))
    for one, other in pairs:
        order[mirrored, one], order[mirrored, other] = other, one
    return points[torch.arange(len(points)).unsqueeze(1), torch.from_numpy(order)]


def _check(chosen: Augmentation) -> None:
    if chosen.elastic:
        raise RequestError(ELASTIC)
    if chosen.fill == "mirror" and chosen.resamples:
        raise RequestError("augment.fill 'mirror': objects that are mirrored at the border would have no boxes")


def _stays(chosen: Augmentation, across: Size, size: Size, fraction: float) -> bool:
    """Whether shares of the sides are the same in every augmented image."""
    same_aspect = across[0] * size[1] == across[1] * size[0]
    moves = chosen.resamples or chosen.shorter_side or chosen.shift or chosen.flip
    return not moves and fraction == 1 and same_aspect


def _axes_of(
    chosen: Augmentation,
    samples: NDArray[np.integer],
    seed: int,
    epoch: int,
    across: Size,
    size: Size,
    fraction: float,
) -> tuple[_Axis, _Axis]:
    draws = Draws(seed, epoch, samples)
    moves = draw_moves(draws, chosen, size)
    windows = draw_windows(draws, chosen, torch.empty(0, 1, *across), size, fraction)
    return _axes(draws, chosen, moves, windows, size)


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
    count = len(boxes)
    corners = boxes[..., [0, 2, 2, 0]].reshape(count, -1), boxes[..., [1, 1, 3, 3]].reshape(count, -1)
    across, down = (values.reshape(*boxes.shape[:2], 4) for values in _placed(*corners, x, y))
    return np.stack([across.min(axis=2), down.min(axis=2), across.max(axis=2), down.max(axis=2)], axis=2)


def _placed(source_x: Floats, source_y: Floats, x: _Axis, y: _Axis) -> tuple[Floats, Floats]:
    """Points [B, points] in source pixels -> in output pixels from the middle: the map of the axes inverted."""
    determinant = (x.by_x * y.by_y - x.by_y * y.by_x)[:, None]
    from_x, from_y = source_x - x.offset[:, None], source_y - y.offset[:, None]
    a, b, c, d = (values[:, None] for values in (x.by_x, x.by_y, y.by_x, y.by_y))
    return (d * from_x - b * from_y) / determinant, (a * from_y - c * from_x) / determinant
