"""Which images are learnt from and which are held out. A split the user gave is never changed."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from striate.data.audit import Audit, Usable


def split(usable: Sequence[Usable], held_out: float, seed: int) -> list[str]:
    """The part of each image: "train", "val" or "test", as given, or a stratified "train" and "val" made here.

    Made here: of each class, `held_out` of the images go to "val", at least one unless equal images, which stay
    together, do not allow it; a class of a single image, and equal images under different classes, are learnt from
    only. Depends on the images' content and the seed, not on file names or order.
    """
    if any(entry.item.part for entry in usable):
        return [entry.item.part for entry in usable]
    parts = ["train"] * len(usable)
    twins: dict[str, list[int]] = defaultdict(list)
    for index, entry in enumerate(usable):
        twins[entry.record.digest].append(index)
    by_class: dict[int, list[list[int]]] = defaultdict(list)
    for digest in sorted(twins):
        labels = {usable[index].item.label for index in twins[digest]}
        # Twins under different labels would be measured wrong whatever the answer, or take a class's last image.
        if len(labels) == 1:
            by_class[labels.pop()].append(twins[digest])
    generator = np.random.default_rng(seed)
    for label in sorted(by_class):
        groups = by_class[label]
        total = sum(len(group) for group in groups)
        quota = max(1, round(held_out * total))
        # The last group always stays in training, so that no class is held out whole.
        for index in generator.permutation(len(groups))[:-1]:
            if quota >= len(groups[index]):
                quota -= len(groups[index])
                for member in groups[index]:
                    parts[member] = "val"
    return parts


def measured_part(parts: Sequence[str]) -> str:
    """The part that accuracy is reported on: "test" where there is one, else "val"; "" where nothing is held out."""
    return next((part for part in ("test", "val") if part in parts), "")


def leaked(usable: Sequence[Usable], parts: Sequence[str], measured: str) -> NDArray[np.bool_]:
    """For each image of the measured part, in order: whether the same bytes are also in training."""
    trained = {entry.record.digest for entry, part in zip(usable, parts, strict=True) if part == "train"}
    return np.array(
        [e.record.digest in trained for e, part in zip(usable, parts, strict=True) if part == measured], bool
    )


def split_csv(audit: Audit, parts: Sequence[str]) -> str:
    """The split as CSV: path, class, part, and for what was set aside the reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "part", "why"])
    for entry, part in zip(audit.usable, parts, strict=True):
        writer.writerow([entry.item.key, audit.classes[entry.item.label], part, ""])
    for oddity in audit.set_aside:
        writer.writerow([oddity.path, "", "set aside", f"{oddity.kind}: {oddity.why}"])
    return text.getvalue()
