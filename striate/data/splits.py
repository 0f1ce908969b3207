"""Train/validation splits and cross-validation folds. A split given by the user is never changed.

Images that belong together (duplicates, near-duplicates, one group) stay on one side, or in one fold.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, Usable
from striate.data.sources.base import PARTS, Source, with_items
from striate.data.sources.keys import Keys
from striate.data.sources.rows import as_cell, from_cell, read_table
from striate.errors import RequestError, unknown
from striate.tasks import Strata, Task

COLUMNS = ["path", "class", "part", "fold", "why"]

Places = list[int]


def split(found: Audit, held_out: float, seed: int) -> list[str]:
    """The part of each usable image: "train", "val" or "test", as given, or else a stratified "train" and "val".

    Stratified: of each class (label, decile of a regression target), the fraction `held_out` goes to "val", at least
    one image unless images that belong together do not allow it. A class of a single image, and duplicates under
    different classes that are not of one group, are only trained on. Depends on the images' content and the seed, not
    on file names or order.
    """
    usable = found.usable
    if any(entry.item.part for entry in usable):
        return [entry.item.part for entry in usable]
    parts = ["train"] * len(usable)
    task = found.task
    grouping = strata_of(task, usable)
    strata, overlapping = grouping.table, grouping.overlapping
    totals = strata.sum(axis=0)
    wanted = np.where(totals > 0, np.maximum(1, np.round(held_out * totals)), 0)
    left, held = totals.copy(), np.zeros_like(totals)
    units = _shuffled(found, seed)
    if any(entry.item.group for entry in usable):
        # Groups of several classes first, so that those of one class can balance them; the sort is stable.
        units.sort(key=lambda members: -int((strata[members].sum(axis=0) > 0).sum()))
    for members in units:
        counts = strata[members].sum(axis=0)
        grouped = any(usable[place].item.group for place in members)
        # Duplicates under different labels would make any prediction wrong.
        if not grouped and task.one_class and (counts > 0).sum() > 1:
            continue
        if ((left - counts) < (counts > 0)).any():
            continue  # the last ones of a class stay in training, so that no class is held out entirely
        if grouped or overlapping:
            # Large units or those of many classes seldom fit exactly: taken if the part comes nearer to the target.
            fits = np.abs(held + counts - wanted).sum() < np.abs(held - wanted).sum()
        else:
            fits = bool((held + counts <= wanted).all())
        if fits:
            held, left = held + counts, left - counts
            for place in members:
                parts[place] = "val"
    return parts


def folds_of(found: Audit, folds: int, seed: int, places: Sequence[int] | None = None) -> NDArray[np.int64]:
    """The fold, 0 to folds - 1, of each usable image; -1 for those not among `places` (default: all).

    Stratified as in `split`. Raises RequestError if the images form fewer units than folds.
    """
    chosen = set(range(len(found.usable)) if places is None else places)
    strata = strata_of(found.task, found.usable).table.astype(np.float64)
    units = [kept for unit in _shuffled(found, seed) if (kept := [place for place in unit if place in chosen])]
    if len(units) < folds:
        raise RequestError(
            f"{folds} folds need as many images, or groups of images that belong together; there are {len(units)}"
        )
    share = strata / np.maximum(1, strata[sorted(chosen)].sum(axis=0))
    load, sizes = np.zeros((folds, strata.shape[1])), np.zeros(folds)
    result = np.full(len(found.usable), -1, np.int64)
    for unit in sorted(units, key=len, reverse=True):  # large ones while there is room; the sort is stable
        counts = share[unit].sum(axis=0)
        # The fold with the fewest images of this unit's classes; of equal ones the smallest.
        best = min(range(folds), key=lambda fold: (round(float(load[fold] @ (counts > 0)), 9), sizes[fold], fold))
        load[best] += counts
        sizes[best] += len(unit)
        result[unit] = best
    return result


def possible_folds(found: Audit, wanted: int, places: Sequence[int] | None = None) -> int:
    """`wanted`, or fewer if the images (of `places`, default: all) form fewer units that must stay together."""
    chosen = set(range(len(found.usable)) if places is None else places)
    units = units_of(found.usable, found.twins())
    return min(wanted, sum(not chosen.isdisjoint(unit) for unit in units))


def strata_of(task: Task, usable: Sequence[Usable]) -> Strata:
    """The strata of these images, whose proportions a split preserves."""
    return task.strata(task.collate(entry.item.target for entry in usable))


def _shuffled(found: Audit, seed: int) -> list[Places]:
    """The units in an order drawn from the seed; before that by content, so that names and order do not matter.

    Class by class, those of several classes last: the draw of a class does not depend on other classes.
    """
    usable = found.usable
    units = units_of(usable, found.twins())
    first = {id(unit): min(usable[place].record.digest for place in unit) for unit in units}
    buckets: dict[int, list[Places]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: first[id(unit)]):
        targets = {usable[place].item.target for place in unit} if found.task.one_class else {0}
        buckets[found.task.outputs if len(targets) > 1 else int(targets.pop())].append(unit)
    generator = np.random.default_rng(seed)
    order = ((bucket, generator.permutation(len(bucket))) for _, bucket in sorted(buckets.items()))
    return [bucket[place] for bucket, places in order for place in places]


def units_of(usable: Sequence[Usable], twins: Iterable[Sequence[int]] = (), *, groups: bool = True) -> list[Places]:
    """Places of images that stay together: equal bytes, `twins`, with `groups` one group, and whatever these join."""
    parent = list(range(len(usable)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    links: dict[tuple[str, str], Places] = defaultdict(list)
    for place, entry in enumerate(usable):
        links["same", entry.record.digest].append(place)
        if groups and entry.item.group:
            links["group", entry.item.group].append(place)
    for members in (*links.values(), *twins):
        for place in members[1:]:
            parent[root(place)] = root(members[0])
    units: dict[int, Places] = defaultdict(list)
    for place in range(len(usable)):
        units[root(place)].append(place)
    return list(units.values())


def measured_part(parts: Sequence[str]) -> str:
    """The part that is evaluated: "test" if there is one, else "val"; "" if nothing is held out."""
    return next((part for part in ("test", "val") if part in parts), "")


def leaked(found: Audit, parts: Sequence[str], measured: str) -> NDArray[np.bool_]:
    """For each image of the evaluated part, in order: whether it, or a near-duplicate of it, is also in training."""
    marked = np.zeros(len(parts), bool)
    for unit in units_of(found.usable, found.twins(), groups=False):
        if any(parts[place] == "train" for place in unit):
            marked[unit] = True
    return marked[[place for place, part in enumerate(parts) if part == measured]]


def split_csv(audit: Audit, parts: Sequence[str], folds: NDArray[np.int64] | None = None) -> str:
    """The split as CSV: path, class, part, fold, and the reason for files set aside. `apply_split` reads it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # with CRLF, the standard of CSV: a name may contain either of the two
    writer.writerow(COLUMNS)
    for place, (entry, part) in enumerate(zip(audit.usable, parts, strict=True)):
        fold = "" if folds is None or folds[place] < 0 else str(folds[place])
        writer.writerow([as_cell(entry.item.key), as_cell(audit.task.text(entry.item.target)), part, fold, ""])
    for oddity in audit.set_aside:
        writer.writerow([as_cell(oddity.path), "", "set aside", "", f"{oddity.kind}: {oddity.why}"])
    return text.getvalue()


def apply_split(source: Source, path: Path) -> tuple[Source, list[str]]:
    """The source with the parts of a saved split.csv, and lines for the user on what does not match it.

    Images that the file does not list are trained on. Raises RequestError for a file that is no split, or that lists
    none of the images.
    """
    keys = Keys(source)
    saved = {keys.key(image): part for image, part in read_split(path).items()}
    new = [item.key for item in source.items if item.key not in saved]
    if len(new) == len(source.items):
        first = next(iter(saved), "")
        raise RequestError(f"the split {str(path)!r} lists no image of {source.name!r}; its first is {first!r}")
    items = [replace(item, part=saved.get(item.key, "train")) for item in source.items]
    gone = saved.keys() - {item.key for item in source.items}
    lines = []
    if new:
        lines.append(f"{len(new)} images are not in the saved split and are trained on, e.g. {new[0]!r}")
    if gone:
        lines.append(f"{len(gone)} images of the saved split no longer exist, e.g. {min(gone)!r}")
    return with_items(source, items), lines


def read_split(path: Path) -> dict[str, str]:
    """Path -> part of a saved split. Raises RequestError, with the line, for anything else."""
    table = read_table(path, "split", COLUMNS, errors="surrogateescape")
    if not {"path", "part"} <= set(table.columns):
        raise RequestError(f"{str(path)!r} is not a split: its first line must have the columns path and part")
    saved: dict[str, str] = {}
    for line, fields in table.rows:
        row = dict(zip(table.columns, fields, strict=False))
        image, part = from_cell(row.get("path", "")), row.get("part", "").strip()
        if part == "set aside":
            continue
        if part not in PARTS:
            raise unknown(f"part in line {line} of {str(path)!r}:", part, PARTS)
        if saved.setdefault(image, part) != part:
            raise RequestError(
                f"line {line} of the split {str(path)!r} assigns {image!r} to another part than an earlier line"
            )
    return saved
