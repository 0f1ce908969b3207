"""Predictions as a CSV table: a row for each image."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from striate.inference.predictor import Prediction
from striate.tasks import Task
from striate.tasks.values import LISTED


def predictions_csv(
    predictions: Sequence[Prediction],
    failed: Sequence[tuple[str, str]],
    task: Task,
    sorted_to: Mapping[str, Path] | None = None,
) -> str:
    """A table of all files, those that could not be used with the reason in the last column, `error`.

    Columns: path; the class, the labels (separated by |) or the value; probability, of the class or of the most
    probable label; with an OOD detector in_distribution and distance; for up to 100 classes the probability of each;
    sorted_to, where images were sorted; error.
    """
    has_probabilities = any(len(one.probabilities) for one in predictions)
    has_detector = any(one.in_distribution is not None for one in predictions)
    each = list(task.names) if has_probabilities and len(task.names) <= LISTED else []
    columns = [
        "path",
        _answer_column(task),
        *(["probability"] if has_probabilities else []),
        *(["in_distribution", "distance"] if has_detector else []),
        *(f"probability of {name}" for name in each),
        *(["sorted_to"] if sorted_to else []),
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*columns, "error"])
    for one in predictions:
        cells = [one.source, one.answer.label if one.answer.written is None else one.answer.written]
        cells += [_number(one.confidence)] if has_probabilities else []
        cells += [str(one.in_distribution).lower(), _number(one.distance)] if has_detector else []
        cells += [_number(float(share)) for share in one.probabilities] if each else []
        cells += [str(sorted_to[one.source])] if sorted_to else []
        writer.writerow([*cells, ""])
    writer.writerows([path, *[""] * (len(columns) - 1), why] for path, why in failed)
    return text.getvalue()


def _answer_column(task: Task) -> str:
    if task.one_class:
        return task.wording.one
    return task.wording.many if task.wording.names_listed else "value"


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
