"""What is measured of a classifier: accuracy with its interval, per-class figures, worst mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.metrics import percent, wilson


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures of a part. confusion: rows truth, columns predicted."""

    part: str
    correct: int
    total: int
    confusion: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Right answers, 0..1; NaN where nothing was measured."""
        return self.correct / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.correct, self.total)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have an image; NaN where nothing was measured."""
        counts = self.confusion.sum(axis=1)
        present = counts > 0
        return float((np.diag(self.confusion)[present] / counts[present]).mean()) if present.any() else math.nan

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        if not self.total:
            return {"part": self.part, "correct": 0, "total": 0, "accuracy": None}
        return {
            "part": self.part,
            "correct": self.correct,
            "total": self.total,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "balanced_accuracy": self.balanced_accuracy,
        }

    def words(self) -> str:
        """The headline: "94.1 % (144 of 153 val images; 95 % interval 89.2 to 96.9 %)"."""
        if not self.total:
            return "not measured: nothing is held out"
        low, high = self.interval
        where = f"{self.correct} of {self.total} {self.part or 'given'} images"
        return f"{percent(self.accuracy)} ({where}; 95 % interval {percent(low)} to {percent(high)})"


def measure(part: str, probabilities: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Measured:
    """Compare probabilities [N, classes] with labels [N]."""
    predicted = probabilities.argmax(axis=1) if len(labels) else labels
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return Measured(part, int((predicted == labels).sum()), len(labels), confusion, probabilities, labels)


def worst_mistakes(measured: Measured, limit: int = 12) -> list[int]:
    """Rows of the wrongest answers: the surest wrong ones first."""
    predicted = measured.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != measured.labels)
    sureness = measured.probabilities[wrong, predicted[wrong]]
    return [int(row) for row in wrong[np.argsort(-sureness, kind="stable")][:limit]]
