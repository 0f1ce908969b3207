"""The audit: what is in a folder, what was set aside and why, what was converted and how. Nothing is silent."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.data.looking import Record
from striate.data.sources import SUFFIXES, Item, Oddity, Source
from striate.errors import RequestError, printable
from striate.pixels import POLICIES
from striate.task import Target, Task

_SET_ASIDE = {
    "unreadable": "could not be read from disk",
    "empty": "zero bytes",
    "truncated": "the file ends too early",
    "damaged": "the content is broken",
    "not-an-image": "named like an image, but holds something else",
    "bomb": "declares more pixels than any photograph has",
    "hidden": "hidden files and folders are no classes",
    "junk": "left by an operating system or a tool",
    "other-file": "no image file",
    "no-class": "an image outside the class folders has no class",
    "no-part": "lies beside train/ and val/",
    "empty-class": "a class needs an image",
    "unseen-class": "a class without training images cannot be learnt",
}
_KEPT = {
    "mistyped": "the ending names another format; the content decides",
    "odd-format": "one of very few files of this format here: a placeholder or a drawing?",
    "duplicate": "the same bytes more than once; kept on one side of a split that we make",
    "contradiction": "the same bytes under different classes: one label must be wrong",
    "leak": "the same bytes in training and held-out images: scored with and without them",
    "tiny-class": "a single image: learnt from, never measured",
}


@dataclass(frozen=True)
class Finding:
    """Something worth a user's look. action: "set aside", "kept" or "converted". explanation: the policy."""

    kind: str
    action: str
    explanation: str
    paths: tuple[str, ...]

    def line(self) -> str:
        """The finding in one line."""
        return f"{len(self.paths)} {self.kind}, {self.action} ({self.explanation}): {_few(self.paths)}"


@dataclass(frozen=True)
class Usable:
    """An image that can be learnt from."""

    item: Item
    record: Record


@dataclass
class Audit:
    """The result. usable: items in order. findings: most serious first."""

    task: Task
    usable: list[Usable]
    set_aside: list[Oddity]
    findings: list[Finding] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels; of a number, its name."""
        return self.task.names

    def counts(self) -> dict[str, dict[str, int]]:
        """Usable images by class and part; a part that the data does not give is called "all"."""
        table: dict[str, Counter[str]] = {name: Counter() for name in self.classes}
        for entry in self.usable:
            for place in _places(entry.item.target):
                table[self.classes[place]][entry.item.part or "all"] += 1
        return {name: dict(counter) for name, counter in table.items()}

    def twins(self) -> list[list[int]]:
        """Groups of places in `usable` that show the same: images of equal bytes."""
        same: dict[str, list[int]] = defaultdict(list)
        for place, entry in enumerate(self.usable):
            same[entry.record.digest].append(place)
        return [places for places in same.values() if len(places) > 1]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values; what `audit.json` holds."""
        return {
            "images": len(self.usable),
            "classes": self.counts(),
            "set_aside": [{"path": o.path, "kind": o.kind, "why": o.why} for o in self.set_aside],
            "findings": [
                {
                    "kind": f.kind,
                    "count": len(f.paths),
                    "action": f.action,
                    "policy": f.explanation,
                    "paths": list(f.paths),
                }
                for f in self.findings
            ],
        }

    def last_line(self) -> str:
        """What was set aside, in one line for the end of the screen."""
        if not self.set_aside:
            return "Nothing was set aside."
        kinds = Counter(oddity.kind for oddity in self.set_aside)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return f"Set aside: {listed} ({_few([oddity.path for oddity in self.set_aside])})."


def audit(source: Source, looked: Iterable[tuple[Item, Record]], *, trained_only: bool = True) -> Audit:
    """Draw the audit from what the pass found; with `trained_only`, classes without a training image are set aside.

    Raises nothing: an unusable source shows in `usable`.
    """
    pairs = list(looked)
    aside = list(source.oddities)
    aside += [Oddity(item.key, record.problem, record.why) for item, record in pairs if record.problem]
    usable = [Usable(item, record) for item, record in pairs if not record.problem]
    task = source.task
    if task.kind == "class":
        task, usable = _with_learnable_classes(task, usable, aside, trained_only)
    result = Audit(task, usable, aside)
    result.findings = _set_aside_findings(aside) + _kept_findings(result) + _converted_findings(usable)
    return result


def _with_learnable_classes(
    task: Task, usable: list[Usable], aside: list[Oddity], trained_only: bool
) -> tuple[Task, list[Usable]]:
    """The task and images without the classes that no training image shows; those images are told of in `aside`."""
    trained = {_class_of(e.item) for e in usable if not trained_only or e.item.part in ("", "train")}
    for entry in usable:
        if entry.item.target not in trained:
            name = task.names[_class_of(entry.item)]
            aside.append(Oddity(entry.item.key, "unseen-class", f"class {name!r} has no training image"))
    kept = sorted(trained)
    place = {target: index for index, target in enumerate(kept)}
    usable = [
        Usable(dataclasses.replace(e.item, target=place[_class_of(e.item)]), e.record)
        for e in usable
        if e.item.target in trained
    ]
    return Task("class", tuple(task.names[target] for target in kept) or task.names), usable


def _class_of(item: Item) -> int:
    assert isinstance(item.target, int)  # a task of one class has such targets
    return item.target


def _places(target: Target) -> tuple[int, ...]:
    """Places among the task's names that a target counts for."""
    if isinstance(target, tuple):
        return target
    return (target,) if isinstance(target, int) else (0,)


def require_learnable(result: Audit, name: str) -> None:
    """Raise RequestError unless there are two classes and something to learn from each."""
    if not result.usable:
        raise RequestError(f"no usable image in {name!r}: {result.last_line()}")
    if result.task.kind == "class" and len(result.classes) < 2:
        raise RequestError(
            f"{name!r} has one class, {result.classes[0]!r}; a classifier needs at least two. {result.last_line()}"
        )


def _set_aside_findings(aside: Sequence[Oddity]) -> list[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for oddity in aside:
        groups[oddity.kind].append(oddity.path)
    return [Finding(kind, "set aside", _SET_ASIDE[kind], tuple(paths)) for kind, paths in groups.items()]


def _kept_findings(result: Audit) -> list[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    same: dict[str, list[Item]] = defaultdict(list)
    per_class: dict[int, list[str]] = defaultdict(list)
    for entry in result.usable:
        item, record = entry.item, entry.record
        same[record.digest].append(item)
        if item.part in ("", "train"):
            for place in _places(item.target):
                per_class[place].append(item.key)
        if _mistyped(item.key, record.format):
            groups["mistyped"].append(f"{item.key} (holds {record.format})")
    for twins in same.values():
        if len(twins) > 1:
            keys = [item.key for item in twins]
            groups["duplicate"] += keys
            if len({item.target for item in twins}) > 1:
                groups["contradiction"] += keys
            if any(item.part == "train" for item in twins) and any(item.part in ("val", "test") for item in twins):
                groups["leak"] += keys
    groups["odd-format"] = _odd_formats(result.usable)
    groups["tiny-class"] = [keys[0] for keys in per_class.values() if len(keys) == 1]
    return [Finding(kind, "kept", why, tuple(groups[kind])) for kind, why in _KEPT.items() if groups.get(kind)]


def _mistyped(key: str, form: str) -> bool:
    if form == "array":
        return False
    named = SUFFIXES.get("." + key.rpartition(".")[2].lower(), "?")
    return named != form and not (named == "JPEG" and form == "MPO")  # cameras write MPO into .jpg


def _odd_formats(usable: Sequence[Usable]) -> list[str]:
    """Files whose format hardly anything else here has: at most 3 of them, and under 1 % of the images."""
    counts = Counter(entry.record.format for entry in usable)
    rare = {form for form, count in counts.items() if count <= 3 and count * 100 < len(usable)}
    return [f"{entry.item.key} ({entry.record.format})" for entry in usable if entry.record.format in rare]


def _converted_findings(usable: Sequence[Usable]) -> list[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for entry in usable:
        for note in entry.record.notes:
            groups[note].append(entry.item.key)
    return [Finding(kind, "converted", POLICIES[kind], tuple(groups[kind])) for kind in POLICIES if kind in groups]


def _few(paths: Sequence[str], limit: int = 2) -> str:
    """The first paths, on one line whatever they hold."""
    shown = ", ".join(printable(path) for path in paths[:limit])
    return shown + (f" and {len(paths) - limit} more" if len(paths) > limit else "")
