"""What the reports of all tasks share: examples with their pictures, and sentences on what was evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.sections import Headline, Strong, Text
from striate.sections.wording import Format
from striate.tasks.values import Metric

CROSS_VALIDATED = "cross-validated"  # the part's name if all folds are pooled
SHOWN = 12  # of the worst predictions
BEATEN = "Not better than the baseline"

Piece = str | Strong


@dataclass(frozen=True, eq=False)
class Example:
    """An evaluated image: its row in the evaluation, its file, and it as the network sees it, uint8 HxWx3 or HxW."""

    row: int
    path: str
    image: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReportContext:
    """What a report may use besides an evaluation.

    examples: of the worst predictions, the worst first. train_targets: of the training images, as the task collates
    them, for baselines. label_errors: how many likely label errors the report lists already.
    """

    examples: Sequence[Example] = ()
    train_targets: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    label_errors: int = 0


def evaluated_on(part: str) -> tuple[Piece, ...]:
    """How the evaluated images relate to training."""
    if part == CROSS_VALIDATED:
        return (", each predicted by a model that was not trained on it (all folds pooled).",)
    return (" on the held-out part ", Strong(part), ".")


def not_evaluated(title: str) -> Headline:
    """The headline of a run that held nothing out."""
    return Headline(title, "Not evaluated", (Text("No images were held out, so the test performance is unknown."),))


def score_form(metric: Metric) -> Format:
    """How a value of the metric is written."""
    return "percent" if metric.share else "digits"
