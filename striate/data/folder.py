"""A folder of class folders as a source: flat, or under train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources import JUNK, PARTS, SUFFIXES, Item, Oddity
from striate.errors import RequestError
from striate.pixels import Decoded, decode, peek
from striate.task import Task


@dataclass(frozen=True)
class FolderSource:
    """A folder of class folders, flat or under train/, val/ and test/."""

    root: Path
    name: str
    identity: str
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]

    def read(self, item: Item) -> bytes:
        """The file's bytes."""
        return (self.root / item.key).read_bytes()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """Decode an image file."""
        return decode(content, at_least=at_least)

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """Read the file's header."""
        return peek(self.root / item.key)


@dataclass
class _Walk:
    """What walking a folder has found so far."""

    root: Path
    files: list[tuple[str, str, str]] = field(default_factory=list)  # key, class, part
    oddities: list[Oddity] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def aside(self, path: Path, kind: str, why: str) -> None:
        self.oddities.append(Oddity(path.relative_to(self.root).as_posix(), kind, why))

    def entries(self, folder: Path) -> Iterator[Path]:
        """The folder's entries in order, hidden and junk ones set aside."""
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                self.aside(entry, "hidden", "hidden name")
            elif entry.name.lower() in JUNK:
                self.aside(entry, "junk", "left by an operating system or a tool")
            else:
                yield entry

    def class_folders(self, folder: Path, part: str) -> None:
        for entry in self.entries(folder):
            if entry.is_dir():
                before = len(self.files)
                self.class_folder(entry, entry.name, part)
                if len(self.files) == before:
                    self.aside(entry, "empty-class", "class folder without an image")
                elif entry.name not in self.classes:
                    self.classes.append(entry.name)
            elif entry.suffix.lower() in SUFFIXES:
                self.aside(entry, "no-class", "image lies beside the class folders, not in one")
            else:
                self.aside(entry, "other-file", "not an image file")

    def class_folder(self, folder: Path, name: str, part: str) -> None:
        """All image files below a class folder, however deep."""
        for entry in self.entries(folder):
            if entry.is_dir() and not entry.is_symlink():  # a link below a class folder could lead round in a circle
                self.class_folder(entry, name, part)
            elif entry.exists() and not entry.is_file():  # a pipe would be waited for
                self.aside(entry, "other-file", "not a file")
            elif entry.suffix.lower() in SUFFIXES or _looks_like_image(entry):
                self.files.append((entry.relative_to(self.root).as_posix(), name, part))
            else:
                self.aside(entry, "other-file", "not an image file")


def _looks_like_image(path: Path) -> bool:
    """Whether a file without an image's ending begins like one (a photograph named .txt, or without an ending)."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
    return head.startswith(starts) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def open_folder(root: Path, name: str = "") -> FolderSource:
    """A folder as a source. Raises RequestError when it holds no class folder with images."""
    walk = _Walk(root)
    try:
        folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        parts = {entry: PARTS[entry.name.lower()] for entry in folders if entry.name.lower() in PARTS}
        # A class may be called "test": the layout with parts is meant only where a train/ stands beside another part.
        if len(set(parts.values())) >= 2 and "train" in parts.values():
            for entry in walk.entries(root):
                if entry in parts:
                    walk.class_folders(entry, parts[entry])
                else:
                    walk.aside(entry, "other-file" if entry.is_file() else "no-part", "lies beside train/ and val/")
        else:
            walk.class_folders(root, "")
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not walk.files:
        aside = f" ({len(walk.oddities)} entries set aside, e.g. {walk.oddities[0].path!r})" if walk.oddities else ""
        raise RequestError(
            f"no images in {str(root)!r}{aside}; a folder needs one sub-folder per class, with images in it"
        )
    classes = tuple(sorted(walk.classes))
    items = tuple(Item(key, classes.index(class_name), part) for key, class_name, part in walk.files)
    return FolderSource(
        root, name or root.resolve().name, str(root.resolve()), Task("class", classes), items, tuple(walk.oddities)
    )
