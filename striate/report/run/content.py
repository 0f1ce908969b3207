"""What a run's report says, as plain data: filled by a job, drawn by `striate.report.run.page`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.report.run.numbers import NumberMistake as NumberMistake
from striate.report.run.numbers import Numbers as Numbers
from striate.tasks.metrics import Calibration, mean_interval, wilson

Picture = NDArray[np.uint8]  # HxWx3 or HxW, of any size: the page shrinks it
Interval = tuple[float, float]
NOT_MEASURED: Interval = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Example:
    """A held-out image and the network's answer. `image` is uint8, HxWx3 or HxW; `probability` is of the answer."""

    path: str
    image: Picture
    truth: str
    predicted: str
    probability: float


@dataclass(frozen=True, eq=False)
class Seen:
    """An image exactly as it enters the network: after decoding, rotation, resize and crop. uint8, HxWx3 or HxW."""

    path: str
    image: Picture
    truth: str


@dataclass(frozen=True, eq=False)
class Views:
    """One image several times: `images[0]` plain, the others as augmentation varied it for training."""

    path: str
    truth: str
    images: tuple[Picture, ...]


@dataclass(frozen=True, eq=False)
class Doubtful:
    """An image whose label the network doubts, judged by networks that had not learnt from it (out of fold).

    `label` and `suggested` are in words; the probabilities, 0..1, are those of the label and of the suggestion. Those
    with an image come first; the others are listed by name.
    """

    path: str
    image: Picture | None
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float


@dataclass(frozen=True, eq=False)
class Atypical:
    """An image unlike the others of its class. `distance` is in multiples of the median distance: 1 is ordinary."""

    path: str
    image: Picture
    label: str
    distance: float


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing the audit noticed: what, how often, what was done ("set aside", "kept", "converted"), and why.

    `groups` are paths that belong together, such as copies of one photograph; `pictures` are images of some paths.
    """

    kind: str
    count: int
    action: str
    explanation: str
    examples: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class Remark:
    """What the learning curve says: in a few words, what was seen, and what to do about it; in plain text."""

    what: str
    seen: str
    do: str


@dataclass(frozen=True)
class Finder:
    """A trial over rising learning rates: the averaged loss at each, the interval in which it falls, the rate taken."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    low: float
    high: float
    rate: float


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation: its number from 1, the images it was measured on, its score."""

    number: int
    images: int
    score: float


@dataclass(frozen=True)
class Pooled:
    """All folds' answers measured together: every image once, by a network that had not seen it."""

    score: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class Taken:
    """A stranger (an image of none of the classes) that the network took for one."""

    path: str
    image: Picture
    taken_for: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Strangers:
    """How well images of none of the classes are told apart, measured on a folder of them.

    An image is refused when its distance is above `threshold`. `known_accepted` and `strangers_refused` are shares;
    `known` [N] and `strangers` [M] are the distances of held-out images and of the folder's, for the figure.
    """

    folder: str
    count: int
    auroc: float
    threshold: float
    known_accepted: float
    strangers_refused: float
    known: ArrayLike
    strangers: ArrayLike
    taken: tuple[Taken, ...] = ()


@dataclass(frozen=True)
class LabelScore:
    """One label of several. `positives`: held-out images that have it. The rest at `threshold`; NaN: not measured."""

    name: str
    positives: int
    average_precision: float
    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class LabelCurve:
    """A label's precision [N] and recall [N] as the threshold falls: see `metrics.precision_recall`."""

    name: str
    precision: ArrayLike
    recall: ArrayLike


@dataclass(frozen=True, eq=False)
class LabelMistake:
    """An image whose labels were not all answered right: the true labels and the given ones."""

    path: str
    image: Picture
    truth: tuple[str, ...]
    given: tuple[str, ...]


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
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the recall; (0, 1) without an image."""
        return wilson(self.correct, self.count)

    @property
    def precision(self) -> float | None:
        """Of the images given this class's name, the share that deserved it."""
        return self.correct / self.answered if self.answered else None


@dataclass(frozen=True)
class Confusion:
    """`count` of the `of` images of class `truth` were taken for `predicted`; both also as places among the classes."""

    truth: str
    predicted: str
    count: int
    of: int
    row: int = -1
    column: int = -1


def _no_matrix() -> NDArray[np.int64]:
    return np.zeros((0, 0), np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class RunReport:
    """Everything one run of `striate train` has to say.

    `task_kind` is "classification", "multilabel" or "regression"; `classes` are the task's names. `images` counts
    images per part; `held_out` names the part that was measured on, `total` its images.

    One class an image: `accuracy`, `balanced_accuracy` and `probability` are shares from 0 to 1 (NaN: not measured),
    `interval` is the Wilson 95 % interval of `accuracy`; `confusion` is square, rows the truth and columns the answer,
    in the order of `classes`. `mistakes` are the worst ones, `answers` further ones, so that the cells of the matrix
    open to their images. With folds and no part held out, these figures are the pooled ones; `folds` and `pooled` tell.
    Several labels: `label_scores`, `label_curves` and `label_mistakes`; `correct` counts images with every label right.
    A number: `numbers`.

    Each row of `curve` may hold `epoch` and any of `charts.CURVES`; `remarks` are on it, the gravest first. `unfrozen`
    names the stages of a pretrained net that were learnt with its head, from the top. `checks` are lines on what was
    checked before training, `finder` is how the learning rate was found. `timings` are seconds by stage, `recipe` is
    TOML.

    Raises ValueError when the matrix does not fit the classes, or its counts differ from `correct` and `total`, and
    when a task of numbers comes without them.
    """

    title: str
    data: str
    net: str
    strategy: str
    why: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    held_out: str
    task_kind: str = "classification"
    correct: int = 0
    total: int = 0
    accuracy: float = math.nan
    interval: Interval = NOT_MEASURED
    balanced_accuracy: float = math.nan
    confusion: NDArray[np.integer[Any]] = field(default_factory=_no_matrix)
    calibration: Calibration | None = None
    label_scores: tuple[LabelScore, ...] = ()
    label_curves: tuple[LabelCurve, ...] = ()
    label_mistakes: tuple[LabelMistake, ...] = ()
    numbers: Numbers | None = None
    mistakes: tuple[Example, ...] = ()
    answers: tuple[Example, ...] = ()
    doubtful: tuple[Doubtful, ...] = ()
    atypical: tuple[Atypical, ...] = ()
    folds: tuple[Fold, ...] = ()
    pooled: Pooled | None = None
    strangers: Strangers | None = None
    seen: tuple[Seen, ...] = ()
    views: tuple[Views, ...] = ()
    findings: tuple[Finding, ...] = ()
    set_aside: tuple[tuple[str, str], ...] = ()
    curve: tuple[Mapping[str, float], ...] = ()
    remarks: tuple[Remark, ...] = ()
    checks: tuple[str, ...] = ()
    finder: Finder | None = None
    unfrozen: tuple[str, ...] = ()
    timings: tuple[tuple[str, float], ...] = ()
    engine: str = ""
    recipe: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a headline that its own figures contradict: a reader could not tell which one is right."""
        if self.task_kind == "regression" and (self.numbers is None or len(self.numbers.true) != self.total):
            told = "none are given" if self.numbers is None else f"{len(self.numbers.true)} are given"
            raise ValueError(f"a report on {self.total} images needs as many numbers; {told}")
        if self.task_kind != "classification":
            return
        side = len(self.classes)
        if self.confusion.shape != (side, side):
            raise ValueError(f"confusion has shape {self.confusion.shape}; {side} classes need {(side, side)}")
        counted = int(np.trace(self.confusion)), int(self.confusion.sum())
        if counted != (self.correct, self.total):
            raise ValueError(
                f"confusion counts {counted[0]} of {counted[1]} correct; the report says {self.correct} of {self.total}"
            )

    @property
    def cross_validated(self) -> bool:
        """Whether the headline is that of all folds together: with folds, where no part of the images is held out."""
        return bool(self.folds) and self.held_out not in self.images

    @property
    def wrong(self) -> int:
        """How many held-out images were answered wrongly."""
        return self.total - self.correct

    @property
    def mean_average_precision(self) -> float:
        """The mean over the labels that were measured; NaN without one."""
        return mean_of([score.average_precision for score in self.label_scores])

    @cached_property
    def fold_spread(self) -> tuple[float, float, float]:
        """The mean of the folds' scores and its 95 % interval, within what a score can be; NaN, -inf, inf for none."""
        scores = [fold.score for fold in self.folds]
        low, high = mean_interval([score for score in scores if math.isfinite(score)])
        if self.task_kind != "regression" and math.isfinite(low):
            high = min(1.0, high)
        return mean_of(scores), max(0.0, low) if math.isfinite(low) else low, high

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
            Confusion(
                self.classes[row], self.classes[column], int(self.confusion[row, column]), int(sizes[row]), row, column
            )
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


def mean_of(values: Sequence[float]) -> float:
    """The mean of the values that were measured; NaN without one."""
    measured = [value for value in values if not math.isnan(value)]
    return math.fsum(measured) / len(measured) if measured else math.nan
