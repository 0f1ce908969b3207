"""Runs whose held-out images differ, compared on the images that all of them evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.report.compare.summary import RunSummary
from striate.tasks.metrics import difference_interval

FEWEST = 5  # common images


@dataclass(frozen=True, eq=False)
class Paired:
    """Scores on the common images. values [runs, images]. relabelled: common images whose labels differ, left out."""

    values: NDArray[np.float64]
    relabelled: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many images are compared."""
        return int(self.values.shape[1])

    @property
    def scores(self) -> tuple[float, ...]:
        """Each run's score on them."""
        return tuple(self.values.mean(axis=1).tolist())

    def alike(self, one: int, other: int) -> bool:
        """Whether the 95 % interval of the difference of two runs, image by image, holds 0."""
        difference = self.values[one] - self.values[other]
        low, high = difference_interval(difference)
        return low <= 0 <= high


def paired(runs: Sequence[RunSummary]) -> Paired | None:
    """The comparison on the images that all runs evaluated; None if too few are known."""
    first = runs[0].outcomes
    common = [path for path in first if all(path in run.outcomes for run in runs)]
    relabelled = tuple(path for path in common if len({run.outcomes[path][0] for run in runs}) > 1)
    left = set(relabelled)
    kept = [path for path in common if path not in left]
    if len(kept) < FEWEST:
        return None
    return Paired(np.array([[run.outcomes[path][1] for path in kept] for run in runs]), relabelled)
