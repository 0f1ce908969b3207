"""Compose: lines of digits from single ones, to read, and windows of such lines, to train a reader on."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.opening import Data, open_source
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.jobs.outputs import write_png
from striate.lines.composing import NONE, Style, compose_lines, training_windows
from striate.pixels import Images
from striate.progress import Progress
from striate.reading import given_path
from striate.storage import fill_folder_atomically, write_bytes, write_text

HELD_OUT = 0.2  # of the images, if the data have no parts: only lines are made of these
MOST = 100_000  # lines


@dataclass(frozen=True)
class Composed:
    """What was written to `folder`: windows.npz with `windows` images, and `lines` pictures listed in lines.csv."""

    folder: Path
    windows: int
    lines: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"out": str(self.folder), "windows": self.windows, "lines": self.lines}


def compose(
    data: Data,
    *,
    out: str | os.PathLike[str],
    lines: int = 200,
    windows_of: int = 3000,
    length: int = 5,
    style: Style | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Composed:
    """Compose lines of handwritten digits, as zip codes, from labelled images of single ones, bright on dark.

    out: a new folder, for three things. `windows.npz`, images and labels for `striate.train`: windows of 32 x 32 of
    `windows_of` lines of training images, of each digit and of the places between. `lines/`, pictures of `lines` lines
    of `length` digits that are in none of the windows. `lines.csv`, a table of their paths and texts.
    style: how the lines vary; those that windows are cut from vary more (`striate.lines.composing`).
    Raises RequestError for a folder that exists, and for images of different sizes.
    """
    progress = progress or Progress()
    folder = given_path(out, "the folder")
    if folder.exists():
        raise RequestError(f"{str(folder)!r} exists already; name a new folder")
    for name, value, least in (("lines", lines, 0), ("windows_of", windows_of, 10), ("length", length, 1)):
        if not least <= value <= MOST:
            raise RequestError(f"{name} must be from {least} to {MOST:,}, not {value}")
    source = open_source(data)
    if not source.task.one_class:
        raise RequestError(f"lines are composed of images with one class each, not of {source.task.kind}")
    if NONE in source.task.names:
        raise RequestError(f"{source.name} has a class {NONE!r}, the name of what is no digit; rename it")
    images, labels = _images(source)
    held_out = _held_out(source, seed)
    names = source.task.names
    kept, found = training_windows(images[~held_out], labels[~held_out], windows_of, none=len(names), seed=seed)
    made = compose_lines(images[held_out], labels[held_out], lines, length=length, seed=seed + 1, style=style)

    def fill(inside: Path) -> None:
        content = io.BytesIO()
        np.savez(content, images=kept, labels=np.array([*names, NONE], np.str_)[found])
        write_bytes(inside / "windows.npz", content.getvalue())
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["path", "text"])
        with progress.bar("Writing the lines", len(made)) as bar:
            for place, line in enumerate(made):
                path = f"lines/{place:0{len(str(len(made)))}d}.png"
                write_png(inside / path, line.image)
                rows.writerow([path, "".join(names[label] for label in line.labels)])
                bar.advance()
        write_text(inside / "lines.csv", table.getvalue())

    fill_folder_atomically(folder, fill)
    return Composed(folder, len(kept), len(made))


def _images(source: Source) -> tuple[Images, NDArray[np.int64]]:
    """All images in grey [N, h, w], and their labels."""
    decoded = [source.decode(source.read(item), 0).image.convert("L") for item in source.items]
    sizes = {image.size for image in decoded}
    if len(sizes) != 1:
        raise RequestError(f"{source.name} has images of {len(sizes)} sizes; lines are composed of images of one size")
    return np.stack([np.asarray(image) for image in decoded]), np.array([item.target for item in source.items])


def _held_out(source: Source, seed: int) -> NDArray[np.bool_]:
    """Which images lines are made of: those of the parts val and test, or a share drawn at random."""
    parts = np.array([item.part in ("val", "test") for item in source.items])
    if not parts.any():
        parts[np.random.default_rng(seed).permutation(len(parts))[: max(1, round(HELD_OUT * len(parts)))]] = True
    return parts
