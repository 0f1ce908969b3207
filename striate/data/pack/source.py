"""A pack: all images of a source, decoded once near the training size, in one memory-mapped file.

`striate.data.pack.writing` writes packs, `striate.data.pack.layout` defines the file layout.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from striate.data.audit.looking import Record
from striate.data.pack.layout import DIGEST, Entry, Layout, damaged, read_heading, require_target
from striate.data.sources.base import Item, Oddity
from striate.errors import RequestError
from striate.pixels import Decoded, Images, Pixels
from striate.progress import Progress
from striate.reading import open_file
from striate.tasks import Task

SUFFIX = ".pack"
_CHECKED_AT_ONCE = 2**23  # bytes


@dataclass(frozen=True, eq=False)
class PackSource:
    """A pack as a source. items: the usable images, or some of them. entries: all, as in `images`, and set-aside ones.

    pixels: what the images were made with. images: uint8 [N, H, W, C], mapped read-only from the file.
    pillow: the version that decoded them.
    """

    path: Path
    name: str
    identity: str
    task: Task
    pixels: Pixels
    pillow: str
    entries: tuple[Entry, ...]
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]
    images: Images

    @cached_property
    def places(self) -> dict[str, int]:
        """The index in `images` of each item, by its key; `items` may be fewer than were packed."""
        packed = (entry.item for entry in self.entries if not entry.record.problem)
        return {item.key: place for place, item in enumerate(packed)}

    @cached_property
    def records(self) -> dict[str, Record]:
        """The record of each usable original, by its digest."""
        return {entry.record.digest: entry.record for entry in self.entries if not entry.record.problem}

    @cached_property
    def _digests(self) -> tuple[bytes, ...]:
        return tuple(bytes.fromhex(entry.record.digest) for entry in self.entries if not entry.record.problem)

    def read(self, item: Item) -> bytes:
        """The digest of the original, then the image's pixels: equal originals read as equal bytes."""
        place = self.places[item.key]
        content: bytes = self._digests[place] + self.images[place].tobytes()
        return content

    def record_of(self, content: bytes) -> Record:
        """The record of the original: audit, duplicates and splits are those of the files that were packed."""
        return self.records[content[:DIGEST].hex()]

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """The packed pixels as an RGB image; size, format and notes are the original's."""
        _, height, width, channels = self.images.shape
        shape = (height, width) if channels == 1 else (height, width, channels)
        image = Image.fromarray(np.frombuffer(content, np.uint8, offset=DIGEST).reshape(shape))
        record = self.record_of(content)
        return Decoded(image.convert("RGB"), (record.width, record.height), record.format, record.notes)

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """The shape of the packed images, which are trained on."""
        _, height, width, channels = self.images.shape
        return width, height, channels


def open_pack(path: Path, *, check: bool = True, progress: Progress | None = None) -> PackSource:
    """Map a pack. `check` compares every image with its checksum first, which also brings the file into memory's cache.

    Raises RequestError with the file and the reason: not a pack, a newer format, damaged, truncated.
    """
    name = repr(str(path))
    try:
        with open_file(path, None) as file:
            layout = read_heading(file, os.fstat(file.fileno()).st_size, name)
            file.seek(layout.table_start)
            if hashlib.file_digest(file, "sha256").hexdigest() != layout.table_sha256:
                raise damaged(name, "its table does not match its checksum")
            file.seek(layout.table_start)
            table = file.read(layout.table_bytes)
            pixels = layout.heading.pixels
            shape = (layout.images, pixels.height, pixels.width, pixels.channels)
            images = np.memmap(file, np.uint8, "r", layout.images_start, shape)
    except OSError as error:
        raise RequestError(f"cannot read the pack {name}: {error.strerror or error}") from error
    source = _source(path, layout, table, images)
    if check:
        _check(source, progress or Progress())
    return source


def _source(path: Path, layout: Layout, table: bytes, images: Images) -> PackSource:
    """The source that the table's lines describe."""
    heading, name = layout.heading, repr(str(path))
    entries: list[Entry] = []
    oddities: list[Oddity] = []
    try:
        for line in table.splitlines():
            values = json.loads(line)
            if "aside" in values:
                oddities.append(Oddity(*map(str, values["aside"])))
            else:
                entries.append(Entry.from_values(values))
        usable = tuple(entry.item for entry in entries if not entry.record.problem)
        for item in usable:
            require_target(heading.task, item)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(name, f"its table is inconsistent ({error})") from error
    if len(usable) != len(images):
        raise damaged(name, f"it has {len(images):,} images, but its table lists {len(usable):,}")
    oddities += [Oddity(e.item.key, e.record.problem, e.record.why) for e in entries if e.record.problem]
    return PackSource(
        path,
        heading.name,
        str(path.resolve()),
        heading.task,
        heading.pixels,
        heading.pillow,
        tuple(entries),
        usable,
        tuple(oddities),
        images,
    )


def _check(source: PackSource, progress: Progress) -> None:
    """Raise RequestError with the first image whose checksum does not match."""
    rows = np.asarray(source.images).reshape(len(source.images), -1)
    crcs = [entry.crc for entry in source.entries if entry.crc is not None]
    step = max(1, _CHECKED_AT_ONCE // rows.shape[1])

    def first_wrong(start: int) -> int | None:
        places = range(start, min(start + step, len(rows)))
        return next((place for place in places if zlib.crc32(rows[place]) != crcs[place]), None)

    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        progress.bar("Checking the pack", len(rows)) as bar,
    ):
        for start, wrong in zip(
            range(0, len(rows), step), pool.map(first_wrong, range(0, len(rows), step)), strict=True
        ):
            if wrong is not None:
                pool.shutdown(cancel_futures=True)
                key = source.items[wrong].key
                raise damaged(repr(str(source.path)), f"the image of {key!r} does not match its checksum")
            bar.advance(min(step, len(rows) - start))
