"""Image files as a source, from a folder or a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources.base import Item, Oddity, file_stamp
from striate.pixels import Decoded, decode, peek
from striate.reading import IMAGE, read_file
from striate.tasks import Task


@dataclass(frozen=True)
class FileSource:
    """Image files below `root`, or anywhere by absolute keys.

    notes: lines for the user. reading: lines on how the data were read, to be told first. remarks: findings on single
    images by kind, such as on their boxes: (key of the image, remark) each.
    """

    root: Path
    name: str
    identity: str
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    remarks: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict, hash=False)

    def read(self, item: Item) -> bytes:
        """The file's bytes. Raises OSError."""
        return read_file(self.root / item.key, IMAGE)

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
