"""What a source of labelled images is: it lists its items and reads their bytes; it decides nothing.

What could not be taken as an image with a target is kept in `oddities`, so that nothing is silently dropped.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from striate.pixels import Decoded
from striate.tasks import Target, Task

IN_MEMORY = "memory:"  # how the identity of data given from Python begins: they leave with the process
PARTS = ("train", "val", "test")
PART_NAMES = {  # what folders and manifests call the parts
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"), ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"), ".webp": "WEBP", ".avif": "AVIF",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"), ".mpo": "MPO", ".tga": "TGA", ".ico": "ICO",
    ".jp2": "JPEG2000",
}  # fmt: skip
TICK = 2_000_000_000  # nanoseconds: the coarsest clock of a file system in use, FAT's
JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "__pycache__", "lost+found"}


@dataclass(frozen=True)
class Item:
    """One image. key: its path in the source, with forward slashes. target: what is true of it, as the task has it.

    part: "train", "val" or "test" where the data say so, or "". group: images of one group, such as one patient's,
    stay on one side of a split; "" is no group. weight: how much it counts in learning.
    """

    key: str
    target: Target
    part: str = ""
    group: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Oddity:
    """Something found that is set aside. kind: the finding it is listed under."""

    path: str
    kind: str
    why: str


@runtime_checkable
class Source(Protocol):
    """Labelled images to look at: what a source of one's own offers, to be given to `train` and the others as data.

    A frozen dataclass does it; nothing need be inherited. `items` are listed at once, and cheap; `read` is called from
    several threads. A source of image files leaves `decode` to `striate.pixels.decode`. Three more are optional:
    `stamp(item) -> str`, a file's state ("" for unknown), saves reading what has not changed; `notes`, lines for the
    user; `record_of(content)`, what is known of the content without decoding.
    """

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def identity(self) -> str:
        """What caches are kept under: the place, not the content."""
        ...

    @property
    def task(self) -> Task:
        """What its targets are."""
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
        """What `striate.pixels.decode` gives, for bytes of this source."""
        ...

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Width, height and channels as the header says, without decoding; None where it cannot be read."""
        ...


def with_items(
    source: Source, items: Iterable[Item], oddities: Iterable[Oddity] = (), task: Task | None = None
) -> Source:
    """The same source with other items, such as fewer ones or in other parts; `oddities` come to those it has.

    `task`: what the items' targets are from now on, where that changes too.
    """
    fields: dict[str, Any] = {
        "items": tuple(items), "oddities": (*source.oddities, *oddities), "task": task or source.task,
    }  # fmt: skip
    if dataclasses.is_dataclass(source) and fields.keys() <= {item.name for item in dataclasses.fields(source)}:
        return cast(Source, dataclasses.replace(cast(Any, source), **fields))
    return _Changed(source, **fields)


@dataclass(frozen=True)
class _Changed:
    """A source that is no dataclass, with other items."""

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
        """What else the source offers, such as `stamp` or `notes`."""
        return getattr(object.__getattribute__(self, "source"), name)


def notes_of(source: Source) -> tuple[str, ...]:
    """What the user should be told about a source and is no image set aside, such as columns that are not used."""
    return tuple(getattr(source, "notes", ()))


def file_stamp(path: Path) -> str:
    """Size, times of change and inode of a file, as text; "" where it is missing or was written in the last moments.

    A file that was just written may be written again within the same tick of the file system's clock, unnoticed
    (Git's "racy" index entries): such a file has no stamp yet.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # not there, or a name that no file can have
        return ""
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < TICK:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
