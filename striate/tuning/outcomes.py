"""The trials of a study as plain rows; the best one; and the table of them as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate.data.sources.rows import as_cell
from striate.storage import json_text
from striate.tasks.values import or_none
from striate.tuning.attributes import AGAIN, EPOCHS, ERROR, IMAGES, INTERVAL, SAME, SURPLUS, WORKER

if TYPE_CHECKING:
    import optuna

    from striate.tuning.space import Space

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
_COLUMNS = ("trial", "state", "score", "low", "high", "epochs", "seconds", "worker", "same as", "error")

Range = tuple[float, float]


@dataclass(frozen=True)
class TrialRow:
    """A trial. labels: as the study has them; values: as the recipe has them, by key. interval: of the score, 95 %.

    state: "complete", "pruned", "failed" or "running". same_as: the earlier trial of equal values that gave the score.
    curve: epochs and scores that were reported.
    """

    number: int
    state: str
    labels: Mapping[str, Any]
    values: Mapping[str, Any]
    value: float = math.nan
    interval: Range | None = None
    images: int = 0
    epochs: int = 0
    seconds: float = math.nan
    worker: str = ""
    same_as: int | None = None
    error: str = ""
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether it has a score."""
        return self.state == COMPLETE

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state != RUNNING

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "trial": self.number,
            "state": self.state,
            "values": dict(self.values),
            "score": or_none(self.value),
            "interval": None if self.interval is None else list(self.interval),
            "epochs": self.epochs,
            "seconds": or_none(self.seconds),
            "worker": self.worker,
            "same_as": self.same_as,
            "error": self.error,
        }


def rows_of(study: optuna.Study, space: Space) -> list[TrialRow]:
    """The trials of a study in order; those that were taken up once, at their last attempt, and no surplus ones."""
    trials = study.get_trials(deepcopy=False)
    again = {one.user_attrs[AGAIN] for one in trials if AGAIN in one.user_attrs}
    last: dict[int, int] = {}
    for one in trials:
        if AGAIN in one.user_attrs:
            last[one.user_attrs[AGAIN]] = one.number
    shown = [
        one
        for one in trials
        if SURPLUS not in one.user_attrs
        and one.number not in again
        and last.get(one.user_attrs.get(AGAIN, -1), one.number) == one.number
    ]
    return [_row(one, space) for one in shown]


def _row(trial: optuna.trial.FrozenTrial, space: Space) -> TrialRow:
    facts, name = trial.user_attrs, trial.state.name
    state = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}.get(name, RUNNING)
    interval, worker = facts.get(INTERVAL), facts.get(WORKER, {})
    known = state == COMPLETE and trial.value is not None
    return TrialRow(
        number=trial.number,
        state=state,
        labels=dict(trial.params),
        values=space.values(trial.params),
        value=float(trial.value) if known and trial.value is not None else math.nan,
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        images=int(facts.get(IMAGES, 0)),
        epochs=int(facts.get(EPOCHS, 0)),
        seconds=math.nan if trial.duration is None else trial.duration.total_seconds(),
        worker=f"{worker.get('host', '')}:{worker.get('pid', '')}" if worker else "",
        same_as=facts.get(SAME),
        error=str(facts.get(ERROR, "its worker ended" if state == FAILED else "")),
        curve=tuple(sorted(trial.intermediate_values.items())),
    )


def best_of(rows: Sequence[TrialRow], maximize: bool) -> TrialRow | None:
    """The trial of the best score, the first of equal ones; None without any."""
    scored = [row for row in rows if row.complete and math.isfinite(row.value)]
    return min(scored, key=lambda row: (-row.value if maximize else row.value, row.number), default=None)


def best_so_far(rows: Sequence[TrialRow], maximize: bool) -> list[tuple[int, float]]:
    """(trials, best score among them) after each trial with a score."""
    found: list[tuple[int, float]] = []
    for place, row in enumerate(rows):
        if row.complete and math.isfinite(row.value):
            best = (found[-1][1] if found else row.value, row.value)
            found.append((place + 1, max(best) if maximize else min(best)))
    return found


def trials_csv(rows: Sequence[TrialRow], names: Sequence[str]) -> str:
    """A row for each trial: what became of it, and its value of each key."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*_COLUMNS, *names])
    for row in rows:
        low, high = row.interval or (math.nan, math.nan)
        figures = [_figure(value) for value in (row.value, low, high)]
        about = [str(row.epochs or ""), _figure(row.seconds), as_cell(row.worker)]
        about += ["" if row.same_as is None else str(row.same_as), as_cell(row.error)]
        writer.writerow([row.number, row.state, *figures, *about, *(_cell(row.values, name) for name in names)])
    return text.getvalue()


def _figure(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _cell(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    return as_cell("none" if value is None else value if isinstance(value, str) else json_text(value))


@dataclass(frozen=True)
class Flattery:
    """By how much the search flatters itself: the best trial's score on validation images less the held-out score.

    by: positive if validation looked better, in the metric's units. interval: of that difference, 95 %, from the two
    intervals on different images (Newcombe 1998; Zou, Donner 2008); None where one is not known.
    """

    validation: float
    held_out: float
    by: float
    interval: Range | None


def flattery(
    validation: float, around: Range | None, held_out: float, held_around: Range | None, *, maximize: bool
) -> Flattery:
    """The difference of two scores and its interval. around, held_around: their own 95 % intervals."""
    by = validation - held_out if maximize else held_out - validation
    known = [one for one in (around, held_around) if one is not None and all(map(math.isfinite, one))]
    if len(known) < 2 or not math.isfinite(by):
        return Flattery(validation, held_out, by, None)
    (better, worse), (first, second) = ((validation, held_out), known) if maximize else (
        (held_out, validation), known[::-1])  # fmt: skip
    low = by - math.hypot(better - first[0], second[1] - worse)
    high = by + math.hypot(first[1] - better, worse - second[0])
    return Flattery(validation, held_out, by, (low, high))
