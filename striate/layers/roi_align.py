"""RoI align: a map of fixed size out of each box of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align(
    maps: Tensor, boxes: Tensor, images: Tensor, size: tuple[int, int], *, scale: float = 1.0, samples: int = 2
) -> Tensor:
    """The maps [N, C, H, W] within boxes [R, 4] of the images int64 [R]: [R, C, *size].

    Each output cell is the mean of samples x samples values, read bilinearly at even places in it. scale: from the
    boxes' coordinates to the maps', such as 1/16. The centre of the first cell of a map is at (0.5, 0.5), so that boxes
    are not shifted by half a cell; beyond a map's border by more than one cell, values are 0.
    Source: He, Gkioxari, Dollar, Girshick 2017, arXiv:1703.06870, section 3; the half cell is that of detectron2.
    """
    height, width = maps.shape[2:]
    corner, sides = boxes[:, :2] * scale, (boxes[:, 2:] - boxes[:, :2]) * scale
    across, down = (
        corner[:, axis, None] + sides[:, axis, None] * _places(count, samples, boxes) - 0.5
        for axis, count in ((0, size[1]), (1, size[0]))
    )
    (left, right, to_right, inside_x), (top, bottom, to_bottom, inside_y) = _ends(across, width), _ends(down, height)
    flat = maps.permute(0, 2, 3, 1)  # the channels of a place lie together
    where = images.view(-1, 1, 1)

    def read(y: Tensor, x: Tensor) -> Tensor:
        return flat[where, y[:, :, None], x[:, None, :]]  # [R, samples h, samples w, C]

    u, v = to_right[:, None, :, None], to_bottom[:, :, None, None]
    upper = read(top, left) * (1 - u) + read(top, right) * u
    lower = read(bottom, left) * (1 - u) + read(bottom, right) * u
    values = upper * (1 - v) + lower * v
    values = values * (inside_y[:, :, None] & inside_x[:, None, :])[..., None]
    cells = values.view(len(boxes), size[0], samples, size[1], samples, maps.shape[1])
    return cells.mean((2, 4)).permute(0, 3, 1, 2)


def _places(count: int, samples: int, like: Tensor) -> Tensor:
    """Where the samples of `count` cells are, from 0 to 1."""
    total = count * samples
    return (torch.arange(total, device=like.device, dtype=like.dtype) + 0.5) / total


def _ends(at: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For places along an axis: the cells before and after, the share of the latter, and whether it is on the map."""
    inside = (at >= -1) & (at <= side)
    held = at.clamp(0, side - 1)
    before = held.floor()
    first = before.long()
    return first, (first + 1).clamp_max(side - 1), held - before, inside
