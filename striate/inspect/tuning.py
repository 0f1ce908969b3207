"""A cell's answer to a bar of light by its angle, place and direction of motion: the experiment on a filter.

Source: Hubel, Wiesel 1959, "Receptive fields of single neurones in the cat's striate cortex".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import RequestError

ANGLES = tuple(range(0, 180, 10))
Unit = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> answers [N]


class Tuning(NamedTuple):
    """Answers to a bar that sweeps over the image. angles: of the bar, in degrees; 0 is horizontal, 90 vertical.

    forward, backward [angles]: the strongest answer while it moves one way and the other.
    """

    angles: tuple[float, ...]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]

    @property
    def preferred(self) -> float:
        """The angle of the strongest answer."""
        return self.angles[int(np.maximum(self.forward, self.backward).argmax())]

    @property
    def direction_index(self) -> float:
        """(preferred - opposite) / (preferred + opposite) at the preferred angle: 0 for none, 1 for one way only."""
        place = self.angles.index(self.preferred)
        one, other = sorted((max(0.0, float(self.forward[place])), max(0.0, float(self.backward[place]))))
        return (other - one) / (other + one) if other + one > 0 else 0.0


def bar(
    size: tuple[int, int], angle: float, centre: tuple[float, float], *, length: float = 1e3, width: float = 2.0
) -> NDArray[np.float32]:
    """A bright bar [H, W] on dark: 1 and 0, with an edge of one pixel. angle: in degrees, 0 horizontal, 90 vertical.

    centre: row and column, in pixels. length, width: in pixels.
    """
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    down, across = rows - centre[0], columns - centre[1]
    turned = np.radians(angle)
    along = across * np.cos(turned) - down * np.sin(turned)
    beside = across * np.sin(turned) + down * np.cos(turned)
    inside = [np.clip((reach + 1) / 2 - np.abs(value), 0, 1) for reach, value in ((length, along), (width, beside))]
    shown: NDArray[np.float32] = (inside[0] * inside[1]).astype(np.float32)
    return shown


def sweep(size: tuple[int, int], angle: float, *, step: float = 1.0, width: float = 2.0) -> NDArray[np.float32]:
    """Frames [T, H, W] of a bar that moves over the whole image across its own direction, `step` pixels a frame."""
    reach = (size[0] ** 2 + size[1] ** 2) ** 0.5 / 2 + width
    turned = np.radians(angle)
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.stack(
        [
            bar(size, angle, (middle[0] + at * np.cos(turned), middle[1] + at * np.sin(turned)), width=width)
            for at in np.arange(-reach, reach + step, step)
        ]
    )


@torch.no_grad()
def tuning(
    unit: Unit,
    size: tuple[int, int],
    *,
    channels: int = 3,
    frames: int = 1,
    angles: Sequence[float] = ANGLES,
    width: float = 2.0,
) -> Tuning:
    """The answers of a unit to a bar at each angle, moving both ways.

    unit: images [N, channels * frames, height, width] -> [N]; of `frames` successive frames the oldest is first. All
    channels of a frame are equal. A unit that sees one frame answers to both ways alike, as the frames are the same.
    Raises RequestError for no angles or frames.
    """
    if not angles or frames < 1:
        raise RequestError(f"tuning takes at least one angle and one frame, not {len(angles)} and {frames}")
    answers = np.zeros((2, len(angles)))
    for place, angle in enumerate(angles):
        moving = torch.from_numpy(sweep(size, angle, width=width))[:, None].expand(-1, channels, -1, -1)
        for way, film in enumerate((moving, moving.flip(0))):
            count = len(film) - frames + 1
            shown = torch.cat([film[start : start + count] for start in range(frames)], 1)
            answers[way, place] = float(unit(shown).max())
    return Tuning(tuple(angles), answers[0], answers[1])


@torch.no_grad()
def answers_by_place(unit: Unit, size: tuple[int, int], angle: float, *, channels: int = 3, length: float = 5.0,
                     width: float = 2.0) -> NDArray[np.float64]:  # fmt: skip
    """The answers [H, W] of a unit to a short bar at every place, less that to an image without one.

    0 wherever the bar is outside the unit's receptive field.
    """
    found = np.zeros(size)
    dark = float(unit(torch.zeros(1, channels, *size)))
    for row in range(size[0]):
        bars = np.stack([bar(size, angle, (row, column), length=length, width=width) for column in range(size[1])])
        found[row] = unit(torch.from_numpy(bars)[:, None].expand(-1, channels, -1, -1)).double().numpy() - dark
    return found
