"""What each stage of a network makes of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.anatomy.receptive import Field
from striate.anatomy.trace import trace_run
from striate.inspect.outputs import stage_maps

STRONGEST = 8


@dataclass(frozen=True, eq=False)
class StageMaps:
    """A stage of a network for one image.

    channels: how many maps it has; size: their height and width. strongest [S]: the maps of the highest mean strength,
    the strongest first; maps [S, h, w]: these. dead: the share of channels that are constant for this image. field:
    the receptive field's height and width in pixels; None for the whole image, or where it is not asked for.
    """

    name: str
    channels: int
    size: tuple[int, int]
    strongest: NDArray[np.int64]
    maps: NDArray[np.float32]
    dead: float
    field: tuple[int, int] | None


def stage_by_stage(
    net: nn.Module, image: Tensor, fields: Mapping[str, Field | None] | None = None, count: int = STRONGEST
) -> list[StageMaps]:
    """The `count` strongest maps of each stage for one image [C, H, W], with the share of channels that say nothing.

    fields: as `receptive_fields` gives them.
    """
    found = []
    for name, made in stage_maps(net, image[None]).items():
        maps = made[0].float()
        spread = maps.flatten(1).amax(1) - maps.flatten(1).amin(1)
        order = torch.argsort(maps.abs().mean((1, 2)), descending=True, stable=True)[:count]
        field = (fields or {}).get(name)
        found.append(
            StageMaps(
                name,
                len(maps),
                (int(maps.shape[1]), int(maps.shape[2])),
                order.cpu().numpy(),
                maps[order].cpu().numpy(),
                float((spread == 0).float().mean()),
                None if field is None else field.size,
            )
        )
    return found


def receptive_fields(net: nn.Module, image: Tensor) -> dict[str, Field | None]:
    """The receptive field of each child of a network, for images as large as `image` [C, H, W]."""
    return {name: step.field for name, step in trace_run(net, image[None]).left.items()}
