"""The audit of a data set, from its last `striate audit`: findings with pictures, and what is suggested."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from striate.data.audit.decisions import COLUMNS, Row
from striate.data.sources.rows import from_cell, read_table
from striate.errors import RequestError
from striate.reading import LOG, read_file
from striate.report.audit.words import heading, level
from striate.studio.datasets import DataSet
from striate.studio.jobs import Job, Jobs

FIXES = "fixes.csv"
ORDER = ("serious", "look", "note")  # of levels
LIKE = 4  # images of a class that are shown beside a doubtful one
MOST_SHOWN = 60  # pictures of a finding


@dataclass(frozen=True)
class Audited:
    """state: of the job, or "" if there was none. facts: as `striate audit --json`. rows: what is suggested, by key."""

    state: str
    job: Job | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)


def start(jobs: Jobs, data: DataSet, *, labels: bool) -> Job:
    """Audit a data set, by the command line. Raises RequestError for one that may not be opened."""
    data.require_inside()
    words = ["--labels"] if labels else []
    shown = f"striate audit {data.quoted}{' --labels' if labels else ''} --fix-list {FIXES}"
    arguments = ["audit", data.command, *words, "--fix-list", "{job}/" + FIXES]
    return jobs.add("audit", arguments, shown, data=data.number)


def last(jobs: Jobs, data: DataSet) -> Audited:
    """The last audit of a data set."""
    job = jobs.of_data(data.number, "audit")
    if job is None:
        return Audited("")
    state = jobs.known_state(job)
    if state != "done":
        return Audited(state, job)
    try:
        facts, rows = _read(job.folder)
    except (OSError, ValueError, IndexError, RequestError):
        return Audited("lost", job)
    return Audited(state, job, facts, rows)


@lru_cache(maxsize=8)
def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Row]]:
    """The output of an audit that has ended: it does not change any more."""
    return json.loads(read_file(folder / "stdout", LOG).splitlines()[-1]), _rows(folder / FIXES)


def findings(audited: Audited, data: DataSet) -> list[dict[str, Any]]:
    """The findings for a page, the most serious first: words, and the numbers of their pictures."""
    numbers = data.listed().numbers
    found = []
    for one in audited.facts.get("findings", ()):
        paths = [path for path in one["paths"] if path in numbers]
        found.append({
            "kind": one["kind"], "heading": heading(one["kind"]), "level": level(one["kind"], one["action"]),
            "count": one["count"], "action": one["action"], "policy": one["policy"],
            "images": [_image(path, numbers[path], audited.rows) for path in paths[:MOST_SHOWN]],
            "more": max(0, len(paths) - MOST_SHOWN), "files": [] if paths else one["paths"][:20],
        })  # fmt: skip
    place = {name: number for number, name in enumerate(ORDER)}
    return sorted(found, key=lambda one: place.get(one["level"], 1))


def doubtful(audited: Audited, data: DataSet) -> list[dict[str, Any]]:
    """The images that a person should look at: those with a suggestion, probable label errors first."""
    numbers, task = data.listed().numbers, data.listed().source.task
    items = data.listed().items
    beside = _groups(audited.facts)
    found = []
    for path, row in audited.rows.items():
        if path in numbers and row.suggested and row.suggested != "keep":
            alike = [numbers[other] for other in beside.get(path, ()) if other in numbers and other != path]
            found.append(
                {
                    **_image(path, numbers[path], audited.rows),
                    "alike": alike[:LIKE],
                    "label": task.text(items[numbers[path]].target),
                    "found": row.found,
                    "why": row.why,
                }
            )
    return sorted(found, key=lambda one: not one["suggested"].startswith("relabel"))


def examples(data: DataSet, names: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of a few images of each class."""
    listed = data.listed()
    found: dict[str, list[int]] = {name: [] for name in names}
    for number, item in listed.items.items():
        name = listed.source.task.text(item.target)
        if name in found and len(found[name]) < LIKE:
            found[name].append(number)
    return found


def _image(path: str, number: int, rows: Mapping[str, Row]) -> dict[str, Any]:
    row = rows.get(path)
    return {"number": number, "path": path, "suggested": row.suggested if row else ""}


def _groups(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    return {path: group for one in facts.get("findings", ()) for group in one.get("groups", ()) for path in group}


def _rows(path: Path) -> dict[str, Row]:
    table = read_table(path, "suggestions", COLUMNS, errors="surrogateescape")
    rows = [Row(*(from_cell(cell) for cell in cells)) for _, cells in table.rows]
    return {row.path: row for row in rows}
