"""What is measured of a model on labelled images, by task: a headline with its interval, and figures one by one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable
from striate.metrics import average_precision, best_threshold, bootstrap_interval, mean_interval, percent, wilson
from striate.task import Targets, Task

# Of each kind of task: what its headline is called, and the key it has among the metrics.
SCORES = {
    "class": ("accuracy", "accuracy"),
    "labels": ("mean average precision", "mean_average_precision"),
    "number": ("mean absolute error", "mean_absolute_error"),
}
LISTED = 5  # classes named on the command line, the weakest first


@dataclass(frozen=True, eq=False)
class Measured(ABC):
    """The figures of a part. answers: float32 [N, outputs], as `Task.answers` gives them. targets: as the task has."""

    part: str
    task: Task
    answers: NDArray[np.float32]
    targets: Targets

    @property
    def total(self) -> int:
        """Images measured on."""
        return len(self.targets)

    @property
    def predictions(self) -> NDArray[np.float32]:
        """The answers."""
        return self.answers

    @property
    @abstractmethod
    def score(self) -> float:
        """The headline figure; NaN where nothing was measured."""

    @property
    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""

    @abstractmethod
    def lines(self) -> list[str]:
        """The figures in words, the headline first."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """The figures as JSON values, beside the part and how many images it has."""

    @abstractmethod
    def badness(self) -> NDArray[np.float64]:
        """How wrong each answer is, [N]; 0 where it is right."""

    def worst(self, limit: int) -> list[int]:
        """Rows of the wrongest answers, the worst first."""
        bad = self.badness()
        return [int(row) for row in np.argsort(-bad, kind="stable")[:limit] if bad[row] > 0]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {"part": self.part, "task": self.task.kind, "total": self.total, **self.details()}

    def _where(self) -> str:
        return f"{self.total:,} {self.part or 'given'} images"


class ClassesMeasured(Measured):
    """One class an image."""

    @property
    def correct(self) -> int:
        """Right answers."""
        return int((self.predicted == self.targets).sum())

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class answered, [N]."""
        return self.answers.argmax(axis=1) if self.total else np.zeros(0, np.int64)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, rows truth, columns answered."""
        table = np.zeros((self.task.outputs, self.task.outputs), np.int64)
        np.add.at(table, (self.targets, self.predicted), 1)
        return table

    @property
    def accuracy(self) -> float:
        """Right answers, 0..1; NaN where nothing was measured."""
        return self.correct / self.total if self.total else math.nan

    @property
    def score(self) -> float:
        """The accuracy."""
        return self.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.correct, self.total)

    @property
    def recalls(self) -> dict[str, float]:
        """Share recognised of each class that has an image."""
        counts, right = self.confusion.sum(axis=1), np.diag(self.confusion)
        shares = zip(self.task.names, counts, right, strict=True)
        return {name: float(hit / count) for name, count, hit in shares if count}

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have an image; NaN where nothing was measured."""
        return float(np.mean(list(self.recalls.values()))) if self.recalls else math.nan

    def details(self) -> dict[str, Any]:
        """Accuracy, its interval, balanced accuracy and the classes one by one."""
        if not self.total:
            return {"correct": 0, "accuracy": None}
        rows = {}
        for place, name in enumerate(self.task.names):
            count, right = int(self.confusion[place].sum()), int(self.confusion[place, place])
            if count:
                rows[name] = {"count": count, "recall": right / count, "interval": list(wilson(right, count))}
        return {
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "balanced_accuracy": self.balanced_accuracy,
            "per_class": rows,
        }

    def lines(self) -> list[str]:
        """Accuracy with its interval; balanced accuracy with the weakest classes."""
        if not self.total:
            return ["Accuracy not measured: nothing is held out"]
        low, high = self.interval
        where = f"{self.correct:,} of {self._where()}"
        weakest = sorted(self.recalls.items(), key=lambda row: row[1])
        listed = ", ".join(f"{printable(name)} ({percent(recall)})" for name, recall in weakest[:LISTED])
        more = f" and {len(weakest) - LISTED} more" if len(weakest) > LISTED else ""
        return [
            f"Accuracy {percent(self.accuracy)} ({where}; 95 % interval {percent(low)} to {percent(high)})",
            f"Balanced {percent(self.balanced_accuracy)}; recognised: {listed}{more}",
        ]

    def badness(self) -> NDArray[np.float64]:
        """The sureness of a wrong answer."""
        predicted = self.predicted
        sureness = self.answers[np.arange(self.total), predicted] if self.total else np.zeros(0)
        return np.where(predicted != self.targets, sureness, 0.0).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LabelsMeasured(Measured):
    """Several labels an image. limits [N, labels]: thresholds of each image's own, where not all have the task's."""

    limits: NDArray[np.float64] | None = None

    @property
    def given(self) -> NDArray[np.bool_]:
        """Which labels count as given, [N, labels]."""
        return self.task.given(self.answers) if self.limits is None else np.asarray(self.answers >= self.limits)

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """As `given`."""
        return self.given

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """Of each label; NaN for one that no image has."""
        return self._ranked(np.arange(self.total))

    def _ranked(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        answers, targets = self.answers[rows], self.targets[rows]
        columns = range(self.task.outputs)
        return np.array([average_precision(answers[:, place], targets[:, place]) for place in columns])

    @property
    def score(self) -> float:
        """The mean over the labels that an image has."""
        return _mean_of_known(self.average_precisions)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval over other images of the kind, by the bootstrap."""
        draws = int(np.clip(4e6 / max(1, self.answers.size), 40, 200))  # of many images fewer tell as much
        low, high = bootstrap_interval(lambda rows: _mean_of_known(self._ranked(rows)), self.total, draws)
        return max(0.0, low), min(1.0, high)

    @property
    def all_right(self) -> int:
        """Images whose labels are all answered right."""
        return int((self.badness() == 0).sum())

    def at_threshold(self, place: int) -> tuple[float, float, float]:
        """Precision, recall and F1 of a label at its threshold; NaN where it divides by zero."""
        given, true = self.given[:, place], self.targets[:, place] > 0
        hits = int((given & true).sum())
        precision = hits / given.sum() if given.any() else math.nan
        recall = hits / true.sum() if true.any() else math.nan
        both = given.sum() + true.sum()
        return float(precision), float(recall), float(2 * hits / both) if both else math.nan

    def details(self) -> dict[str, Any]:
        """Mean average precision and the labels one by one, at their thresholds."""
        if not self.total:
            return {"mean_average_precision": None}
        rows = {}
        for place, (name, ranked) in enumerate(zip(self.task.names, self.average_precisions, strict=True)):
            precision, recall, f1 = self.at_threshold(place)
            rows[name] = {
                "count": int(self.targets[:, place].sum()),
                "average_precision": or_none(ranked),
                "threshold": self.task.limits[place],
                "precision": or_none(precision),
                "recall": or_none(recall),
                "f1": or_none(f1),
            }
        headline = {"mean_average_precision": or_none(self.score), "interval": list(map(or_none, self.interval))}
        return {**headline, "all_right": self.all_right, "per_label": rows}

    def lines(self) -> list[str]:
        """The mean with the weakest labels; images that are right in every label."""
        if not self.total:
            return ["Mean average precision not measured: nothing is held out"]
        ranked = [(name, value) for name, value in zip(self.task.names, self.average_precisions, strict=True)]
        weakest = sorted((row for row in ranked if math.isfinite(row[1])), key=lambda row: row[1])
        if not weakest:
            return [f"Mean average precision not measured: none of the {self._where()} has a label"]
        listed = ", ".join(f"{printable(name)} ({percent(value)})" for name, value in weakest[:LISTED])
        more = f" and {len(weakest) - LISTED} more" if len(weakest) > LISTED else ""
        count = "1 label" if len(weakest) == 1 else f"{len(weakest)} labels"
        low, high = self.interval
        where = f"{self._where()}; 95 % interval {percent(low)} to {percent(high)}"
        return [
            f"Mean average precision {percent(self.score)} over {count} ({where})",
            f"Every label right on {self.all_right:,} of them; by label: {listed}{more}",
        ]

    def badness(self) -> NDArray[np.float64]:
        """How many labels are wrong, and among equals how far."""
        wrong = self.given != (self.targets > 0)
        apart = np.abs(self.answers - self.targets)
        return np.asarray(np.where(wrong, 1 + apart, 0).sum(axis=1), np.float64)


class NumberMeasured(Measured):
    """A number an image."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """Answer less truth, [N], in the target's units."""
        return np.asarray(self.answers[:, 0] - self.targets, np.float64) if self.total else np.zeros(0)

    def residuals(self) -> NDArray[np.float64]:
        """As `errors`."""
        return self.errors

    @property
    def score(self) -> float:
        """The mean absolute error; the smaller the better."""
        return float(np.abs(self.errors).mean()) if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % interval of the mean absolute error."""
        low, high = mean_interval(np.abs(self.errors))
        return max(0.0, low), high

    @property
    def r2(self) -> float:
        """Share of the variance that is explained; NaN where the numbers are all the same."""
        spread = ((self.targets - self.targets.mean()) ** 2).sum() if self.total else 0.0
        return 1 - float((self.errors**2).sum() / spread) if spread > 0 else math.nan

    def details(self) -> dict[str, Any]:
        """Errors in the target's units, and how much of the spread they leave."""
        if not self.total:
            return {"mean_absolute_error": None}
        low, high = self.interval
        return {
            "name": self.task.names[0],
            "mean_absolute_error": self.score,
            "interval": [low, or_none(high)],
            "root_mean_square_error": float(np.sqrt((self.errors**2).mean())),
            "median_absolute_error": float(np.median(np.abs(self.errors))),
            "r2": or_none(self.r2),
        }

    def lines(self) -> list[str]:
        """The error in the target's units, beside the spread of the target itself."""
        if not self.total:
            return ["Error not measured: nothing is held out"]
        low, high = self.interval
        within = f"; 95 % interval {low:.3g} to {high:.3g}" if math.isfinite(high) else ""
        spread = float(np.abs(self.targets - self.targets.mean()).mean())
        return [
            f"{printable(self.task.names[0])}: off by {self.score:.3g} on average ({self._where()}{within})",
            f"Always answering their mean would be off by {spread:.3g}",
        ]

    def badness(self) -> NDArray[np.float64]:
        """The absolute error."""
        return np.abs(self.errors)


def measure(
    part: str, task: Task, answers: NDArray[np.float32], targets: Targets, limits: NDArray[np.float64] | None = None
) -> Measured:
    """Compare answers [N, outputs] with targets; of labels, by `limits` [N, outputs] where these are given."""
    answers = answers.reshape(len(targets), task.outputs)
    if task.kind == "labels":
        return LabelsMeasured(part, task, answers, targets, limits)
    kind = ClassesMeasured if task.kind == "class" else NumberMeasured
    return kind(part, task, answers, targets)


def thresholds(answers: NDArray[np.float32], targets: Targets) -> tuple[float, ...]:
    """Of each label, the probability from which on it is best taken as given: the greatest F1."""
    return tuple(best_threshold(answers[:, place], targets[:, place]) for place in range(targets.shape[1]))


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def or_none(value: float) -> float | None:
    """The value as JSON has it: there is no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None
