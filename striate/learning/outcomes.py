"""The outcome of each evaluated image, as a CSV of the run folder: runs are compared image by image."""

from __future__ import annotations

import csv
import io

from striate.data.sources.rows import as_cell
from striate.learning.run_folder import OUTCOMES as OUTCOMES
from striate.learning.split import Split
from striate.tasks import Evaluation

OUTCOME_COLUMNS = ("path", "target", "score")


def outcomes_csv(split: Split, evaluation: Evaluation) -> str:
    """A row for each evaluated image. score: see `Evaluation.outcomes`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(OUTCOME_COLUMNS)
    task, rows, scores = split.audit.task, split.measured_rows, evaluation.outcomes().tolist()
    for row, score in zip(rows, scores, strict=True) if len(rows) == len(scores) else ():
        item = split.audit.usable[row].item
        writer.writerow([as_cell(item.key), as_cell(task.text(item.target)), f"{score:.9g}"])
    return text.getvalue()
