"""Detections of one image as objects: a name, a score and a box in pixels of the upright image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.tasks.detection_arrays import FOUND_BOX, FOUND_CLASS, SCORE, shown


@dataclass(frozen=True)
class FoundObject:
    """An object: its class by name and index, its score from 0 to 1, its box x1, y1, x2, y2 in pixels."""

    label: str
    place: int
    score: float
    box: tuple[float, float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values: label, score, box."""
        return {"label": self.label, "score": round(self.score, 6), "box": [round(side, 2) for side in self.box]}


def found_objects(
    prediction: NDArray[np.float32], size: tuple[int, int], names: Sequence[str], score: float
) -> tuple[FoundObject, ...]:
    """The detections [100, 6] of one image with a score of at least `score`, the best first.

    size: width and height of the upright image. names: of the classes.
    """
    across = np.tile(np.array(size, np.float64), 2)
    found = []
    for row in shown(prediction, score):
        x1, y1, x2, y2 = (row[FOUND_BOX] * across).tolist()
        place = int(row[FOUND_CLASS])
        found.append(FoundObject(names[place], place, float(row[SCORE]), (x1, y1, x2, y2)))
    return tuple(found)


def objects_told(size: tuple[int, int], objects: Sequence[FoundObject]) -> dict[str, Any]:
    """The objects of an image as JSON values, with the size that their boxes are in."""
    return {"width": size[0], "height": size[1], "objects": [one.as_dict() for one in objects]}
