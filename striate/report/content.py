"""What a report says, as plain data: filled by a job, drawn by `striate.report.page`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Example:
    """A held-out image the network got wrong. `image` is uint8, HxWx3 or HxW; `probability` is of the wrong answer."""

    path: str
    image: NDArray[np.uint8]
    truth: str
    predicted: str
    probability: float


@dataclass(frozen=True, eq=False)
class Seen:
    """An image exactly as it enters the network: after decoding, rotation, resize and crop. uint8, HxWx3 or HxW."""

    path: str
    image: NDArray[np.uint8]
    truth: str


@dataclass(frozen=True)
class Finding:
    """One thing the audit noticed: what, how often, what was done ("set aside", "kept", "converted"), and why."""

    kind: str
    count: int
    action: str
    explanation: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassScore:
    """One class, counted from the confusion matrix. A share is None where it would divide by zero."""

    name: str
    count: int
    correct: int
    answered: int

    @property
    def recall(self) -> float | None:
        """Of the images of this class, the share that was recognised."""
        return self.correct / self.count if self.count else None

    @property
    def precision(self) -> float | None:
        """Of the images given this class's name, the share that deserved it."""
        return self.correct / self.answered if self.answered else None


@dataclass(frozen=True)
class Confusion:
    """`count` of the `of` images of class `truth` were taken for `predicted`."""

    truth: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True, eq=False, kw_only=True)
class RunReport:
    """Everything one run of `striate train` has to say.

    `images` counts images per part; `held_out` names the part that was measured on. `accuracy`, `balanced_accuracy` and
    `probability` are shares from 0 to 1 (NaN: not measured), and `interval` is the Wilson 95 % interval of `accuracy`.
    `confusion` is square, rows the truth and columns the answer, in the order of `classes`. Each row of `curve` may
    hold `epoch`, `loss` (training) and `accuracy` (held out). `timings` are seconds by stage, `recipe` is TOML.

    Raises ValueError when the matrix does not fit the classes, or its counts differ from `correct` and `total`.
    """

    title: str
    data: str
    net: str
    strategy: str
    why: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    held_out: str
    correct: int
    total: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    confusion: NDArray[np.integer[Any]]
    mistakes: tuple[Example, ...] = ()
    seen: tuple[Seen, ...] = ()
    findings: tuple[Finding, ...] = ()
    set_aside: tuple[tuple[str, str], ...] = ()
    curve: tuple[Mapping[str, float], ...] = ()
    timings: tuple[tuple[str, float], ...] = ()
    engine: str = ""
    recipe: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a headline that its own matrix contradicts: a reader could not tell which one is right."""
        side = len(self.classes)
        if self.confusion.shape != (side, side):
            raise ValueError(f"confusion has shape {self.confusion.shape}; {side} classes need {(side, side)}")
        counted = int(np.trace(self.confusion)), int(self.confusion.sum())
        if counted != (self.correct, self.total):
            raise ValueError(
                f"confusion counts {counted[0]} of {counted[1]} correct; the report says {self.correct} of {self.total}"
            )

    @property
    def wrong(self) -> int:
        """How many held-out images were answered wrongly."""
        return self.total - self.correct

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """The score of every class, in the order of `classes`."""
        counts, answered, correct = self.confusion.sum(1), self.confusion.sum(0), np.diagonal(self.confusion)
        rows = zip(self.classes, counts.tolist(), correct.tolist(), answered.tolist(), strict=True)
        return tuple(ClassScore(*row) for row in rows)

    @cached_property
    def weakest_first(self) -> tuple[ClassScore, ...]:
        """`per_class`, the least recognised class first; classes without a held-out image last."""
        return tuple(sorted(self.per_class, key=lambda score: (score.recall is None, score.recall, -score.count)))

    @property
    def commonest(self) -> ClassScore | None:
        """The class with the most held-out images: always answering it is the score to beat. None without images."""
        return max(self.per_class, key=lambda score: score.count) if self.total else None

    def most_confused(self, limit: int) -> tuple[Confusion, ...]:
        """The up to `limit` most frequent confusions, most frequent first; of equal ones, the larger share first."""
        sizes = self.confusion.sum(1)
        return tuple(
            Confusion(self.classes[row], self.classes[column], int(self.confusion[row, column]), int(sizes[row]))
            for row, column in self._confused[:limit]
        )

    def confusable_classes(self, limit: int) -> tuple[int, ...]:
        """Places in `classes` of the up to `limit` classes in the most frequent confusions, partners side by side."""
        found: dict[int, None] = {}
        for pair in self._confused:
            if len(found.keys() | set(pair)) <= limit:
                found.update(dict.fromkeys(pair))
            if len(found) >= limit:
                break
        for place in range(len(self.classes)):
            if len(found) >= limit:
                break
            found.setdefault(place)
        return tuple(found)

    @cached_property
    def _confused(self) -> list[tuple[int, int]]:
        rows, columns = np.nonzero(self.confusion)
        apart = rows != columns
        rows, columns = rows[apart], columns[apart]
        order = np.lexsort((columns, rows, self.confusion.sum(1)[rows], -self.confusion[rows, columns]))
        return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))
