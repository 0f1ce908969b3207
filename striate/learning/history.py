"""The training history: a row an epoch, as the log, the report and TensorBoard have it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from striate.tasks import Task

if TYPE_CHECKING:  # it imports torch
    from striate.training.loop_state import EpochReport

Row = dict[str, float]


def row_of(report: EpochReport, task: Task) -> Row:
    """A row of the history; the score under its own name."""
    row = {key: value for key, value in dataclasses.asdict(report).items() if value is not None}
    if "score" in row:
        row[task.metric.curve_key] = row.pop("score")
    return row


def note_of(report: EpochReport, task: Task) -> str:
    """The epoch in a few words, for the progress bar."""
    if report.score is None:
        return f"loss {report.loss:.3f}"
    return f"loss {report.loss:.3f}, held-out {task.metric.name} {task.metric.text(report.score)}"
