"""The runs of a studio: every run folder in `runs/`, and beside it, whoever started it. The folders are the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.learning.run_folder import LOG, MODEL, RECIPE, REPORT, unfinished
from striate.model.file import description
from striate.studio.files import is_locked, read_lines
from striate.studio.index import Index
from striate.tasks import Task
from striate.tasks.registry import task_from_dict
from striate.web.refusals import Refused

SETTLED = 3.0  # seconds after which a log is asked for its lock: a run that starts now must find it free
METRICS = (
    "accuracy",
    "mean_iou",
    "ap",
    "bleu4",
    "average_precision",
    "mean_average_precision",
    "error",
    "mean_absolute_error",
)
LARGEST_LOG = 2**26  # bytes, of which the last are read
POINTS = 40  # of a sparkline


@dataclass(frozen=True)
class RunState:
    """A run folder. state: "done", "running", "interrupted", or "begun": there is nothing to resume from yet."""

    name: str
    path: Path
    state: str
    changed: float


class Runs:
    """The run folders of a studio, by name."""

    def __init__(self, home: Path, index: Index) -> None:
        self._home, self._index = home, index

    def all(self) -> dict[str, RunState]:
        """Every run by name, the last changed first."""
        found: dict[str, RunState] = {}
        for place in (self._home / "runs", self._home):
            for folder in place.iterdir() if place.is_dir() else ():
                if folder.name not in found and (state := _state(folder)):
                    found[folder.name] = state
        return dict(sorted(found.items(), key=lambda pair: -pair[1].changed))

    def get(self, name: str) -> RunState:
        """The run of a name. Raises Refused if there is none."""
        found = self.all().get(name)
        if found is None:
            raise Refused(404, f"there is no run {name!r}")
        return found

    def path(self, name: str) -> Path:
        """Where a run of this name is, or would be."""
        beside = self._home / name
        return beside if (beside / LOG).is_file() and not (self._home / "runs" / name).exists() else (
            self._home / "runs" / name
        )  # fmt: skip

    def place(self, name: str) -> str:
        """The run folder as a command line in the studio's folder names it."""
        return f"./{name}" if self.path(name).parent == self._home else f"runs/{name}"

    def resumable(self, name: str) -> bool:
        """Whether a run was begun, not finished, and can be resumed."""
        return unfinished(self.path(name))

    def finished(self, name: str) -> bool:
        """Whether a run has its model."""
        return (self.path(name) / MODEL).is_file()

    def file(self, name: str, file: str) -> Path:
        """A file of a run: the report, the model, the recipe. Raises Refused if it has none."""
        path = self.get(name).path / file
        if file not in (REPORT, MODEL, RECIPE) or not path.is_file() or path.is_symlink():
            raise Refused(404, f"the run {name!r} has no {file}")
        return path

    def facts(self, run: RunState) -> dict[str, Any]:
        """What its log tells: net, strategy, data, score, a sparkline's points; kept until the log changes."""
        try:
            found = (run.path / LOG).stat()
        except OSError:
            return {}
        stamp = f"{found.st_size}:{found.st_mtime_ns}"
        if (kept := self._index.facts(str(run.path), stamp)) is not None:
            return kept
        facts = _summary(read_lines(run.path / LOG, most=LARGEST_LOG)[0])
        self._index.keep_facts(str(run.path), stamp, facts)
        return facts

    def epochs(self, run: RunState) -> list[Mapping[str, Any]]:
        """The lines of its log about epochs."""
        lines = (line for line in read_lines(run.path / LOG, most=LARGEST_LOG)[0] if line.get("event") == "epoch")
        return [{key: value for key, value in line.items() if _finite(value)} for line in lines]


def _state(folder: Path) -> RunState | None:
    """The state of a run folder; None for a folder that is none."""
    if folder.name.startswith(".") or folder.is_symlink():
        return None
    try:
        changed = (folder / LOG).stat().st_mtime
    except OSError:
        return None
    if (folder / MODEL).is_file():
        state = "done"
    elif time.time() - changed < SETTLED or is_locked(folder / LOG):
        state = "running"
    else:
        state = "interrupted" if (folder / RECIPE).is_file() else "begun"
    return RunState(folder.name, folder, state, changed)


def _summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    points: list[float] = []
    for line in lines:
        match line.get("event"):
            case "plan" | "decision" | "resume":
                facts |= {key: line[key] for key in ("strategy", "net", "why", "data") if line.get(key) is not None}
            case "epoch":
                value = next((line[key] for key in (*METRICS, "loss") if _finite(line.get(key))), None)
                points += [] if value is None else [float(value)]
                facts["epoch"] = line.get("epoch")
            case "done":
                facts["seconds"] = line.get("seconds")
                facts |= next(({"metric": key, "score": line[key]} for key in METRICS if _finite(line.get(key))), {})
                facts["interval"] = line.get("interval")
    step = max(1, math.ceil(len(points) / POINTS))
    return facts | {"points": points[::step]}


def task_of(model: Path) -> Task:
    """The task of a model file. Raises RequestError, KeyError or TypeError for a file that is none."""
    said = description(model)
    return task_from_dict(said["task"], tuple(map(str, said["classes"])))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e300  # an int may be too large for a float
