"""The evaluation of a classifier, and what a report says of it: errors, confusion matrix, classes, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable
from striate.sections import (
    Bar,
    CellPicture,
    Column,
    ConfusionMatrix,
    Gallery,
    Grid,
    Headline,
    Picture,
    Reliability,
    Scale,
    Section,
    Step,
    Strong,
    Table,
    Text,
)
from striate.sections.wording import images, number, percent
from striate.tasks.base import Evaluation
from striate.tasks.metrics import Calibration, calibration, wilson
from striate.tasks.metrics import percent as plain_percent
from striate.tasks.report_common import BEATEN, SHOWN, Example, ReportContext, evaluated_on, not_evaluated

EXAMPLES = 232  # images of the worst predictions: the first are shown, the others in the cells of the confusion matrix
CONFIDENT = 0.9
MISCALIBRATED, ENOUGH = 0.07, 100  # expected calibration error worth a step, of so many predictions at least
WIDE = 0.1  # an interval of the accuracy that hardly lets runs be compared
BEHIND = 0.02  # a recall that far below the accuracy is a weak class
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
    def image_scores(self) -> NDArray[np.float64] | None:
        """1 for each correct prediction, 0 for others."""
        return np.asarray(self.predicted == self.targets, np.float64)

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
            within = f"95 % interval {plain_percent(low)} to {plain_percent(high)}"
            found[name] = f"{plain_percent(row['recall'])} of {row['count']:,} ({within})"
        return found

    def lines(self) -> list[str]:
        """Accuracy with its interval; balanced accuracy with the weakest classes."""
        if not self.total:
            return ["Accuracy not measured: nothing is held out"]
        low, high = self.interval
        where = f"{self.correct:,} of {self.where()}"
        weakest = sorted(self.recalls.items(), key=lambda row: row[1])
        listed = ", ".join(f"{printable(name)} ({plain_percent(recall)})" for name, recall in weakest[:WEAKEST])
        more = f" and {len(weakest) - WEAKEST} more" if len(weakest) > WEAKEST else ""
        within = f"95 % interval {plain_percent(low)} to {plain_percent(high)}"
        return [
            f"Accuracy {plain_percent(self.accuracy)} ({where}; {within})",
            f"Balanced {plain_percent(self.balanced_accuracy)}; recognised: {listed}{more}",
        ]

    def errors(self) -> NDArray[np.float64]:
        """The confidence of a wrong prediction."""
        confidence = self.predictions[np.arange(self.total), self.predicted] if self.total else np.zeros(0)
        return np.where(self.predicted != self.targets, confidence, 0.0).astype(np.float64)


@dataclass(frozen=True)
class ClassMetrics:
    """One class of a confusion matrix. A share is None where it would divide by zero."""

    name: str
    count: int
    correct: int
    predicted: int

    @property
    def recall(self) -> float | None:
        """Of the images of this class, the share that is predicted as it."""
        return self.correct / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the recall; (0, 1) without an image."""
        return wilson(self.correct, self.count)

    @property
    def precision(self) -> float | None:
        """Of the images predicted as this class, the share that is of it."""
        return self.correct / self.predicted if self.predicted else None


def class_metrics(matrix: ConfusionMatrix) -> tuple[ClassMetrics, ...]:
    """The metrics of every class, in the order of the names."""
    counts, predicted = matrix.counts.sum(1).tolist(), matrix.counts.sum(0).tolist()
    rows = zip(matrix.names, counts, np.diagonal(matrix.counts).tolist(), predicted, strict=True)
    return tuple(ClassMetrics(*row) for row in rows)


def weakest_first(matrix: ConfusionMatrix) -> tuple[ClassMetrics, ...]:
    """The class of the lowest recall first; classes without a held-out image last."""
    return tuple(sorted(class_metrics(matrix), key=lambda one: (one.recall is None, one.recall, -one.count)))


def headline(evaluation: ClassificationEvaluation, context: ReportContext) -> Headline:
    """The accuracy with its interval, and the majority-class baseline."""
    total = evaluation.total
    if not total:
        return not_evaluated("Accuracy")
    (low, high), (name, base) = evaluation.interval, _majority(evaluation)
    correct = int(np.trace(evaluation.confusion))
    return Headline(
        "Accuracy",
        percent(evaluation.accuracy),
        (
            Text((Strong(f"{number(correct)} of {images(total)}"), " correct", *evaluated_on(evaluation.part))),
            Text(
                f"95 % confidence interval (Wilson): {percent(low)} to {percent(high)}. "
                f"Balanced accuracy: {percent(evaluation.balanced_accuracy)}.",
                "quiet",
            ),
            Scale(
                evaluation.accuracy,
                base,
                f"majority-class baseline ({name})",
                evaluation.interval,
                "95 % interval (Wilson)",
            ),
        ),
    )


def _majority(evaluation: ClassificationEvaluation) -> tuple[str, float]:
    """The class with the most evaluated images, and the accuracy of always predicting it."""
    counts = evaluation.confusion.sum(1)
    most = int(counts.argmax())
    return evaluation.task.names[most], int(counts[most]) / evaluation.total


def report_sections(evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """Errors, confusion matrix, per-class metrics, and calibration."""
    pictures = [_picture(evaluation, example) for example in context.examples]
    matrix = ConfusionMatrix(evaluation.task.names, evaluation.confusion, tuple(pictures))
    sections = [errors_section(matrix), confusion_section(matrix), class_section(matrix)]
    if evaluation.total:
        confidence = evaluation.predictions.max(axis=1)
        sections.append(calibration_section(calibration(confidence, evaluation.predicted == evaluation.targets)))
    return tuple(sections)


def _picture(evaluation: ClassificationEvaluation, example: Example) -> CellPicture:
    truth, predicted = int(evaluation.targets[example.row]), int(evaluation.predicted[example.row])
    confidence = percent(float(evaluation.predictions[example.row, predicted]))
    return CellPicture(truth, predicted, Picture(example.image, f"confidence {confidence}", example.path))


def errors_section(matrix: ConfusionMatrix) -> Section:
    """The wrong predictions among the pictures, the most confident first."""
    total, wrong = int(matrix.counts.sum()), _wrong(matrix)
    title, anchor = "Most confident errors", "mistakes"
    if not total:
        return Section(anchor, title, (Text("No images were held out, so there are no errors to show.", "quiet"),))
    if not wrong:
        return Section(anchor, title, (Text("No errors on the held-out images.", "quiet"),))
    shown = tuple(_error(matrix, one) for one in matrix.pictures if one.row != one.column)[:SHOWN]
    if not shown:
        said = f"{images(wrong)} misclassified; no pictures of them are available."
        return Section(anchor, title, (Text(said, "quiet"),))
    all_of = "All" if len(shown) == wrong else f"{number(len(shown))} of"
    lead = (
        f"{all_of} {number(wrong)} misclassified held-out images, the most confident first. "
        "Check each: is the label right, and could a person tell?"
    )
    return Section(anchor, title, (Gallery(shown),), lead)


def _wrong(matrix: ConfusionMatrix) -> int:
    return int(matrix.counts.sum() - np.trace(matrix.counts))


def _error(matrix: ConfusionMatrix, one: CellPicture) -> Picture:
    truth, predicted = matrix.names[one.row], matrix.names[one.column]
    said = one.picture.caption if isinstance(one.picture.caption, str) else ""
    caption = (Strong(truth), " predicted as ", Strong(predicted), f", {said}")
    return Picture(one.picture.image, caption, one.picture.path)


def confusion_section(matrix: ConfusionMatrix) -> Section:
    """The confusion matrix with its pictures."""
    blocks = (matrix,) if matrix.counts.sum() else (Text("No images were held out.", "quiet"),)
    return Section("confusion", "Confusion matrix", blocks)


def class_section(matrix: ConfusionMatrix) -> Section:
    """Recall with its interval, and precision, of each class."""
    title = "Per-class metrics"
    if not matrix.counts.sum():
        return Section("classes", title, (Text("No images were held out.", "quiet"),))
    lead = (
        "Recall: the share of a class's images that are predicted as it; the line across the bar is its 95 % Wilson "
        "interval. Precision: the share of the images predicted as a class that are of it. Lowest recall first."
    )
    columns = ("Class", "Correct", "Recall", "", "95 % interval", "Precision")
    rows = []
    for one in weakest_first(matrix):
        low, high = one.interval
        span = f"{percent(low)} to {percent(high)}" if one.count else ""
        correct = f"{number(one.correct)} of {number(one.count)}"
        bar = Bar(one.recall, one.interval if one.count else None)
        rows.append((one.name, correct, percent(one.recall), bar, span, percent(one.precision)))
    table = Table(
        tuple(Column(name, optional=name == "95 % interval") for name in columns),
        rows,
        ("class", "classes"),
        "classes of higher recall",
    )
    return Section("classes", title, (table,), lead)


def calibration_section(found: Calibration) -> Section:
    """How well confidence matches accuracy: in words, and as a reliability diagram."""
    lead = "Bars on the dashed line: calibrated. Bars below it: overconfident. Bars above it: underconfident."
    top = int(found.counts.argmax())
    confidence, accuracy = float(found.confidence[top]), float(found.accuracy[top])
    diagram = Reliability(found.counts, found.confidence, found.accuracy, found.error)
    if not found.counts.sum():
        return Section("calibration", "Calibration", (Text("No images were held out.", "quiet"),))
    said = (
        f"At a confidence of about {100 * confidence:.0f} % ({images(int(found.counts[top]))}) the accuracy is ",
        Strong(percent(accuracy)),
        ". Expected calibration error: ",
        Strong(percent(found.error)),
        ".",
    )
    return Section("calibration", "Calibration", (Grid((diagram, Text(said, "large"))),), lead)


def next_steps(evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total:
        return ()
    matrix = ConfusionMatrix(evaluation.task.names, evaluation.confusion)
    steps = [*_baseline(evaluation)]
    if not context.label_errors:  # which are better evidence than confident errors
        steps += _confident_errors(evaluation, context.examples)
    for pair in matrix.most_confused(1):
        title = f"{matrix.names[pair.row]} predicted as {matrix.names[pair.column]}"
        why = f"The most frequent confusion: {number(pair.count)} of {images(pair.of)}."
        steps.append(Step("confusion", title, why))
    if evaluation.interval[1] - evaluation.interval[0] > WIDE:
        why = f"With {images(evaluation.total)} the 95 % interval of the accuracy is wider than ten points."
        steps.append(Step("result", "Hold out more images", why))
    weakest = weakest_first(matrix)[0]
    if weakest.recall is not None and weakest.recall < evaluation.accuracy - BEHIND:
        why = (
            f"Recall {percent(weakest.recall)} ({number(weakest.correct)} of {images(weakest.count)}). "
            "More images of this class help most."
        )
        steps.append(Step("classes", f"Weakest class: {weakest.name}", why))
    confidence = evaluation.predictions.max(axis=1)
    steps += confidence_steps(calibration(confidence, evaluation.predicted == evaluation.targets))
    if not _wrong(matrix):
        steps.append(Step("input", "Test on harder images", "No errors here: try another day, camera or place."))
    return tuple(steps)


def _baseline(evaluation: ClassificationEvaluation) -> list[Step]:
    name, base = _majority(evaluation)
    if evaluation.interval[0] > base or len(evaluation.task.names) < 2:
        return []
    why = ("Always predicting ", Strong(name), f" (the majority class) has an accuracy of {percent(base)}.")
    return [Step("classes", BEATEN, why, urgent=True)]


def _confident_errors(evaluation: ClassificationEvaluation, examples: Sequence[Example]) -> list[Step]:
    shown = [example.row for example in examples[:SHOWN]]
    sure = sum(float(evaluation.predictions[row].max()) >= CONFIDENT for row in shown)
    if not sure:
        return []
    title = f"Check the labels of {number(sure)} confident error{'s' if sure > 1 else ''}"
    why = f"Wrong with a confidence of at least {100 * CONFIDENT:.0f} %: often the label is wrong."
    return [Step("mistakes", title, why)]


def confidence_steps(found: Calibration) -> list[Step]:
    """Whether the model is overconfident or underconfident enough to say so."""
    total = int(found.counts.sum())
    if total < ENOUGH or found.error < MISCALIBRATED:
        return []
    excess = float(np.nansum(found.counts * (found.confidence - found.accuracy))) / total
    title = "Overconfident" if excess > 0 else "Underconfident"
    why = f"Confidence and accuracy differ by {100 * found.error:.0f} points on average."
    return [Step("calibration", title, why)]
