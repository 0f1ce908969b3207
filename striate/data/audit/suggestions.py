"""What the audit suggests to do: one set of decisions for each group of copies, and one for each single image.

Of a group one image is kept, so that after all suggestions no duplicate, near-duplicate, contradiction or leak is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.data.audit.audit import Audit, equal_groups
from striate.data.audit.decisions import Row
from striate.data.audit.findings import Usable
from striate.data.audit.likeness import LIMIT, near_groups
from striate.tasks import Target, Task

_DROPPED = ("blank", "tiny", "odd-format")  # suggested to be dropped, after a check
_PARTS = {"test": 2, "val": 1}  # held-out images are kept, so that figures stay comparable


@dataclass(frozen=True)
class Suggestion:
    """decision: "keep", "drop" or "relabel"; "keep" for the image of a group that stays as it is. to: the new label.

    safe: whether it can do no harm: the same bytes, of the same class and part, stay. why: the reason, in words.
    """

    decision: str
    to: str = ""
    safe: bool = False
    why: str = ""

    def __str__(self) -> str:
        return f"{self.decision} {self.to}".strip()


def suggestions(found: Audit, better: Mapping[str, str] | None = None) -> dict[str, Suggestion]:
    """The suggestion for each image that has one, by path.

    better: the label that models give an image whose own label is probably wrong, as `Task.written`. It decides where
    copies have contradicting labels and neither has a majority.
    """
    better = better or {}
    finding_of = {path: one.kind for one in found.findings if one.kind in _DROPPED for path in one.paths}
    made = {path: Suggestion("drop", why=f"{kind}: check it") for path, kind in finding_of.items()}
    left = list(range(len(found.usable)))
    groups = found.twins()
    while groups:
        for group in groups:
            made |= _of_group(found.task, [found.usable[place] for place in group], finding_of, better)
        dropped = {path for path, one in made.items() if one.decision == "drop"}
        left = [place for place in left if found.usable[place].item.key not in dropped]
        groups = _alike([found.usable[place] for place in left], left)
    for path, label in better.items():
        if label and (path not in made or made[path].decision == "keep"):
            made[path] = Suggestion("relabel", label, why="models that were not trained on it predict this")
    return made


def decision_rows(found: Audit, suggested: Mapping[str, Suggestion]) -> list[Row]:
    """The decisions file: a row for each suggestion, in the order of the findings; only safe ones are decided."""
    kinds: dict[str, dict[str, None]] = {}
    for finding in found.findings:
        for path in finding.paths:
            kinds.setdefault(path, {})[finding.kind] = None
    rows = []
    for path in dict.fromkeys([*kinds, *suggested]):
        one = suggested.get(path)
        if one is not None:
            decision, to = (one.decision, one.to) if one.safe else ("keep", "")
            rows.append(Row(path, decision, to, ", ".join(kinds.get(path, ())), str(one), one.why))
    return rows


def _alike(usable: Sequence[Usable], places: Sequence[int]) -> list[list[int]]:
    """Groups among the images that are left: what a folder has in common changes when copies leave it."""
    equal = [group for group in equal_groups(usable) if len(group) > 1]
    near = near_groups([entry.record.print for entry in usable]) if len(usable) <= LIMIT else []
    joined = {place for group in near for place in group}
    return [[places[n] for n in group] for group in [*near, *(g for g in equal if g[0] not in joined)]]


def _of_group(
    task: Task, group: Sequence[Usable], finding_of: Mapping[str, str], better: Mapping[str, str]
) -> dict[str, Suggestion]:
    """Keep the best of a group, with the label of the majority, and drop the others."""
    target = _majority(task, group, better)
    if target is None:
        why = "copies of one image with contradicting labels, none of which has a majority"
        return {entry.item.key: Suggestion("drop", why=why) for entry in group}
    to = task.written(target)
    able = [entry for entry in group if to or entry.item.target == target]  # "no label" cannot be written
    best = max(able, key=lambda entry: _worth(entry, target, finding_of))
    key = best.item.key
    made = {}
    if key in finding_of:
        made[key] = Suggestion("drop", why=f"{finding_of[key]}, as its copies are")
    elif best.item.target != target:
        made[key] = Suggestion("relabel", to, why=f"the label of most of its {len(group) - 1} copies")
    else:
        made[key] = Suggestion("keep", why=_reason(best, group, target))
    stays = made[key].decision == "keep"
    alike = _harmless(group, best) if stays else set()
    for entry in group:
        if entry is not best:
            made[entry.item.key] = Suggestion("drop", "", entry.item.key in alike, f"a copy of {key}")
    return made


def _majority(task: Task, group: Sequence[Usable], better: Mapping[str, str]) -> Target | None:
    """The target of more than half of the images; else of those whose label models do not doubt; None for neither."""
    for doubted in (False, True):
        voters = [entry for entry in group if not doubted or entry.item.key not in better]
        counts = Counter(entry.item.target for entry in voters)
        if counts and (first := counts.most_common(1)[0])[1] * 2 > len(voters):
            return first[0]
    return None


def _worth(entry: Usable, target: Target, finding_of: Mapping[str, str]) -> tuple[bool, int, bool, int, bool]:
    """What makes an image the one to keep; of equal ones the first."""
    return (
        entry.item.key not in finding_of,
        _PARTS.get(entry.item.part, 0),
        entry.item.target == target,
        entry.record.width * entry.record.height,
        entry.record.format not in ("JPEG", "MPO"),
    )


def _reason(best: Usable, group: Sequence[Usable], target: Target) -> str:
    others = [entry for entry in group if entry is not best]
    pixels = best.record.width * best.record.height
    if best.item.part in _PARTS and any(entry.item.part not in _PARTS for entry in others):
        return "held out: figures stay comparable"
    if any(entry.item.target != target for entry in others):
        return "has the label of the majority"
    if any(entry.record.width * entry.record.height < pixels for entry in others):
        return "the largest of its copies"
    return "the first of its copies"


def _harmless(group: Sequence[Usable], best: Usable) -> set[str]:
    """Images whose bytes, class and part stay with another image."""
    harmless: set[str] = set()
    for places in equal_groups(group):
        same = [group[place] for place in places]
        if len({(entry.item.target, entry.item.part) for entry in same}) == 1:
            kept = best if best in same else same[0]
            harmless |= {entry.item.key for entry in same if entry is not kept}
    return harmless
