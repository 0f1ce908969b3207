"""The findings of an audit: their kinds, policies and thresholds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.likeness import LIMIT
from striate.data.audit.memory import Record
from striate.data.sources.base import SUFFIXES, Item, Oddity
from striate.errors import printable
from striate.pixels import POLICIES
from striate.tasks import Task

SET_ASIDE = {
    "unreadable": "could not be read from disk",
    "empty": "zero bytes",
    "truncated": "the file is incomplete",
    "damaged": "the content is corrupt",
    "not-an-image": "named like an image, but has other content",
    "not-read": "an image of a kind that is not read",
    "bomb": "decoding it would take more memory or time than any photograph needs",
    "hidden": "hidden files and folders are not classes",
    "junk": "left by an operating system or a tool",
    "other-file": "not an image file",
    "no-class": "an image outside the class folders has no class",
    "no-part": "is next to train/ and val/",
    "empty-class": "a class needs at least one image",
    "unseen-class": "a class without training images cannot be trained on",
    "missing-file": "in the manifest, but the file does not exist",
    "no-mask": "an image without a mask of its name",
    "no-image": "a mask or boxes without an image of their name",
    "bad-mask": "the mask cannot be used",
    "no-boxes": "an image of which no annotation says what is in it",
    "bad-boxes": "the boxes cannot be used",
    "no-label": "the table gives it no label, or a word that stands for a missing one (nan, N/A, NULL)",
    "bad-row": "the row of the manifest is invalid",
    "dropped": "dropped by a decisions file",
}
_EXPLAINED = {"not-read", "not-an-image", "bomb", "bad-mask", "bad-boxes"}  # what these files are says what to do
KEPT = {
    "contradiction": "the same bytes under different {targets}: one of them must be wrong",
    "near-contradiction": "nearly the same picture under different {targets}: one of them must be wrong",
    "leak": "the same bytes in training and held-out images: evaluated with and without them",
    "near-leak": "nearly the same picture in training and held-out images: evaluated with and without them",
    "duplicate": "the same bytes more than once; kept on one side of an automatic split",
    "near-duplicate": "nearly the same picture more than once: saved again, resized, cropped, turned or mirrored; "
    "kept on one side of an automatic split",
    "not-compared": f"near-duplicates are searched among at most {LIMIT:,} images; these are too many",
    "mistyped": "the extension names another format; the content is used",
    "odd-format": "one of very few files of this format here: a placeholder or a drawing?",
    "blank": "hardly any contrast",
    "tiny": "far smaller than the other images: a thumbnail or an icon?",
    "huge": "far larger than the other images: slow to read, and perhaps a scan or a poster",
    "odd-aspect": "extreme aspect ratio: a strip or a banner?",
    "empty-mask": "nothing but background or void: an image without objects, or a mask that was not drawn?",
    "no-object": "an image without objects: trained on as background",
    "degenerate-box": "boxes with a side of less than a pixel; left out",
    "outside-box": "boxes outside of their image; left out",
    "cut-box": "boxes that reach beyond their image; cut to it",
    "double-box": "the same box of the same class twice; one is used",
    "imbalance": "at most a fifth as many training images as the largest class has",
    "tiny-class": "a single image: trained on, never evaluated on",
}

# The basis of these thresholds: of the 1,997 good photographs of hymenoptera, imagenet_samples, coil20_att none has a
# standard deviation below 15 grey levels (of CIFAR-10-JPEG's, 7.5); against its folder's median side none is smaller
# than 1/4.5 or larger than 5.2 times; the longest is 3.4 times as long as wide, 2.6 times its folder's median aspect.
_BLANK = 4.0  # grey levels of standard deviation
_TIMES_SMALLER, _TINY = 5.0, 64  # than the median side, and with a shorter side of fewer pixels than this
_TIMES_LARGER = 8.0
_TIMES_LONGER, _STRIP = 3.0, 4.0  # in aspect than the median one, and at least this aspect
_DEVIATIONS = 6.0  # for a folder of many sizes: robust standard deviations of the logarithm
_ENOUGH = 20  # images: with fewer, no outlier can be identified
_IMBALANCE = 5  # times as many images in the largest class

Keys = tuple[str, ...]
Remarked = tuple[str, str]  # a path, and a short remark on it
NOTHING: Mapping[str, Sequence[Remarked]] = MappingProxyType({})


@dataclass(frozen=True)
class Finding:
    """A finding of the audit. action: "set aside", "kept" or "converted". explanation: the policy.

    paths: of images or files; for "imbalance" names of classes. remarks: a short remark on each path, or empty.
    groups: paths that belong together, such as duplicates; else empty.
    """

    kind: str
    action: str
    explanation: str
    paths: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """The paths with their remarks, for display."""
        pairs = zip(self.paths, self.remarks or ("",) * len(self.paths), strict=True)
        return tuple(f"{path} ({remark})" if remark else path for path, remark in pairs)

    def line(self) -> str:
        """The finding in one line."""
        shown = [" = ".join(group[:3]) + (" = ..." if len(group) > 3 else "") for group in self.groups] or self.listed
        count = f"{len(self.paths)} {self.kind}" if self.paths else self.kind
        return f"{count}, {self.action} ({self.explanation})" + (f": {few(shown)}" if shown else "")

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found = {"kind": self.kind, "count": len(self.paths), "action": self.action, "policy": self.explanation}
        more = {"remarks": self.remarks, "groups": [list(group) for group in self.groups]}
        return {**found, "paths": list(self.paths), **{name: list(value) for name, value in more.items() if value}}


@dataclass(frozen=True, slots=True)
class Usable:
    """An image that can be trained on."""

    item: Item
    record: Record


def few(paths: Sequence[str], limit: int = 2) -> str:
    """The first paths, on one line, escaped."""
    shown = ", ".join(printable(path) for path in paths[:limit])
    return shown + (f" and {len(paths) - limit} more" if len(paths) > limit else "")


def set_aside_findings(aside: Sequence[Oddity]) -> list[Finding]:
    """One finding for each kind of what was set aside; where the kind says little, with the reasons of its files."""
    groups: dict[str, list[Oddity]] = defaultdict(list)
    for oddity in aside:
        groups[oddity.kind].append(oddity)
    return [
        Finding(kind, "set aside", _reasons(kind, found), tuple(oddity.path for oddity in found))
        for kind, found in groups.items()
    ]


def _reasons(kind: str, found: Sequence[Oddity]) -> str:
    if kind not in _EXPLAINED:
        return SET_ASIDE[kind]
    reasons = Counter(oddity.why for oddity in found)
    shown = "; ".join(why for why, _ in reasons.most_common(2))
    return shown + (f"; and {len(reasons) - 2} more reasons" if len(reasons) > 2 else "")


def converted_findings(usable: Sequence[Usable]) -> list[Finding]:
    """One finding for each conversion that decoding made."""
    groups: dict[str, list[str]] = defaultdict(list)
    for entry in usable:
        for note in entry.record.notes:
            groups[note].append(entry.item.key)
    return [Finding(kind, "converted", POLICIES[kind], tuple(groups[kind])) for kind in POLICIES if kind in groups]


def kept_findings(
    task: Task,
    usable: Sequence[Usable],
    equal: Sequence[Sequence[int]],
    near: Sequence[Sequence[int]],
    compared: bool,
    told: Mapping[str, Sequence[Remarked]] = NOTHING,
) -> list[Finding]:
    """Findings on images that are kept, the most serious first.

    equal, near: indices in `usable` of duplicates, and of near-duplicates. compared: whether the latter were searched.
    told: remarks that the source itself has, by the kind of their finding.
    """
    here = {entry.item.key for entry in usable}
    groups: dict[str, list[Keys]] = defaultdict(list)
    for members in equal:
        for kind in ["duplicate", *_conflicts(task, [usable[place].item for place in members])]:
            groups[kind].append(tuple(usable[place].item.key for place in members))
    for members in near:
        for kind in _conflicts(task, [usable[place].item for place in members], near=True) or ["duplicate"]:
            groups[f"near-{kind}"].append(tuple(usable[place].item.key for place in members))
    single: dict[str, list[Remarked]] = {
        "mistyped": [
            (e.item.key, f"contains {e.record.format}") for e in usable if _mistyped(e.item.key, e.record.format)
        ],
        "odd-format": _odd_formats(usable),
        "blank": [(entry.item.key, "") for entry in usable if entry.record.spread < _BLANK],
        **_outliers(usable),
        **(_class_sizes(task, usable) if task.wording.names_listed else {}),
        "empty-mask": _empty_masks(task, usable) if task.masks else [],
        "no-object": [(e.item.key, "") for e in usable if task.boxes and not task.indices(e.item.target)],
        **{kind: [one for one in some if one[0] in here] for kind, some in told.items()},
    }
    findings = []
    for kind, why in KEPT.items():
        together, alone = tuple(groups.get(kind, ())), single.get(kind, [])
        paths = tuple(path for group in together for path in group) or tuple(path for path, _ in alone)
        remarks = tuple(remark for _, remark in alone)
        if paths or (kind == "not-compared" and not compared):
            policy = why.format(targets=task.wording.many)
            findings.append(Finding(kind, "kept", policy, paths, remarks if any(remarks) else (), together))
    return findings


def _conflicts(task: Task, items: Sequence[Item], *, near: bool = False) -> list[str]:
    """Conflicts among duplicates: contradicting targets, or leakage between parts.

    near: near-duplicates: in a cropped or mirrored picture the same objects have other boxes.
    """
    targets, parts = [item.target for item in items], {item.part for item in items}
    differ = len(set(map(task.text, targets))) > 1 if near and task.boxes else task.contradictory(targets)
    found = ["contradiction"] if differ else []
    return found + (["leak"] if "train" in parts and parts & {"val", "test"} else [])


def _mistyped(key: str, form: str) -> bool:
    if form == "array":
        return False
    named = SUFFIXES.get("." + key.rpartition(".")[2].lower(), "?")
    return named != form and not (named == "JPEG" and form == "MPO")  # cameras write MPO into .jpg


def _odd_formats(usable: Sequence[Usable]) -> list[Remarked]:
    """Files of a rare format: at most 3 of them, and under 1 % of the images."""
    counts = Counter(entry.record.format for entry in usable)
    rare = {form for form, count in counts.items() if count <= 3 and count * 100 < len(usable)}
    return [(entry.item.key, entry.record.format) for entry in usable if entry.record.format in rare]


def _outliers(usable: Sequence[Usable]) -> dict[str, list[Remarked]]:
    """Outliers in size or aspect ratio among the images, each with its size."""
    if len(usable) < _ENOUGH:
        return {}
    sizes = np.array([(entry.record.width, entry.record.height) for entry in usable], np.float64)
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    side, aspect = _apart(np.sqrt(shorter * longer)), _apart(longer / shorter)
    marked = {
        "tiny": (side < -_edge(side, _TIMES_SMALLER)) & (shorter < _TINY),
        "huge": side > _edge(side, _TIMES_LARGER),
        "odd-aspect": (aspect > _edge(aspect, _TIMES_LONGER)) & (longer >= _STRIP * shorter),
    }
    return {
        kind: [(usable[n].item.key, f"{int(sizes[n, 0])} x {int(sizes[n, 1])}") for n in np.flatnonzero(mask).tolist()]
        for kind, mask in marked.items()
    }


def _apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance of each value from the median, in logarithms."""
    logs = np.log(values)
    return np.asarray(logs - np.median(logs))


def _edge(apart: NDArray[np.float64], times: float) -> float:
    """The distance from which on a value is an outlier: `times` the median, or more if the values vary widely."""
    return max(float(np.log(times)), _DEVIATIONS * 1.4826 * float(np.median(np.abs(apart))))


def _empty_masks(task: Task, usable: Iterable[Usable]) -> list[Remarked]:
    """Images whose mask has no class, or only the first where that is the background."""
    nothing = {(): "void only"} | ({(0,): "background only"} if task.names[0] == "background" else {})
    return [(entry.item.key, nothing[entry.item.target]) for entry in usable if entry.item.target in nothing]


def _class_sizes(task: Task, usable: Iterable[Usable]) -> dict[str, list[Remarked]]:
    """Classes, or labels, with few training images compared with the others, and the images of those with only one."""
    keys: dict[int, list[str]] = defaultdict(list)
    for entry in usable:
        if entry.item.part in ("", "train"):
            for place in task.indices(entry.item.target):
                keys[place].append(entry.item.key)
    largest = max(map(len, keys.values()), default=0)
    few_of = [place for place in sorted(keys) if len(keys[place]) * _IMBALANCE <= largest]
    return {
        "imbalance": [(task.names[place], f"{len(keys[place]):,} of {largest:,}") for place in few_of],
        "tiny-class": [(found[0], "") for found in keys.values() if len(found) == 1],
    }
