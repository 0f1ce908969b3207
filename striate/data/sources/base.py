"""The interface of a source of labelled images: it lists items and reads their bytes.

Entries that are not an image with a target are listed in `oddities`, so that nothing is silently dropped.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from striate.data.sources.parts import PARTS as PARTS
from striate.pixels import Decoded
from striate.tasks import Target, Task

IN_MEMORY = "memory:"  # prefix of the identity of data given from Python, which end with the process
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"), ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"), ".webp": "WEBP", ".avif": "AVIF",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"), ".mpo": "MPO", ".tga": "TGA", ".ico": "ICO",
    ".jp2": "JPEG2000", **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    # Photographs that are not read: listed so that they are named for what they are, and not passed over.
    ".jxl": "JPEG XL",
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"), "raw"),
}  # fmt: skip
TICK = 2_000_000_000  # nanoseconds: the coarsest clock of a file system in use, FAT's
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "__pycache__", "lost+found"}


@dataclass(frozen=True)
class Item:
    """One image. key: its path in the source, with forward slashes. target: of the task's type.

    part: "train", "val" or "test" if the data have a split, or "". group: images of one group, such as one patient's,
    stay on one side of a split; "" is no group. weight: the sample weight in training.
    """

    key: str
    target: Target
    part: str = ""
    group: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Oddity:
    """An entry that is set aside. kind: the kind of its finding."""

    path: str
    kind: str
    why: str


@runtime_checkable
class Source(Protocol):
    """Labelled images: the protocol of a custom source, which `train` and the other functions accept as data.

    A frozen dataclass is enough; no base class is needed. `items` must be cheap; `read` is called from several threads.
    A source of image files uses `striate.pixels.decode` for `decode`. Four more are optional: `stamp(item) -> str`, a
    file's state ("" for unknown), to skip unchanged files; `notes`, lines for the user; `record_of(content)`, the
    record of the content without decoding; `remarks`, what the audit is to say of images, by the kind of finding.
    """

    @property
    def name(self) -> str:
        """The display name."""
        ...

    @property
    def identity(self) -> str:
        """The cache key: the location, not the content."""
        ...

    @property
    def task(self) -> Task:
        """The task, which defines the targets."""
        ...

    @property
    def items(self) -> tuple[Item, ...]:
        """The images."""
        ...

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What was set aside before any image was read."""
        ...

    def read(self, item: Item) -> bytes:
        """The item's bytes; equal bytes are the same image. Raises OSError."""
        ...

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """As `striate.pixels.decode`, for bytes of this source."""
        ...

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Width, height and channels from the header, without decoding; None if it cannot be read."""
        ...


def with_items(
    source: Source, items: Iterable[Item], oddities: Iterable[Oddity] = (), task: Task | None = None
) -> Source:
    """The same source with other items, such as fewer ones or in other parts; `oddities` are added to those it has.

    `task`: the new task, if the targets change too.
    """
    fields: dict[str, Any] = {
        "items": tuple(items), "oddities": (*source.oddities, *oddities), "task": task or source.task,
    }  # fmt: skip
    if dataclasses.is_dataclass(source) and fields.keys() <= {item.name for item in dataclasses.fields(source)}:
        return cast(Source, dataclasses.replace(cast(Any, source), **fields))
    return _Changed(source, **fields)


@dataclass(frozen=True)
class _Changed:
    """A source that is not a dataclass, with other items."""

    source: Source
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]
    task: Task

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def identity(self) -> str:
        """The source's."""
        return self.source.identity

    def read(self, item: Item) -> bytes:
        """As the source reads it."""
        return self.source.read(item)

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """As the source decodes it."""
        return self.source.decode(content, at_least)

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """As the source peeks at it."""
        return self.source.peek(item)

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the source, such as `stamp` or `notes`."""
        return getattr(object.__getattribute__(self, "source"), name)


def notes_of(source: Source) -> tuple[str, ...]:
    """Lines for the user about a source, such as unused columns."""
    return tuple(getattr(source, "notes", ()))


def reading_of(source: Source) -> tuple[str, ...]:
    """Lines for the user on how the data were read, such as which folders are parts: told before anything is done."""
    return tuple(getattr(source, "reading", ()))


def file_stamp(path: Path) -> str:
    """Size, times of change and inode of a file, as text; "" where it is missing or was written in the last moments.

    A file that was just written may be written again within the same tick of the file system's clock, unnoticed
    (Git's "racy" index entries): such a file has no stamp yet.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # missing, or an invalid file name
        return ""
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < TICK:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
