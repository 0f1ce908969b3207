"""What a strategy hands back: a model, what it was learnt from, and its answers on images it had not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, Usable
from striate.data.sources.base import Source
from striate.data.splits import folds_of, measured_part, split
from striate.jobs.measure import Measured, measure, thresholds
from striate.model import Model
from striate.pixels import Images
from striate.recipe import Recipe
from striate.task import HALF, Targets

if TYPE_CHECKING:  # they import torch, and not every strategy does
    from striate.jobs.learning.checks import Checks
    from striate.training.diagnosis import Remark

Log = Callable[[str, dict[str, Any]], None]  # an event and its facts: a line of log.jsonl
CROSS_VALIDATED = "cross-validated"


@dataclass(frozen=True, eq=False)
class Lots:
    """Who learns and who is measured. parts: of each usable image. folds [usable]: -1 for images outside the folds."""

    audit: Audit
    parts: list[str]
    folds: NDArray[np.int64] | None = None

    @classmethod
    def drawn(cls, found: Audit, recipe: Recipe) -> Lots:
        """As the recipe says. With folds, a split that the data bring is kept, and the folds are made within "train";
        else every image is learnt from, and measured by models that had not seen it."""
        given = any(entry.item.part for entry in found.usable)
        if not recipe.data.folds:
            return cls(found, split(found, recipe.data.held_out, recipe.seed))
        parts = [entry.item.part or "train" for entry in found.usable]
        places = [place for place, part in enumerate(parts) if part == "train"] if given else None
        return cls(found, parts, folds_of(found, recipe.data.folds, recipe.seed, places))

    @property
    def measured_part(self) -> str:
        """The part that is held out; "" where there is none."""
        return measured_part(self.parts)

    def rows(self, part: str) -> list[int]:
        """Places in `audit.usable` of the images of a part."""
        return [index for index, name in enumerate(self.parts) if name == part]

    def entries(self, rows: list[int]) -> list[Usable]:
        """Those images."""
        return [self.audit.usable[row] for row in rows]

    def targets(self, rows: list[int]) -> Targets:
        """Their targets."""
        return self.audit.task.targets(self.audit.usable[row].item for row in rows)


@dataclass(frozen=True, eq=False)
class StrangersMeasured:
    """Strangers of a folder told from held-out images. Distances: of held-out images [N] and of strangers [M]."""

    source: Source
    paths: tuple[str, ...]
    limit: float
    known: NDArray[np.float32]
    strangers: NDArray[np.float32]
    auroc: float
    taken_for: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "folder": self.source.name,
            "images": len(self.strangers),
            "auroc": self.auroc,
            "limit": self.limit,
            "known_accepted": float((self.known <= self.limit).mean()),
            "strangers_refused": float((self.strangers > self.limit).mean()),
        }


@dataclass(eq=False)
class Learned:
    """answers [held out, outputs]: of the measured part's images, in order. engine: in words.

    unseen [usable, outputs]: answers by models that had not learnt from the image, NaN where there are none; fold by
    fold of `lots.folds` where folds were asked for. distances [usable]: how unlike the others each image is. views:
    from a place in `audit.usable` to that image, plain and as augmentation varies it, uint8 [V, H, W, C]. All three
    are None where there is nothing of the kind. curve: a row an epoch. checks: what was checked before training, None
    for nothing. remarks: what the curve says, the gravest first. recipe: the run's with what was chosen in its course,
    None where nothing was. facts: what the strategy chose, for the model file and the log. notes: lines for the user.
    """

    model: Model
    lots: Lots
    answers: NDArray[np.float32]
    engine: str
    precision: str
    unseen: NDArray[np.float32] | None = None
    distances: NDArray[np.float32] | None = None
    strangers: StrangersMeasured | None = None
    views: Callable[[int], Images] | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    checks: Checks | None = None
    remarks: list[Remark] = field(default_factory=list)
    recipe: Recipe | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def audit(self) -> Audit:
        """What was looked at."""
        return self.lots.audit

    @property
    def measured_rows(self) -> list[int]:
        """Places in `audit.usable` of the images that the headline is about."""
        if not self.lots.measured_part and self.lots.folds is not None:
            return np.flatnonzero(self.lots.folds >= 0).tolist()
        return self.lots.rows(self.lots.measured_part)

    def measured(self) -> Measured:
        """The headline: the held-out part, or all folds together where nothing is held out."""
        if not self.lots.measured_part and self.lots.folds is not None:
            return self.cross_validated
        rows = self.measured_rows
        return measure(self.lots.measured_part, self.model.task, self.answers, self.lots.targets(rows))

    @cached_property
    def cross_validated(self) -> Measured:
        """All folds together: each image once, answered by a model that had not seen it."""
        assert self.lots.folds is not None and self.unseen is not None
        return self._unseen_measured(CROSS_VALIDATED, np.flatnonzero(self.lots.folds >= 0).tolist())

    @cached_property
    def by_fold(self) -> list[Measured]:
        """Fold by fold; empty without folds."""
        if self.lots.folds is None or self.unseen is None:
            return []
        chosen = [np.flatnonzero(self.lots.folds == fold).tolist() for fold in range(int(self.lots.folds.max()) + 1)]
        return [self._unseen_measured(f"fold {number}", rows) for number, rows in enumerate(chosen, 1)]

    def _unseen_measured(self, part: str, rows: list[int]) -> Measured:
        assert self.unseen is not None
        limits = self._limits[rows] if self.model.task.kind == "labels" else None
        return measure(part, self.model.task, self.unseen[rows], self.lots.targets(rows), limits)

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        """Of labels, each image's thresholds [usable, labels], from the other folds: its own has no say in them."""
        assert self.lots.folds is not None and self.unseen is not None
        folds, limits = self.lots.folds, np.full(self.unseen.shape, HALF)
        for fold in range(int(folds.max()) + 1):
            others = np.flatnonzero((folds >= 0) & (folds != fold)).tolist()
            limits[folds == fold] = thresholds(self.unseen[others], self.lots.targets(others))
        return limits
