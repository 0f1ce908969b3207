"""Image files as a source, from a folder or a manifest."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from striate.data.sources.base import Item, Oddity, file_stamp
from striate.pixels import Decoded, decode, peek
from striate.tasks import Task


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises OSError, also for a pipe, a socket or a device, whatever its name: opened, it could be waited for forever.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder has an error of its own
        raise OSError("it is a pipe, a socket or a device, not a file")
    return path.read_bytes()


@dataclass(frozen=True)
class FileSource:
    """Image files below `root`, or anywhere by absolute keys.

    notes: lines for the user. reading: lines on how the data were read, to be told first.
    """

    root: Path
    name: str
    identity: str
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()

    def read(self, item: Item) -> bytes:
        """The file's bytes."""
        return read_file(self.root / item.key)

    def stamp(self, item: Item) -> str:
        """Size and times of the file: equal while it is unchanged. "" if that is uncertain."""
        return file_stamp(self.root / item.key)

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """Decode an image file."""
        return decode(content, at_least=at_least)

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Read the file's header; None for what is no file, or no image."""
        path = self.root / item.key
        return peek(path) if path.is_file() else None
