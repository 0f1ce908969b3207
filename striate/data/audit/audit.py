"""The audit: what the data contain, and what was set aside or converted, and why. Nothing is dropped silently."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.data.audit.findings import NOTHING, converted_findings, few, kept_findings, set_aside_findings
from striate.data.audit.findings import Finding as Finding
from striate.data.audit.findings import Usable as Usable
from striate.data.audit.likeness import LIMIT, near_groups
from striate.data.audit.memory import Record
from striate.data.sources.base import Item, Oddity, Source
from striate.errors import RequestError, WorkError, printable
from striate.progress import Progress
from striate.storage import cache_root, read_checked, sha256_of, write_checked
from striate.tasks import Task

_MANY = 5_000  # thumbnails: from here on the comparison shows progress, and its result is cached


@dataclass
class Audit:
    """The result. usable: items in order. findings: most serious first. near: groups of indices of near-duplicates."""

    task: Task
    usable: list[Usable]
    set_aside: list[Oddity]
    findings: list[Finding] = field(default_factory=list)
    near: list[list[int]] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels; for regression, the name of the target."""
        return self.task.names

    def counts(self) -> dict[str, dict[str, int]]:
        """Usable images by class and part; a part that the data does not give is called "all"."""
        table: dict[str, Counter[str]] = {name: Counter() for name in self.classes}
        for entry in self.usable:
            for place in self.task.indices(entry.item.target):
                table[self.classes[place]][entry.item.part or "all"] += 1
        return {name: dict(counter) for name, counter in table.items()}

    def balance(self) -> str:
        """The class balance of the training images, or the distribution of regression targets, in one line."""
        if not self.usable:
            return "There is no usable image."
        if not self.task.wording.names_listed:
            return self.task.distribution([entry.item.target for entry in self.usable])
        shares = {name: sum(parts.get(p, 0) for p in ("train", "all")) for name, parts in self.counts().items()}
        fewest, low = min((count, name) for name, count in shares.items())
        largest, high = max((count, name) for name, count in shares.items())
        if fewest == largest:
            return f"Balance: {largest:,} training images in each."
        times = f" ({largest / fewest:.1f} times as many)" if 0 < fewest <= largest / 1.2 else ""
        range_ = f"from {fewest:,} ({printable(low)}) to {largest:,} ({printable(high)})"
        return f"Balance: {range_} training images{times}."

    def twins(self) -> list[list[int]]:
        """Groups of indices in `usable` of duplicates and near-duplicates, in order."""
        joined = {place for group in self.near for place in group}  # duplicates are part of a near-duplicate group
        equal = [group for group in equal_groups(self.usable) if len(group) > 1 and group[0] not in joined]
        return sorted([*self.near, *equal])

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values; the content of `audit.json`."""
        return {
            "images": len(self.usable),
            "classes": self.counts(),
            "set_aside": [{"path": o.path, "kind": o.kind, "why": o.why} for o in self.set_aside],
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def last_line(self) -> str:
        """What was set aside, in one line for the end of the output."""
        return set_aside_line(self.set_aside)


def set_aside_line(oddities: Sequence[Oddity]) -> str:
    """How many of each kind were set aside, with a few paths, in one line."""
    if not oddities:
        return "Nothing was set aside."
    kinds = Counter(oddity.kind for oddity in oddities)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    what = {oddity.why for oddity in oddities if oddity.kind == "not-read"}
    named = f": {what.pop()}" if len(what) == 1 and len(kinds) == 1 else ""
    return f"Set aside: {listed} ({few([oddity.path for oddity in oddities])}){named}."


def audit(
    source: Source,
    looked: Iterable[tuple[Item, Record]],
    *,
    trained_only: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """The audit of the records of a pass; with `trained_only`, classes without a training image are set aside.

    Raises nothing: for an unusable source `usable` is empty.
    """
    pairs = list(looked)
    aside = list(source.oddities)
    aside += [Oddity(item.key, record.problem, record.why) for item, record in pairs if record.problem]
    usable = [Usable(item, record) for item, record in pairs if not record.problem]
    task = source.task
    if task.one_class:
        task, usable = _with_learnable_classes(task, usable, aside, trained_only)
    equal = equal_groups(usable)
    near = _near(source, usable, progress or Progress())
    told = getattr(source, "remarks", NOTHING)
    groups = [group for group in equal if len(group) > 1]
    kept = kept_findings(task, usable, groups, near or [], near is not None, told)
    return Audit(task, usable, aside, set_aside_findings(aside) + kept + converted_findings(usable), near or [])


def equal_groups(usable: Sequence[Usable]) -> list[list[int]]:
    """The indices of each distinct image, by its bytes, in order."""
    same: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(usable):
        same[entry.record.digest].append(place)
    return list(same.values())


def _near(source: Source, usable: Sequence[Usable], progress: Progress) -> list[list[int]] | None:
    """Groups of indices of near-duplicates, including duplicates; None for more images than can be compared."""
    distinct = [places for places in equal_groups(usable) if usable[places[0]].record.print]
    if len(distinct) > LIMIT:
        return None
    prints = [usable[places[0]].record.print for places in distinct]
    groups = near_groups(prints) if len(prints) < _MANY else _cached_groups(source, prints, progress)
    return sorted(sorted(place for member in group for place in distinct[member]) for group in groups)


def _cached_groups(source: Source, prints: Sequence[bytes], progress: Progress) -> list[list[int]]:
    """`near_groups`, cached on disk until one of the thumbnails changes."""
    name = sha256_of(f"near 2|{source.identity}".encode("utf-8", "surrogateescape"))
    path, state = cache_root() / "audit" / f"{name[:32]}.json", sha256_of(b"".join(prints))
    content = read_checked(path)
    if content is not None and (kept := json.loads(bytes(content)))["of"] == state:
        groups: list[list[int]] = kept["groups"]
        return groups
    with progress.bar("Comparing the images", 2 * len(prints)) as bar:
        groups = near_groups(prints, bar.advance)
    with contextlib.suppress(WorkError):  # the cache of records has failed as well, and that is reported
        write_checked(path, json.dumps({"of": state, "groups": groups}).encode())
    return groups


def _with_learnable_classes(
    task: Task, usable: list[Usable], aside: list[Oddity], trained_only: bool
) -> tuple[Task, list[Usable]]:
    """The task and images without the classes that have no training image; those images are listed in `aside`."""
    trained = {e.item.target for e in usable if not trained_only or e.item.part in ("", "train")}
    for entry in usable:
        if entry.item.target not in trained:
            name = task.text(entry.item.target)
            aside.append(Oddity(entry.item.key, "unseen-class", f"class {name!r} has no training image"))
    kept = sorted(trained)
    if len(kept) == len(task.names):
        return task, usable
    place = {target: index for index, target in enumerate(kept)}
    usable = [
        Usable(dataclasses.replace(e.item, target=task.reindexed(e.item.target, place)), e.record)
        for e in usable
        if e.item.target in trained
    ]
    return task.with_names(tuple(task.names[target] for target in kept) or task.names), usable


def require_learnable(result: Audit, name: str) -> None:
    """Raise RequestError unless there are two classes with training images."""
    if not result.usable:
        raise RequestError(f"no usable image in {name!r}: {result.last_line()}")
    if result.task.one_class and len(result.classes) < 2:
        raise RequestError(
            f"{name!r} has one class, {result.classes[0]!r}; a classifier needs at least two. {result.last_line()}"
        )
