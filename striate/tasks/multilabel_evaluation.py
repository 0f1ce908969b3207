"""The evaluation of multilabel classification, and its report sections."""

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
    Axis,
    Bar,
    Column,
    Gallery,
    Grid,
    Headline,
    Line,
    Lines,
    Picture,
    Scale,
    Section,
    Step,
    Strong,
    Table,
    Text,
    Words,
)
from striate.sections.wording import counted, images, number, percent, quantity
from striate.tasks.base import Evaluation
from striate.tasks.metrics import average_precision, bootstrap_interval, precision_recall
from striate.tasks.metrics import percent as plain_percent
from striate.tasks.report_common import SHOWN, Example, ReportContext, evaluated_on, not_evaluated
from striate.tasks.values import or_none

PANELS = 12  # precision-recall curves
FEW = 10  # held-out images of a label: with fewer its metrics are uncertain
WEAKEST = 5  # labels named on the command line, the weakest first


@dataclass(frozen=True, eq=False)
class MultilabelEvaluation(Evaluation):
    """Mean average precision, with the figures of each label at its threshold."""

    @cached_property
    def predicted(self) -> NDArray[np.bool_]:
        """Which labels are predicted, [N, labels]."""
        limits = np.array(self.task.decision_thresholds, np.float32) if self.thresholds is None else self.thresholds
        return np.asarray(self.predictions >= limits)

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """Of each label; NaN for one that no image has."""
        return self._ranked(np.arange(self.total))

    def _ranked(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        predictions, targets = self.predictions[rows], self.targets[rows] > 0
        columns = range(predictions.shape[1])
        return np.array([average_precision(predictions[:, place], targets[:, place]) for place in columns])

    @property
    def score(self) -> float:
        """The mean over the labels that an image has."""
        return _mean_of_known(self.average_precisions)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval over other images of the kind, by the bootstrap."""
        draws = int(np.clip(4e6 / max(1, self.predictions.size), 40, 200))  # for many images fewer draws are enough
        low, high = bootstrap_interval(lambda rows: _mean_of_known(self._ranked(rows)), self.total, draws)
        return max(0.0, low), min(1.0, high)

    @property
    def all_right(self) -> int:
        """Images with all labels correct."""
        return int((self.errors() == 0).sum())

    def at_threshold(self, place: int) -> tuple[float, float, float]:
        """Precision, recall and F1 of a label at its threshold; NaN where it divides by zero."""
        given, true = self.predicted[:, place], self.targets[:, place] > 0
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
                "threshold": self.task.decision_thresholds[place],
                "precision": or_none(precision),
                "recall": or_none(recall),
                "f1": or_none(f1),
            }
        headline = {"mean_average_precision": or_none(self.score), "interval": list(map(or_none, self.interval))}
        return {**headline, "all_right": self.all_right, "per_label": rows}

    def rows(self) -> dict[str, str]:
        """The average precision of each label."""
        found = {}
        for place, (name, ranked) in enumerate(zip(self.task.names, self.average_precisions, strict=True)):
            shown = plain_percent(ranked) if math.isfinite(ranked) else "-"
            found[name] = f"{int(self.targets[:, place].sum()):,} images, average precision {shown}"
        return found

    def lines(self) -> list[str]:
        """The mean with the weakest labels; images that are right in every label."""
        if not self.total:
            return ["Mean average precision not measured: nothing is held out"]
        ranked = [(name, value) for name, value in zip(self.task.names, self.average_precisions, strict=True)]
        weakest = sorted((row for row in ranked if math.isfinite(row[1])), key=lambda row: row[1])
        if not weakest:
            return [f"Mean average precision not measured: none of the {self.where()} has a label"]
        listed = ", ".join(f"{printable(name)} ({plain_percent(value)})" for name, value in weakest[:WEAKEST])
        more = f" and {len(weakest) - WEAKEST} more" if len(weakest) > WEAKEST else ""
        count = "1 label" if len(weakest) == 1 else f"{len(weakest)} labels"
        low, high = self.interval
        where = f"{self.where()}; 95 % interval {plain_percent(low)} to {plain_percent(high)}"
        return [
            f"Mean average precision {plain_percent(self.score)} over {count} ({where})",
            f"All labels correct on {self.all_right:,} of them; average precision: {listed}{more}",
        ]

    def errors(self) -> NDArray[np.float64]:
        """The number of wrong labels, ties by the size of the error."""
        wrong = self.predicted != (self.targets > 0)
        apart = np.abs(self.predictions - self.targets)
        return np.asarray(np.where(wrong, 1 + apart, 0).sum(axis=1), np.float64)


def headline(evaluation: MultilabelEvaluation, context: ReportContext) -> Headline:
    """The mean average precision, and that of a random ranking."""
    title = "Mean average precision"
    if not evaluation.total or math.isnan(evaluation.score):
        return not_evaluated(title)
    measured = np.isfinite(evaluation.average_precisions)
    chance = float((evaluation.targets > 0).mean(axis=0)[measured].mean())
    low, high = evaluation.interval
    right = evaluation.all_right
    return Headline(
        title,
        percent(evaluation.score),
        (
            Text(
                (
                    f"The mean over {counted(int(measured.sum()), 'label')} and ",
                    Strong(images(evaluation.total)),
                    *evaluated_on(evaluation.part),
                )
            ),
            Text(
                (
                    f"95 % confidence interval (bootstrap): {percent(low)} to {percent(high)}. Of "
                    f"{images(evaluation.total)}, ",
                    Strong(number(right)),
                    f" have every label right ({percent(right / evaluation.total)}).",
                ),
                "quiet",
            ),
            Scale(evaluation.score, chance, "random ranking", (low, high), "95 % interval (bootstrap)"),
        ),
    )


def report_sections(evaluation: MultilabelEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """Errors, per-label metrics, and precision-recall curves."""
    sections = [errors_section(evaluation, context.examples), label_section(evaluation)]
    if evaluation.total and np.isfinite(evaluation.average_precisions).any():
        sections.append(curves_section(evaluation))
    return tuple(sections)


def errors_section(evaluation: MultilabelEvaluation, examples: Sequence[Example]) -> Section:
    """Images with a missing or a wrong label."""
    title, anchor = "Worst errors", "mistakes"
    if not evaluation.total:
        return Section(anchor, title, (Text("No images were held out, so there are no errors to show.", "quiet"),))
    wrong = evaluation.total - evaluation.all_right
    if not wrong:
        return Section(anchor, title, (Text("Every label of every held-out image is right.", "quiet"),))
    lead = (
        f"{number(wrong)} of {number(evaluation.total)} held-out images have a missing or a wrong label. "
        "Check each: are its given labels right and complete?"
    )
    pictures = tuple(_picture(evaluation, example) for example in examples[:SHOWN])
    return Section(anchor, title, (Gallery(pictures, wrong),), lead)


def _picture(evaluation: MultilabelEvaluation, example: Example) -> Picture:
    true, predicted = evaluation.targets[example.row] > 0, evaluation.predicted[example.row]
    caption: list[str | Strong] = []
    for word, places in (
        ("missing ", true & ~predicted),
        ("wrong ", predicted & ~true),
        ("right ", true & predicted),
    ):
        if places.any():
            caption += ["; " if caption else "", word, Strong(", ".join(_names(evaluation, places)))]
    return Picture(example.image, tuple(caption), example.path)


def _names(evaluation: MultilabelEvaluation, places: NDArray[np.bool_]) -> list[str]:
    return [name for name, there in zip(evaluation.task.names, places, strict=True) if there]


def label_section(evaluation: MultilabelEvaluation) -> Section:
    """Average precision of each label, and precision, recall and F1 at its threshold."""
    title, anchor = "Per-label metrics", "classes"
    if not evaluation.total:
        return Section(anchor, title, (Text("No images were held out.", "quiet"),))
    lead = (
        "Average precision: the area under the precision-recall curve. Precision, recall and F1 are those at the "
        "label's decision threshold. Lowest average precision first."
    )
    columns = ("Label", "Images", "Average precision", "", "Threshold", "Precision", "Recall", "F1")
    rows: list[tuple[Words | Bar, ...]] = []
    for place in _weakest_first(evaluation):
        average = float(evaluation.average_precisions[place])
        at_threshold = (percent(value) for value in evaluation.at_threshold(place))
        positives, limit = _positives(evaluation, place), quantity(evaluation.task.decision_thresholds[place], 2)
        name = evaluation.task.names[place]
        rows.append((name, number(positives), percent(average), Bar(average), limit, *at_threshold))
    table = Table(tuple(map(Column, columns)), rows, ("label", "labels"), "labels of higher average precision")
    return Section(anchor, title, (table,), lead)


def _positives(evaluation: MultilabelEvaluation, place: int) -> int:
    return int((evaluation.targets[:, place] > 0).sum())


def _weakest_first(evaluation: MultilabelEvaluation) -> list[int]:
    """Labels by average precision; those that no held-out image has come last."""
    ranked = evaluation.average_precisions.tolist()
    return sorted(range(len(ranked)), key=lambda place: (math.isnan(ranked[place]), ranked[place]))


def curves_section(evaluation: MultilabelEvaluation) -> Section:
    """The precision-recall curves of up to a dozen labels, lowest average precision first."""
    places = [place for place in _weakest_first(evaluation) if np.isfinite(evaluation.average_precisions[place])]
    few = f" The {PANELS} labels of lowest average precision of {number(len(places))}." if len(places) > PANELS else ""
    lead = f"Upwards: precision. To the right: recall. A line along the top is perfect.{few}"
    return Section(
        "ranking",
        "Precision-recall curves",
        (Grid(tuple(_curve(evaluation, place) for place in places[:PANELS]), small=True),),
        lead,
    )


def _curve(evaluation: MultilabelEvaluation, place: int) -> Lines:
    precision, recall = precision_recall(evaluation.predictions[:, place], evaluation.targets[:, place])
    name, average = evaluation.task.names[place], percent(float(evaluation.average_precisions[place]))
    line = Line(np.append(0.0, recall), np.append(precision[:1], precision))
    axis = Axis(form="percent", range=(0.0, 1.0))
    label = f"Precision-recall curve of {name}, average precision {average}"
    return Lines((Strong(name), f" {average}"), (line,), axis, axis, label=label)


def next_steps(evaluation: MultilabelEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total:
        return ()
    steps = []
    measured = [place for place in _weakest_first(evaluation) if np.isfinite(evaluation.average_precisions[place])]
    if measured:
        average = percent(float(evaluation.average_precisions[measured[0]]))
        why = f"Average precision {average} on {images(_positives(evaluation, measured[0]))}."
        steps.append(Step("classes", f"Weakest label: {evaluation.task.names[measured[0]]}", why))
    rare = [name for place, name in enumerate(evaluation.task.names) if _positives(evaluation, place) < FEW]
    if rare:
        why = f"Fewer than ten held-out images: {', '.join(rare[:3])}."
        steps.append(Step("classes", f"{counted(len(rare), 'label')} with uncertain metrics", why))
    wrong = evaluation.total - evaluation.all_right
    if context.examples:
        why = f"{number(wrong)} of {images(evaluation.total)} have a missing or a wrong label."
        steps.append(Step("mistakes", "Are the given labels complete?", why))
    if not wrong:
        steps.append(Step("input", "Test on harder images", "No errors here: try another day, camera or place."))
    return tuple(steps)


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
