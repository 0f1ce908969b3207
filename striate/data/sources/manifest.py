"""A manifest as a source: a CSV or JSON-lines file of images and their targets.

Columns: the image's path, one of label, labels or number, and if wanted split, weight and group; `COLUMNS` has all
their names. An invalid row is set aside with its line; only a file that is not a manifest is an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
import posixpath
import stat
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.base import PART_NAMES, Item, Oddity
from striate.data.sources.files import FileSource
from striate.data.sources.rows import few, read_table, read_text
from striate.errors import RequestError, nearest, printable, unknown
from striate.tasks import Classification, Multilabel, Regression, Target, Task
from striate.tasks.multilabel import LABELS_APART
from striate.tasks.regression import LARGEST

COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class"),
    "labels": ("labels",),
    "number": ("number", "value", "target"),
    "split": ("split", "part"),
    "weight": ("weight",),
    "group": ("group",),
}
TARGETS: dict[str, type[Task]] = {"label": Classification, "labels": Multilabel, "number": Regression}
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
HEAVIEST = 1e6  # the maximum weight; its inverse is the minimum

_ROLES = {name: role for role, names in COLUMNS.items() for name in names}
Stated = str | tuple[str, ...] | float  # the target of a row, before names have indices


@dataclass(frozen=True)
class _Row:
    """A usable row: the line it stands on, and what it says."""

    line: int
    key: str
    said: Stated
    part: str
    group: str
    weight: float

    @property
    def saying(self) -> tuple[Stated, str, str, float]:
        return self.said, self.part, self.group, self.weight


class _BadRowError(ValueError):
    """A row that cannot be used; the text says why, without the line."""

    kind = "bad-row"


class _MissingFileError(_BadRowError):
    kind = "missing-file"


def open_manifest(path: Path) -> FileSource:
    """A CSV or JSON-lines manifest as a source. Raises RequestError for a file that is none, or names no usable image.

    Repeated rows of a file are used once, and reported. If two rows of a file differ, both are set aside, because
    either may be wrong.
    """
    read = _read_json_lines if path.suffix.lower() in (".jsonl", ".ndjson") else _read_csv
    columns, records = read(path)
    roles = _roles(path, columns)
    kind = next(role for role in TARGETS if role in roles)
    rows: list[_Row] = []
    aside: list[Oddity] = []
    for record in records:
        try:
            rows.append(_row(record, roles, path.parent))
        except _BadRowError as error:
            shown = printable(str(record.values.get(roles["path"]) or ""))[:500] or f"line {record.line}"
            aside.append(Oddity(shown, error.kind, f"line {record.line}: {error}"))
    notes = [f"columns not used: {few(unused)}"] if (unused := _unused(columns, roles)) else []
    rows = _with_one_split(rows, aside, notes)
    rows = _once_each(rows, aside, notes)
    if not rows:
        first = f"; e.g. {printable(aside[0].path)!r}, {printable(aside[0].why)}" if aside else ""
        why = f"{first} (paths are taken from {str(path.parent)!r})" if first else ""
        raise RequestError(f"the manifest {str(path)!r} lists no usable image{why}")
    task = _task(path, TARGETS[kind], roles[kind], rows)
    place = {name: number for number, name in enumerate(task.names)}
    items = tuple(Item(r.key, _target(place, r.said), r.part, r.group, r.weight) for r in rows)
    return FileSource(path.parent, path.stem, str(path.resolve()), task, items, tuple(aside), tuple(notes))


# What columns there are


def _roles(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Role -> its column. Raises RequestError if a required column is missing."""
    here = f"the manifest {str(path)!r}"
    roles: dict[str, str] = {}
    for column in columns:
        name, colon, _ = column.partition(":")
        role = _ROLES.get(name.strip().casefold(), "")
        if not role or (colon and role != "number"):
            continue
        if role in roles:
            raise RequestError(f"{here} has two columns for the {role}, {roles[role]!r} and {column!r}; keep one")
        roles[role] = column
    there = f"it has {few(columns) or 'none'}"
    if "path" not in roles:
        raise RequestError(f"{here} has no column path (or {', '.join(COLUMNS['path'][1:])}); {_near(there, columns)}")
    targets = [roles[role] for role in TARGETS if role in roles]
    if not targets:
        raise RequestError(f"{here} has no column label, labels or number; {_near(there, columns)}")
    if len(targets) > 1:
        raise RequestError(f"{here} has the columns {' and '.join(targets)}; one of label, labels or number is needed")
    return roles


def _near(there: str, columns: Sequence[str]) -> str:
    known = [name for names in COLUMNS.values() for name in names]
    near = {
        column: found[0] for column in columns if column.casefold() not in _ROLES and (found := nearest(column, known))
    }
    return there + "".join(f"; did you mean {right!r} by {wrong[:60]!r}?" for wrong, right in list(near.items())[:1])


def _unused(columns: Sequence[str], roles: dict[str, str]) -> list[str]:
    used = set(roles.values())
    return [column or "(no name)" for column in columns if column not in used]


# Reading the two formats


@dataclass(frozen=True)
class _Record:
    """A row as it stands. problem: why it cannot be read, or ""."""

    line: int
    values: dict[str, Any]
    problem: str = ""


def _read_csv(path: Path) -> tuple[tuple[str, ...], list[_Record]]:
    table = read_table(path, "manifest", _ROLES)
    width = len(table.columns)
    records = []
    for line, fields in table.rows:
        problem = "" if len(fields) == width else f"{len(fields)} fields where the header has {width}"
        records.append(_Record(line, dict(zip(table.columns, fields, strict=False)), problem))
    return table.columns, records


def _read_json_lines(path: Path) -> tuple[tuple[str, ...], list[_Record]]:
    text = read_text(path, "manifest")
    columns: dict[str, None] = {}  # a set that keeps its order
    records = []
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            values = json.loads(row)
        except (ValueError, RecursionError) as error:
            what = getattr(error, "msg", None) or "numbers or nesting too large"
            raise RequestError(f"the manifest {str(path)!r} has no JSON object in line {line}: {what}") from error
        if not isinstance(values, dict):
            raise RequestError(
                f"the manifest {str(path)!r} has a JSON {type(values).__name__} in line {line}; "
                "one object per line is needed"
            )
        columns.update(dict.fromkeys(values))
        records.append(_Record(line, values))
    return tuple(columns), records


# What a row says


def _row(record: _Record, roles: dict[str, str], root: Path) -> _Row:
    """The row, checked. Raises _BadRowError."""
    if record.problem:
        raise _BadRowError(record.problem)
    values = {role: record.values.get(column) for role, column in roles.items()}
    said = _said(values)
    part = _text(values.get("split"), "split")
    if part and part.casefold() not in PART_NAMES:
        raise _BadRowError(str(unknown("split", part[:60], sorted(PART_NAMES))))
    weight = 1.0 if values.get("weight") in (None, "") else _number(values["weight"], "weight")
    if weight <= 0:
        raise _BadRowError(f"the weight {weight:g} is not above 0")
    if not 1 / HEAVIEST <= weight <= HEAVIEST:
        raise _BadRowError(f"the weight {weight:g} is not within {1 / HEAVIEST:g} to {HEAVIEST:g}")
    group = _text(values.get("group"), "group")
    return _Row(record.line, _key(values["path"], root), said, PART_NAMES.get(part.casefold(), ""), group, weight)


def _said(values: dict[str, Any]) -> Stated:
    if "label" in values:
        if not (label := _text(values["label"], "label")):
            raise _BadRowError("no label")
        return label
    if "number" in values:
        number = _number(values["number"], "number")
        if abs(number) > LARGEST:
            raise _BadRowError(f"the number {number:g} exceeds {LARGEST:g}; give it in a larger unit")
        return number
    given = values["labels"]
    if given in (None, ""):
        return ()
    labels = [
        _text(one, "label")
        for one in (given if isinstance(given, list) else _text(given, "labels").split(LABELS_APART))
    ]
    labels = [label.strip() for label in labels]
    if "" in labels:
        raise _BadRowError(f"an empty label among {LABELS_APART.join(labels)!r}")
    return tuple(sorted(set(labels)))


def _text(value: Any, what: str) -> str:
    """A value as text, stripped; numbers of JSON are text, too. Raises _BadRowError for anything else."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _BadRowError(f"the {what} must be text, not {str(value)[:60]!r}")
    try:
        text = str(value).strip()
        text.encode()
    except ValueError as error:  # half of a surrogate pair; an integer of thousands of digits
        raise _BadRowError(f"the {what} is not valid text") from error
    return text


def _number(value: Any, what: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or "_" in str(value):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise _BadRowError(f"the {what} {str(value)[:60]!r} is not a number, such as 3.5") from error
    if not math.isfinite(number):
        raise _BadRowError(f"the {what} {number:g} is not finite")
    return number


def _key(value: Any, root: Path) -> str:
    """The image's path below the manifest's folder, or from the top. Raises _BadRowError, _MissingFileError."""
    if not _text(value, "path"):
        raise _BadRowError("no path")
    spelled = str(value)
    # As it stands, without blanks around it, and as Windows would have written it.
    reason = ""
    for spelling in dict.fromkeys((spelled, spelled.strip(), spelled.strip().replace("\\", "/"))):
        try:
            mode = (root / spelling).stat().st_mode
        except (OSError, ValueError) as error:
            reason = reason or (getattr(error, "strerror", None) or "not a valid file name")
            continue
        if stat.S_ISREG(mode):
            return posixpath.normpath(Path(spelling).as_posix())
        reason = "it is a folder" if stat.S_ISDIR(mode) else "it is not a file"
    raise _MissingFileError(reason)


# What the rows say together


def _with_one_split(rows: list[_Row], aside: list[Oddity], notes: list[str]) -> list[_Row]:
    """If some rows have a split, those without one are set aside."""
    parts = {row.part for row in rows}
    if parts == {"train"}:
        notes.append("every row is for training, so there is no split")
        return [dataclasses.replace(row, part="") for row in rows]
    if parts == {""} or "" not in parts:
        return rows
    why = "no split, though other rows have one"
    aside += [Oddity(row.key, "bad-row", f"line {row.line}: {why}") for row in rows if not row.part]
    return [row for row in rows if row.part]


def _once_each(rows: list[_Row], aside: list[Oddity], notes: list[str]) -> list[_Row]:
    same: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        same[row.key].append(row)
    repeated = sum(len(twins) - 1 for twins in same.values() if len({row.saying for row in twins}) == 1)
    if repeated:
        notes.append(f"{repeated} rows repeat an earlier row, and are ignored")
    for key, twins in same.items():
        if len({row.saying for row in twins}) > 1:
            lines = ", ".join(str(row.line) for row in twins[:5])
            aside.append(Oddity(key, "bad-row", f"lines {lines} contradict each other"))
    return [twins[0] for twins in same.values() if len({row.saying for row in twins}) == 1]


def _task(path: Path, task: type[Task], column: str, rows: Sequence[_Row]) -> Task:
    if not task.wording.names_listed:
        written, _, name = column.partition(":")
        return task((name.strip() or written.strip(),))
    names = {name for row in rows for name in (row.said if isinstance(row.said, tuple) else (str(row.said),))}
    if not names:
        raise RequestError(f"the manifest {str(path)!r} gives no image a label")
    return task(tuple(sorted(names)))


def _target(place: dict[str, int], said: Stated) -> Target:
    """The target of a row, with names as indices; a number is unchanged."""
    if isinstance(said, tuple):
        return tuple(sorted(place[name] for name in said))
    return place[said] if isinstance(said, str) else said
