"""What a report says of a multilabel classifier: average precision, errors, per-label metrics, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
from striate.tasks.metrics import precision_recall
from striate.tasks.report_common import SHOWN, Example, ReportContext, evaluated_on, not_evaluated

if TYPE_CHECKING:
    from striate.tasks.multilabel import MultilabelEvaluation

PANELS = 12  # precision-recall curves
FEW = 10  # held-out images of a label: with fewer its metrics are uncertain


def headline(evaluation: MultilabelEvaluation, context: ReportContext) -> Headline:
    """The mean average precision beside that of a random ranking."""
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
