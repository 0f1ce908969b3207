"""A manifest as a source: a CSV, JSON-lines or JSON file of images and their targets.

Columns: the image's path, one of label, labels, caption or number, and if wanted split, weight and group;
`columns.COLUMNS` has all their names. An invalid row is set aside with its line; only a file that is not a manifest is
an error. An image with captions has a row for each, or one with a list of them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import posixpath
import stat
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.base import Item, Oddity
from striate.data.sources.captions import FOLDER, captioning, said_captions
from striate.data.sources.columns import OTHERS, ROLES, TARGETS, OneHot, roles_of, unused
from striate.data.sources.exports import json_rows
from striate.data.sources.files import FileSource
from striate.data.sources.labels import Splitting, is_missing, splitting
from striate.data.sources.names import join_names, readable
from striate.data.sources.parts import SPLITS, part_named
from striate.data.sources.rows import few, read_table, table_text
from striate.errors import RequestError, printable, unknown
from striate.tasks import Target, Task
from striate.tasks.multilabel import LABELS_APART
from striate.tasks.regression import LARGEST

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
ONE_HOT = "(one-hot)"  # the name under which labels of one-hot columns are kept
MISTYPED = 0.01  # the share of rows whose split may be unknown: set aside as mistyped, not refused
HEAVIEST = 1e6  # the maximum weight; its inverse is the minimum

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


class _NoLabelError(_BadRowError):
    kind = "no-label"


class _MissingFileError(_BadRowError):
    kind = "missing-file"


def open_manifest(path: Path) -> FileSource:
    """A CSV or JSON-lines manifest as a source. Raises RequestError for a file that is none, or names no usable image.

    Repeated rows of a file are used once, and reported. If two rows of a file differ, both are set aside, because
    either may be wrong.
    """
    columns, records = _READERS.get(path.suffix.lower(), _read_csv)(path)
    roles, one_hot = roles_of(path, columns, [record.values for record in records if not record.problem])
    notes = []
    if one_hot:
        kind = "label" if one_hot.exclusive else "labels"
        roles, records = {**roles, kind: ONE_HOT}, _with_labels(records, one_hot)
        what = "classes" if one_hot.exclusive else "labels"
        notes.append(f"the columns {few(one_hot.columns)} hold 0 and 1: they are read as {what}")
    kind = next(role for role in TARGETS if role in roles)
    split = _splitting(records, roles, notes)
    rows: list[_Row] = []
    aside: list[Oddity] = []
    for record in records:
        try:
            rows.append(_row(record, roles, path.parent, split))
        except _BadRowError as error:
            shown = printable(str(record.values.get(roles["path"]) or ""))[:500] or f"line {record.line}"
            aside.append(Oddity(shown, error.kind, f"line {record.line}: {error}"))
    _require_known_splits(path, records, roles)
    if left := unused(columns, roles, one_hot):
        notes.append(f"columns not used: {few(left)}")
    rows = _with_one_split(rows, aside, notes)
    rows = (_joined if kind == "caption" else _once_each)(rows, aside, notes)
    if not rows:
        first = f"; e.g. {printable(aside[0].path)!r}, {printable(aside[0].why)}" if aside else ""
        why = f"{first} (paths are taken from {str(path.parent)!r})" if first else ""
        raise RequestError(f"the manifest {str(path)!r} lists no usable image{why}")
    if kind == "caption":
        items = tuple(Item(r.key, r.said, r.part, r.group, r.weight) for r in rows)
        return _source(path, captioning(r.said for r in rows if isinstance(r.said, tuple)), items, aside, notes)
    if kind == "number" and len({row.said for row in rows}) == 2 and len(rows) > 2:
        notes.append(f"the numbers of {roles[kind]!r} have two values: name the column label to read them as classes")
    joined = join_names(Counter(name for row in rows for name in _names(row.said)), TARGETS[kind].wording.one)
    task = _task(path, TARGETS[kind], roles[kind], joined.names)
    place = {name: task.names.index(used) for name, used in joined.name.items()}
    items = tuple(Item(r.key, _target(place, r.said), r.part, r.group, r.weight) for r in rows)
    return _source(path, task, items, aside, notes, joined.notes)


def _source(
    path: Path,
    task: Task,
    items: tuple[Item, ...],
    aside: Sequence[Oddity],
    notes: Sequence[str],
    reading: tuple[str, ...] = (),
) -> FileSource:
    name, identity = readable(path.stem), str(path.resolve())
    return FileSource(path.parent, name, identity, task, items, tuple(aside), tuple(notes), reading=reading)


# Reading the formats


@dataclass(frozen=True)
class _Record:
    """A row as it stands. problem: why it cannot be read, or ""."""

    line: int
    values: dict[str, Any]
    problem: str = ""


def _read_csv(path: Path) -> tuple[tuple[str, ...], list[_Record]]:
    table = read_table(path, "manifest", [*ROLES, *OTHERS])
    width = len(table.columns)
    records = []
    for line, fields in table.rows:
        problem = "" if len(fields) == width else f"{len(fields)} fields where the header has {width}"
        records.append(_Record(line, dict(zip(table.columns, fields, strict=False)), problem))
    return table.columns, records


def _read_json_lines(path: Path) -> tuple[tuple[str, ...], list[_Record]]:
    text = table_text(path, "manifest")
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


def _read_json(path: Path) -> tuple[tuple[str, ...], list[_Record]]:
    rows = json_rows(path)
    columns = dict.fromkeys(name for row in rows for name in row)
    return tuple(columns), [_Record(number, row) for number, row in enumerate(rows, 1)]


_READERS = {".jsonl": _read_json_lines, ".ndjson": _read_json_lines, ".json": _read_json}


# What a row says


def _with_labels(records: list[_Record], one_hot: OneHot) -> list[_Record]:
    """The records with a value that lists the one-hot columns that are 1."""
    found = []
    for record in records:
        labels = one_hot.labels(record.values)
        said = labels[0] if one_hot.exclusive and labels else labels
        found.append(dataclasses.replace(record, values={**record.values, ONE_HOT: said}))
    return found


def _splitting(records: list[_Record], roles: dict[str, str], notes: list[str]) -> Splitting:
    """How the labels of a cell are separated; told in `notes` where it is not by the usual sign."""
    cells = [record.values.get(roles["labels"]) for record in records] if "labels" in roles else []
    split, told = splitting(cell for cell in cells if isinstance(cell, str))
    notes.extend([told] if told else [])
    return split


def _require_known_splits(path: Path, records: list[_Record], roles: dict[str, str]) -> None:
    """Raise RequestError if more than a few rows have an unknown split: their images would be unused, and the split of
    the others another one than the table's."""
    if "split" not in roles:
        return
    words = [str(record.values.get(roles["split"]) or "").strip() for record in records if not record.problem]
    wrong = [word for word in words if word and not part_named(word)]
    if len(wrong) > MISTYPED * len(words) and any(map(part_named, words)):
        raise unknown(f"split in the manifest {str(path)!r} ({len(wrong):,} rows):", wrong[0][:60], SPLITS)


def _row(record: _Record, roles: dict[str, str], root: Path, split: Splitting) -> _Row:
    """The row, checked. Raises _BadRowError."""
    if record.problem:
        raise _BadRowError(record.problem)
    values = {role: record.values.get(column) for role, column in roles.items()}
    said = _said(values, split)
    part = _text(values.get("split"), "split")
    if part and not part_named(part):
        raise _BadRowError(str(unknown("split", part[:60], SPLITS)))
    weight = 1.0 if values.get("weight") in (None, "") else _number(values["weight"], "weight")
    if weight <= 0:
        raise _BadRowError(f"the weight {weight:g} is not above 0")
    if not 1 / HEAVIEST <= weight <= HEAVIEST:
        raise _BadRowError(f"the weight {weight:g} is not within {1 / HEAVIEST:g} to {HEAVIEST:g}")
    group = _text(values.get("group"), "group")
    return _Row(record.line, _key(values["path"], root), said, part_named(part), group, weight)


def _said(values: dict[str, Any], split: Splitting) -> Stated:
    if "label" in values:
        label = _text(values["label"], "label")
        if not label or is_missing(label):
            raise _NoLabelError(f"no label ({label} stands for a missing value)" if label else "no label")
        return label
    if "number" in values:
        number = _number(values["number"], "number")
        if abs(number) > LARGEST:
            raise _BadRowError(f"the number {number:g} exceeds {LARGEST:g}; give it in a larger unit")
        return number
    if "caption" in values:
        try:
            return said_captions(values["caption"])
        except ValueError as error:
            raise _NoLabelError(str(error)) from error
    given = values["labels"]
    if given in (None, ""):
        return ()
    if isinstance(given, str) and is_missing(given.strip()):
        raise _NoLabelError(f"no labels ({given.strip()} stands for a missing value)")
    listed = given if isinstance(given, list) else split(_text(given, "labels"))
    labels = [_text(one, "label").strip() for one in listed]
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
    """The image's path below the manifest's folder, or the folder images beside it, or from the top.

    Raises _BadRowError, _MissingFileError.
    """
    if not _text(value, "path"):
        raise _BadRowError("no path")
    spelled = str(value)
    # As it stands, without blanks around it, and as Windows would have written it.
    reason = ""
    spellings = dict.fromkeys((spelled, spelled.strip(), spelled.strip().replace("\\", "/")))
    for spelling in (*spellings, *(f"{FOLDER}/{one}" for one in spellings)):
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


def _joined(rows: list[_Row], aside: list[Oddity], notes: list[str]) -> list[_Row]:
    """One row for each image, with the captions of all its rows; a caption that an image has twice counts once."""
    same: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        same[row.key].append(row)
    kept, repeated = [], 0
    for key, several in same.items():
        if len({(row.part, row.group, row.weight) for row in several}) > 1:
            lines = ", ".join(str(row.line) for row in several[:5])
            aside.append(Oddity(key, "bad-row", f"lines {lines} contradict each other in split, group or weight"))
            continue
        captions = [caption for row in several if isinstance(row.said, tuple) for caption in row.said]
        distinct = tuple(dict.fromkeys(captions))
        repeated += len(captions) - len(distinct)
        kept.append(dataclasses.replace(several[0], said=distinct))
    if repeated:
        notes.append(f"{repeated} captions repeat another one of their image, and are ignored")
    return kept


def _task(path: Path, task: type[Task], column: str, names: tuple[str, ...]) -> Task:
    if not task.wording.names_listed:
        written, _, name = column.partition(":")
        return task((name.strip() or written.strip(),))
    if not names:
        raise RequestError(f"the manifest {str(path)!r} gives no image a label")
    return task(names)


def _names(said: Stated) -> tuple[str, ...]:
    """The names that a row states; none for a number."""
    if isinstance(said, tuple):
        return said
    return (said,) if isinstance(said, str) else ()


def _target(place: dict[str, int], said: Stated) -> Target:
    """The target of a row, with names as indices; a number is unchanged."""
    if isinstance(said, tuple):
        return tuple(sorted({place[name] for name in said}))
    return place[said] if isinstance(said, str) else said
