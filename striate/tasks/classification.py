"""Classification: exactly one class an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Headline, Section, Step
from striate.tasks import report_classification
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import CrossEntropy, Loss
from striate.tasks.metrics import percent, wilson
from striate.tasks.report_common import ReportContext
from striate.tasks.values import (
    Agreement,
    Answer,
    LabelError,
    Metric,
    Predictions,
    Strata,
    Target,
    Targets,
    Wording,
    probability_facts,
    probability_line,
)

WEAKEST = 5  # classes named on the command line, the weakest first


class ClassificationEvaluation(Evaluation):
    """Accuracy, with the recall of each class."""

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted class, [N]."""
        return self.predictions.argmax(axis=1) if self.total else np.zeros(0, np.int64)

    @property
    def correct(self) -> int:
        """Correct predictions."""
        return int((self.predicted == self.targets).sum())

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [classes, classes], rows the true class, columns the predicted one."""
        table = np.zeros((self.task.outputs, self.task.outputs), np.int64)
        np.add.at(table, (self.targets, self.predicted), 1)
        return table

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0..1; NaN where nothing was evaluated."""
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
        """Recall of each class that has an image."""
        counts, right = self.confusion.sum(axis=1), np.diag(self.confusion)
        shares = zip(self.task.names, counts, right, strict=True)
        return {name: float(hit / count) for name, count, hit in shares if count}

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have an image; NaN where nothing was evaluated."""
        return float(np.mean(list(self.recalls.values()))) if self.recalls else math.nan

    def details(self) -> dict[str, Any]:
        """Accuracy, its interval, balanced accuracy and the classes one by one."""
        if not self.total:
            return {"correct": 0, "accuracy": None}
        return {
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "balanced_accuracy": self.balanced_accuracy,
            "per_class": self._per_class(),
        }

    def _per_class(self) -> dict[str, dict[str, Any]]:
        rows = {}
        for place, name in enumerate(self.task.names):
            count, right = int(self.confusion[place].sum()), int(self.confusion[place, place])
            if count:
                rows[name] = {"count": count, "recall": right / count, "interval": list(wilson(right, count))}
        return rows

    def rows(self) -> dict[str, str]:
        """The recall of each class."""
        found = {}
        for name, row in self._per_class().items():
            low, high = row["interval"]
            within = f"95 % interval {percent(low)} to {percent(high)}"
            found[name] = f"{percent(row['recall'])} of {row['count']:,} ({within})"
        return found

    def lines(self) -> list[str]:
        """Accuracy with its interval; balanced accuracy with the weakest classes."""
        if not self.total:
            return ["Accuracy not measured: nothing is held out"]
        low, high = self.interval
        where = f"{self.correct:,} of {self.where()}"
        weakest = sorted(self.recalls.items(), key=lambda row: row[1])
        listed = ", ".join(f"{printable(name)} ({percent(recall)})" for name, recall in weakest[:WEAKEST])
        more = f" and {len(weakest) - WEAKEST} more" if len(weakest) > WEAKEST else ""
        return [
            f"Accuracy {percent(self.accuracy)} ({where}; 95 % interval {percent(low)} to {percent(high)})",
            f"Balanced {percent(self.balanced_accuracy)}; recognised: {listed}{more}",
        ]

    def errors(self) -> NDArray[np.float64]:
        """The confidence of a wrong prediction."""
        confidence = self.predictions[np.arange(self.total), self.predicted] if self.total else np.zeros(0)
        return np.where(self.predicted != self.targets, confidence, 0.0).astype(np.float64)


@dataclass(frozen=True)
class Classification(Task):
    """One class an image; a target is the index of its class."""

    kind: ClassVar[str] = "classification"
    metric: ClassVar[Metric] = Metric("accuracy", "accuracy", "accuracy", share=True)
    wording: ClassVar[Wording] = Wording(
        one="class",
        many="classes",
        target="the class",
        relabel="give it another class\u2026",
        hint="its name",
        names_listed=True,
    )
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    evaluation: ClassVar[type[Evaluation]] = ClassificationEvaluation
    activation: ClassVar[str] = "softmax"
    output_name: ClassVar[str] = "probabilities"
    one_class: ClassVar[bool] = True
    report_examples: ClassVar[int] = report_classification.EXAMPLES

    def collate(self, targets: Iterable[Target]) -> Targets:
        """int64 [N]."""
        return np.array(list(targets), np.int64)

    def is_target(self, target: Target) -> bool:
        """Whether it is the index of a class."""
        return type(target) is int and 0 <= target < self.outputs

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are int64 [N], from 0."""
        if targets.dtype != np.int64 or targets.ndim != 1:
            raise RequestError(f"targets must be int64 classes [N], not {targets.dtype} {list(targets.shape)}")
        # Torch skips the class -100 without a word, and takes other negative ones for a fault of its own.
        if len(targets) and targets.min() < 0:
            raise RequestError(f"classes count from 0, but one is {int(targets.min())}")

    def text(self, target: Target) -> str:
        """The class's name."""
        return self.names[int(target)]

    def parsed(self, text: str, index: Callable[[str], int]) -> Target:
        """The class of that name."""
        return index(text)

    def indices(self, target: Target) -> tuple[int, ...]:
        """The class."""
        return (int(target),)

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """Its new index."""
        return index[int(target)]

    def describe(self) -> str:
        """How many classes."""
        return f"in {self.outputs} {'class' if self.outputs == 1 else 'classes'}"

    def strata(self, targets: Targets) -> Strata:
        """The classes."""
        return Strata(np.eye(self.outputs, dtype=np.int64)[targets])

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """Cross-entropy, with label smoothing towards all classes alike, or towards `prior`, each class's share."""
        self.loss_name(name)
        return CrossEntropy(label_smoothing, prior)

    def answer(self, prediction: NDArray[np.float32]) -> Answer:
        """The most probable class."""
        top = int(prediction.argmax())
        confidence, line = float(prediction[top]), probability_line(self.names, prediction)
        facts = probability_facts(self.names, prediction, confidence)
        return Answer(self.names[top], confidence, prediction, None, line, facts)

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of equal top-1 predictions. A tie may fall either way by rounding."""
        given = np.take_along_axis(reference, other.argmax(axis=1)[:, None], axis=1)[:, 0]
        same = given >= reference.max(axis=1) - ties
        return Agreement(float(same.mean()), float(np.abs(reference - other).max()), "probabilities")

    def label_errors(self, targets: Sequence[Target], predictions: Predictions) -> list[LabelError]:
        """Ranked by the label's own probability, the "self-confidence" of Northcutt et al. 2021."""
        found = []
        for index, (row, target) in enumerate(zip(predictions, targets, strict=True)):
            top = int(row.argmax())
            if top != target:
                own, other = float(row[int(target)]), float(row[top])
                found.append(LabelError(index, self.text(target), self.names[top], own, other, top))
        return sorted(found, key=lambda error: error.label_probability)

    def headline(self, evaluation: ClassificationEvaluation, context: ReportContext) -> Headline:
        """See `report_classification`."""
        return report_classification.headline(evaluation, context)

    def report_sections(self, evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `report_classification`."""
        return report_classification.report_sections(evaluation, context)

    def next_steps(self, evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `report_classification`."""
        return report_classification.next_steps(evaluation, context)
