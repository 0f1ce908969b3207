"""The split into training images and held-out images or folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, Usable
from striate.data.splits import folds_of, measured_part, split
from striate.recipe import Recipe
from striate.tasks import Targets


@dataclass(frozen=True, eq=False)
class Split:
    """The usable images of an audit by part. parts [usable]: of each image. folds [usable]: -1 for images in no
    fold. masks: from indices of images to their masks, uint8 [N, H, W], where these are the targets."""

    audit: Audit
    parts: list[str]
    folds: NDArray[np.int64] | None = None
    masks: Callable[[list[int]], Targets | None] = lambda rows: None

    @classmethod
    def make(cls, found: Audit, recipe: Recipe) -> Split:
        """By the recipe. With folds, a split that comes with the data is retained, and the folds are made within
        "train"; without one, every image is in a fold, and is predicted by a model that was not trained on it.
        """
        given = any(entry.item.part for entry in found.usable)
        if not recipe.data.folds:
            return cls(found, split(found, recipe.data.held_out, recipe.seed))
        parts = [entry.item.part or "train" for entry in found.usable]
        places = [place for place, part in enumerate(parts) if part == "train"] if given else None
        return cls(found, parts, folds_of(found, recipe.data.folds, recipe.seed, places))

    @property
    def held_out_part(self) -> str:
        """The part of the headline metric; "" if nothing is held out."""
        return measured_part(self.parts)

    def rows(self, part: str) -> list[int]:
        """Indices into `audit.usable` of the images of a part."""
        return [index for index, name in enumerate(self.parts) if name == part]

    @property
    def held_out_rows(self) -> list[int]:
        """Indices of the images of the held-out part."""
        return self.rows(self.held_out_part)

    @property
    def measured_rows(self) -> list[int]:
        """Indices of the images of the headline metric: the held-out part, or all folds without one."""
        if not self.held_out_part and self.folds is not None:
            return np.flatnonzero(self.folds >= 0).tolist()
        return self.held_out_rows

    def fold_rows(self, fold: int) -> tuple[list[int], list[int]]:
        """Indices of the images that fold number `fold` (from 0) trains on, and of those it is evaluated on."""
        assert self.folds is not None
        inside = self.folds == fold
        return np.flatnonzero((self.folds >= 0) & ~inside).tolist(), np.flatnonzero(inside).tolist()

    @property
    def fold_count(self) -> int:
        """How many folds there are; 0 without cross-validation."""
        return 0 if self.folds is None else int(self.folds.max()) + 1

    def entries(self, rows: list[int]) -> list[Usable]:
        """The images at these indices."""
        return [self.audit.usable[row] for row in rows]

    def targets(self, rows: list[int]) -> Targets:
        """The targets of the images at these indices: their masks, or as the task collates them."""
        if (masks := self.masks(rows)) is not None:
            return masks
        return self.audit.task.collate(self.audit.usable[row].item.target for row in rows)
