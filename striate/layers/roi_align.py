"""RoI align: a map of fixed size out of each box of a feature map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FAR = -3.0  # a place of `grid_sample` beyond every border, where values are 0


def roi_align(maps: Tensor, boxes: Tensor, size: tuple[int, int], *, scale: float = 1.0, samples: int = 2) -> Tensor:
    """The maps [N, C, H, W] within the boxes [N, R, 4] of each image: [N, R, C, *size].

    Each output cell is the mean of samples x samples values, read bilinearly at even places in it. scale: from the
    boxes' coordinates to the maps', such as 1/16. The centre of the first cell of a map is at (0.5, 0.5), so that boxes
    are not shifted by half a cell; beyond a map's border by more than one cell, values are 0.
    Source: He, Gkioxari, Dollar, Girshick 2017, arXiv:1703.06870, section 3; the half cell is that of detectron2.
    """
    corner, sides = boxes[..., :2] * scale, (boxes[..., 2:] - boxes[..., :2]) * scale
    at = (
        corner[..., axis, None] + sides[..., axis, None] * _shares(count * samples, boxes)
        for axis, count in ((0, size[1]), (1, size[0]))
    )
    x, y = (_placed(one, side) for one, side in zip(at, (maps.shape[3], maps.shape[2]), strict=True))
    x, y = x[:, :, None, :] + torch.zeros_like(y)[..., None], y[..., None] + torch.zeros_like(x)[:, :, None, :]
    grid = torch.stack([x, y], 4).flatten(1, 2)  # all boxes of an image below each other
    values = F.grid_sample(maps.to(grid), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    cells = F.avg_pool2d(values, samples).to(maps)
    return cells.reshape(maps.shape[0], maps.shape[1], -1, *size).transpose(1, 2)


def _shares(count: int, like: Tensor) -> Tensor:
    """Where the samples along a side are, from 0 to 1."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def _placed(at: Tensor, side: int) -> Tensor:
    """Places along an axis of a map as `grid_sample` has them, -1 to 1; those in the border's cell on the border."""
    held = at.clamp(0.5, side - 0.5) * 2 / side - 1
    return torch.where((at >= -0.5) & (at <= side + 0.5), held, FAR)
