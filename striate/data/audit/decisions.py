"""Decisions on single images: a CSV that the audit suggests, a person edits in any spreadsheet, and training applies.

Columns: path, decision (keep or nothing, drop, relabel, move), to (the correct class, labels joined by |, or number; or
the part to move to), and, for information only, found, suggested and why.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources.base import PARTS, Item, Oddity, Source, with_items
from striate.data.sources.keys import Keys
from striate.data.sources.names import readable
from striate.data.sources.rows import as_cell, from_cell, read_table
from striate.errors import RequestError, printable, unknown
from striate.storage import write_text
from striate.tasks import Target, Task

COLUMNS = ("path", "decision", "to", "found", "suggested", "why")
KINDS = ("keep", "drop", "relabel", "move")
NEW = "+"  # before the name of a class that the data do not have yet


@dataclass(frozen=True)
class Row:
    """A line of the file as the audit suggests it. found: the findings. suggested: the suggested fix, as text. why: its
    reason."""

    path: str
    decision: str = ""
    to: str = ""
    found: str = ""
    suggested: str = ""
    why: str = ""


@dataclass(frozen=True)
class Decision:
    """The decision on one image. kind: one of KINDS. to: as in the file, stripped."""

    kind: str
    to: str = ""
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    def wrong(self, what: str) -> str:
        """An error message, prefixed by the line of the decision."""
        return f"line {self.line} of the decisions {self.file!r}: {what}"


def write_decisions(path: Path, rows: Iterable[Row]) -> None:
    """Write the file. Raises WorkError if it cannot be written."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # with CRLF, as the standard for CSV has it: a name may hold either of the two
    writer.writerow(COLUMNS)
    writer.writerows(map(as_cell, (row.path, row.decision, row.to, row.found, row.suggested, row.why)) for row in rows)
    write_text(path, text.getvalue())


def read_decisions(path: Path) -> dict[str, Decision]:
    """Image -> its decision. Raises RequestError, with the line, for an invalid one."""
    table = read_table(path, "decisions", COLUMNS, errors="surrogateescape")
    if not {"path", "decision", "to"} <= set(table.columns):
        raise RequestError(
            f"{str(path)!r} is not a decisions file: its first line must be {','.join(COLUMNS)}, "
            f"not {printable(','.join(table.columns)[:100])}"
        )
    at = {name: place for place, name in enumerate(table.columns)}
    found: dict[str, Decision] = {}
    for line, fields in table.rows:
        if len(fields) != len(table.columns):
            raise RequestError(
                f"line {line} of the decisions {str(path)!r} has {len(fields)} fields, not {len(table.columns)}"
            )
        image = from_cell(fields[at["path"]])
        decision = Decision(
            fields[at["decision"]].strip().lower() or "keep",
            from_cell(readable(fields[at["to"]].strip())),
            str(path),
            line,
        )
        _check(decision, image)
        if found.setdefault(image, decision) != decision:
            earlier = found[image]
            raise RequestError(
                decision.wrong(f"{decision.kind} for {image!r} contradicts {earlier.kind} in line {earlier.line}")
                if decision.kind != earlier.kind
                else decision.wrong(f"{decision.to!r} for {image!r} contradicts {earlier.to!r} in line {earlier.line}")
            )
    return found


def _check(decision: Decision, image: str) -> None:
    """Raise RequestError for errors that can be detected without the data."""
    where = f"decision in line {decision.line} of {decision.file!r}:"
    if decision.kind not in KINDS:
        raise unknown(where, decision.kind[:60], KINDS)
    if not image:
        raise RequestError(decision.wrong("no path"))
    if decision.kind == "move" and decision.to not in PARTS:
        raise unknown(f"part in line {decision.line} of {decision.file!r}:", decision.to[:60], PARTS)
    if decision.kind in ("keep", "drop") and decision.to:
        said = f"{decision.kind} takes no `to`, but it is {decision.to[:60]!r}; write relabel or move, or empty it"
        raise RequestError(decision.wrong(said))


def apply_decisions(source: Source, decisions: Mapping[str, Decision]) -> tuple[Source, list[str]]:
    """The source with the decisions applied, and lines for the user on what was done and what was not possible.

    Dropped images are set aside. A new class is only created if its name is written with a + before it, so that a typo
    creates none. Raises RequestError, with the line, for an unknown class and for a move if the data have no parts.
    """
    decisions = _by_key(source, decisions)
    known = {item.key for item in source.items}
    active = {key: decision for key, decision in decisions.items() if key in known and decision.kind != "keep"}
    has_parts = any(item.part for item in source.items)
    names = list(source.task.names)
    items: list[Item] = []
    aside: list[Oddity] = []
    for item in source.items:
        decision = active.get(item.key)
        if decision is None:
            items.append(item)
        elif decision.kind == "drop":
            aside.append(Oddity(item.key, "dropped", f"decided in {decision.file}"))
        elif decision.kind == "move":
            if not has_parts:
                what = f"{item.key!r} cannot move to {decision.to}: the data have no parts"
                raise RequestError(decision.wrong(what))
            items.append(dataclasses.replace(item, part=decision.to))
        else:
            items.append(dataclasses.replace(item, target=_target(source.task, names, decision)))
    task, items = _with_names(source, names, items)
    return with_items(source, items, aside, task), _notes(source, decisions, active, task)


def _by_key(source: Source, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """The decisions by the keys of the source's images, however their paths are spelled. Raises RequestError."""
    keys = Keys(source)
    found: dict[str, Decision] = {}
    for path, decision in decisions.items():
        key = keys.key(path)
        if (earlier := found.setdefault(key, decision)) != decision:
            what = f"{decision.kind} for {path!r} contradicts {earlier.kind} in line {earlier.line}, the same image"
            raise RequestError(decision.wrong(what))
    return found


def _target(task: Task, names: list[str], decision: Decision) -> Target:
    """The target named by `to`; a new class is appended to `names`. Raises RequestError."""
    try:
        return task.with_names(names).parsed(decision.to, lambda name: _place(names, name, decision))
    except ValueError as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(decision.wrong(str(error))) from error


def _place(names: list[str], name: str, decision: Decision) -> int:
    if name in names:
        return names.index(name)
    new = name.removeprefix(NEW).strip()
    if name.startswith(NEW) and new:
        if new not in names:
            names.append(new)
        return names.index(new)
    wrong = unknown(f"class in line {decision.line} of {decision.file!r}:", name[:60], names)
    raise RequestError(f"{wrong} (a new class is written {NEW}{name[:60] or 'name'})")


def _with_names(source: Source, names: Sequence[str], items: Sequence[Item]) -> tuple[Task, list[Item]]:
    """The task and items with new names in alphabetical order, and without names that no image has any more."""
    if not source.task.wording.names_listed:
        return source.task, list(items)
    task = source.task
    had = {place for item in source.items for place in task.indices(item.target)}
    has = {place for item in items for place in task.indices(item.target)}
    gone = had - has
    kept = [place for place in range(len(names)) if place not in gone]
    if len(names) > len(source.task.names):
        kept.sort(key=lambda place: names[place])
    if not kept or kept == list(range(len(source.task.names))):
        return source.task, list(items)
    moved = {old: new for new, old in enumerate(kept)}
    changed = [dataclasses.replace(item, target=task.reindexed(item.target, moved)) for item in items]
    return task.with_names([names[place] for place in kept]), changed


def _notes(source: Source, decisions: Mapping[str, Decision], active: Mapping[str, Decision], task: Task) -> list[str]:
    counts = Counter(decision.kind for decision in active.values())
    words = {"drop": "dropped", "relabel": "relabelled", "move": "moved"}
    done = ", ".join(f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind])
    lines = [f"Decided: {done or 'nothing to change'}."]
    aside = {oddity.path for oddity in source.oddities}
    known = {item.key for item in source.items}
    for what, absent in (
        ("are set aside already", [key for key in decisions if key not in known and key in aside]),
        ("do not exist", [key for key in decisions if key not in known and key not in aside]),
    ):
        if absent:
            lines.append(f"{len(absent)} decided images {what}, e.g. {printable(absent[0])!r}")
    if new := sorted(set(task.names) - set(source.task.names)):
        lines.append(f"New {task.wording.many}: {', '.join(map(printable, new))}")
    if gone := sorted(set(source.task.names) - set(task.names)):
        lines.append(f"No image is left of: {', '.join(map(printable, gone))}")
    return lines
