"""Nested folds: a search for each outer fold, whose best recipe is judged on images that its search never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.progress import Progress
from striate.tasks.values import or_none
from striate.tuning.scoring import Scorer
from striate.tuning.search import Search, best_recipe, require_best
from striate.tuning.trial_data import Parts, TrialData


@dataclass(frozen=True)
class NestedEstimate:
    """The score of the procedure "search, then train the best", over all outer folds together, and of each fold."""

    score: float
    interval: tuple[float, float] | None
    scores: tuple[float, ...]
    images: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "score": or_none(self.score),
            "interval": None if self.interval is None else list(self.interval),
            "scores": list(map(or_none, self.scores)),
            "images": self.images,
        }


@dataclass(frozen=True, eq=False)
class Outer:
    """An outer fold: its search, on the images of `parts.train`, and what judges the best, `parts.judged`."""

    search: Search
    judged: Sequence[Parts]
    parts: Parts


def estimate(outer: Sequence[Outer], data: TrialData, progress: Progress) -> NestedEstimate:
    """Train the best recipe of each outer fold on all of the fold's training images, and judge it on the others."""
    predictions, targets, scores = [], [], []
    with progress.bar("Judging the outer folds", len(outer)) as bar:
        for one in outer:
            found = Scorer(data, (one.parts,)).evaluate(best_recipe(one.search, require_best(one.search)))
            predictions.append(found.predictions)
            targets.append(found.targets)
            scores.append(found.score)
            bar.advance()
    pooled = data.task.evaluate("nested", np.concatenate(predictions), np.concatenate(targets))
    known = all(map(math.isfinite, pooled.interval))
    return NestedEstimate(pooled.score, pooled.interval if known else None, tuple(scores), pooled.total)
