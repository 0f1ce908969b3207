"""Compare: several finished runs side by side."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.base import PARTS
from striate.data.sources.rows import from_cell, read_table
from striate.data.splits import COLUMNS
from striate.errors import RequestError
from striate.jobs.outputs import require_outside
from striate.learning.outcomes import OUTCOME_COLUMNS, OUTCOMES
from striate.model import Model, read
from striate.reading import LOG, given_path, read_given
from striate.recipe import Recipe
from striate.report.compare.page import render_comparison
from striate.report.compare.summary import RunSummary
from striate.report.compare.text import comparison_text
from striate.storage import sha256_of, write_text


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. text: a summary for the terminal."""

    page: Path
    runs: tuple[RunSummary, ...]
    text: str


def compare(runs: Sequence[str | os.PathLike[str]], *, out: str | os.PathLike[str] = "comparison.html") -> Comparison:
    """Compare run folders, and write a page.

    Raises RequestError for fewer than two runs, for a folder that is no run, and for a page that would overwrite a file
    of a run.
    """
    folders = [given_path(run, "the run") for run in runs]
    require_outside(given_path(out, "the page"), folders)
    summaries = tuple(map(summary, folders))
    page, text = render_comparison(summaries), comparison_text(summaries)
    write_text(Path(out), page)
    return Comparison(Path(out), summaries, text)


def summary(folder: Path) -> RunSummary:
    """The summary of a run folder. Raises RequestError if it is not one."""
    path = folder / "model.safetensors"
    if not path.is_file():
        raise RequestError(f"{str(folder)!r} is not a run folder: it has no model.safetensors")
    model = read(path)
    recipe = _text(folder / "recipe.toml")
    events = _events(folder / "log.jsonl")
    metrics, metric = model.metrics, model.task.metric
    key = metric.key
    score = _number(metrics.get(key))
    return RunSummary(
        name=str(folder),
        data=_data_of(recipe),
        net=model.net,
        strategy=model.strategy,
        task=model.task.kind,
        higher_is_better=metric.share,
        score_form="percent" if metric.share else "digits",
        score_name=metric.name,
        score=math.nan if score is None else score,
        interval=_interval(metrics.get("interval")),
        images=int(_number(metrics.get("total")) or 0),
        seconds=next(
            (_number(event.get("seconds")) for event in reversed(events) if event.get("event") == "done"), None
        ),
        megabytes=path.stat().st_size / 1e6,
        parameters=_parameters(model),
        metrics={
            name.replace("_", " "): number
            for name, value in metrics.items()
            if name not in (key, "total", "correct") and (number := _number(value)) is not None
        },
        curve=tuple(_numbers(event) for event in events if event.get("event") == "epoch"),
        recipe=recipe,
        recalls=_recalls(metrics.get("per_class")),
        held_out=_held_out(folder / "split.csv", str(metrics.get("part", ""))),
        outcomes=_outcomes(folder / OUTCOMES, score),
    )


def _text(path: Path) -> str:
    return read_given(path, "the run's", LOG).decode("utf-8", "surrogateescape")


def _data_of(recipe: str) -> str:
    """The training data; "" if the recipe cannot be read."""
    try:
        return Recipe.from_toml(recipe).data.path or ""
    except RequestError:
        return ""


def _events(path: Path) -> list[dict[str, Any]]:
    """The events of a log; a truncated last line is ignored."""
    events = []
    for line in _text(path).splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        events += [event] if isinstance(event, dict) else []
    return events


def _numbers(event: dict[str, Any]) -> dict[str, float]:
    found = {key: _number(value) for key, value in event.items() if key != "time"}
    return {key: value for key, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    """A finite number; None for anything else: files of a run may have been edited."""
    try:
        return value if type(value) in (int, float) and math.isfinite(value) else None
    except OverflowError:
        return None


def _recalls(rows: Any) -> dict[str, float | None]:
    """The recall of each class, where there are classes."""
    known = rows.items() if isinstance(rows, dict) else ()
    return {name: _number(row.get("recall")) for name, row in known if isinstance(row, dict)}


def _interval(value: Any) -> tuple[float, float] | None:
    known = isinstance(value, list) and len(value) == 2 and all(_number(side) is not None for side in value)
    return (float(value[0]), float(value[1])) if known else None


def _parameters(model: Model) -> int:
    return sum(tensor.size for name, tensor in model.tensors.items() if name.rpartition(".")[2] in ("weight", "bias"))


def _outcomes(path: Path, score: Any) -> dict[str, tuple[str, float]]:
    """Target and score of each evaluated image; empty if they are not recorded, or the run's score is not their mean.

    Older runs have no such file; the mean average precision of several labels is not a mean over images.
    """
    if not path.is_file() or not isinstance(score, int | float):
        return {}
    table = read_table(path, "evaluated images", OUTCOME_COLUMNS, errors="surrogateescape")
    try:
        found = {from_cell(key): (from_cell(target), float(value)) for _, (key, target, value) in table.rows}
    except ValueError:
        return {}
    mean = sum(value for _, value in found.values()) / max(1, len(found))
    return found if abs(mean - score) <= 1e-4 * max(1.0, abs(score)) else {}


def _held_out(path: Path, part: str) -> str:
    """A digest of the evaluated images; "" if the run evaluated none."""
    if not path.is_file() or not part:
        return ""
    table = read_table(path, "split", COLUMNS, errors="surrogateescape")
    lines = [dict(zip(table.columns, fields, strict=False)) for _, fields in table.rows]
    rows = [row for row in lines if (row.get("part") == part if part in PARTS else row.get("fold"))]
    keys = "\n".join(sorted(f"{row.get('path')} {row.get('class')}" for row in rows))
    return sha256_of(keys.encode("utf-8", "surrogateescape"))[:16]
