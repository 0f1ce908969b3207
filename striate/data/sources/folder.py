"""A folder of class folders as a source: flat, or under train/, val/ and test/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources.base import JUNK, PART_NAMES, SUFFIXES, Item, Oddity
from striate.data.sources.files import FileSource
from striate.errors import RequestError
from striate.tasks import Classification


@dataclass
class _Walk:
    """The state of a folder walk. Keys are paths below `root`, with forward slashes."""

    root: Path
    files: list[tuple[str, str, str]] = field(default_factory=list)  # key, class, part
    oddities: list[Oddity] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def aside(self, key: str, kind: str, why: str) -> None:
        self.oddities.append(Oddity(key, kind, why))

    def entries(self, folder: str, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        """The folder's entries in order, each with its key, hidden and junk ones set aside."""
        for entry in _listed(folder):
            key = prefix + entry.name
            if entry.name.startswith("."):
                self.aside(key, "hidden", "hidden name")
            elif entry.name.lower() in JUNK:
                self.aside(key, "junk", "left by an operating system or a tool")
            else:
                yield entry, key

    def class_folders(self, folder: str, prefix: str, part: str) -> None:
        for entry, key in self.entries(folder, prefix):
            if _is_folder(entry):
                before = len(self.files)
                self.class_folder(entry.path, key + "/", entry.name, part)
                if len(self.files) == before:
                    self.aside(key, "empty-class", "class folder without an image")
                elif entry.name not in self.classes:
                    self.classes.append(entry.name)
            elif _has_suffix(entry.name):
                self.aside(key, "no-class", "image is next to the class folders, not in one")
            else:
                self.aside(key, "other-file", "not an image file")

    def class_folder(self, folder: str, prefix: str, name: str, part: str) -> None:
        """All image files below a class folder, however deep."""
        for entry, key in self.entries(folder, prefix):
            if entry.is_dir(follow_symlinks=False):  # a link below a class folder could be cyclic
                self.class_folder(entry.path, key + "/", name, part)
            elif not _is_file(entry) and Path(entry.path).exists():  # a pipe would be waited for
                self.aside(key, "other-file", "not a file")
            elif _has_suffix(entry.name) or _looks_like_image(entry.path):
                self.files.append((key, name, part))
            else:
                self.aside(key, "other-file", "not an image file")


def _listed(folder: str) -> list[os.DirEntry[str]]:
    """A folder's entries by name; with their kinds, without a stat call for each."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _has_suffix(name: str) -> bool:
    stem, dot, ending = name.rpartition(".")
    return bool(stem) and dot + ending.lower() in SUFFIXES


def _looks_like_image(path: str) -> bool:
    """Whether a file without an image's extension starts like one (a photograph named .txt, or without extension)."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
    return head.startswith(starts) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def open_folder(root: Path, name: str = "") -> FileSource:
    """A folder as a source. Raises RequestError if it has no class folder with images."""
    walk = _Walk(root)
    try:
        folders = [entry.name for entry in _listed(str(root)) if _is_folder(entry) and not entry.name.startswith(".")]
        parts = {folder: PART_NAMES[folder.lower()] for folder in folders if folder.lower() in PART_NAMES}
        # A class may be called "test": the layout with parts needs a train/ next to another part.
        if len(set(parts.values())) >= 2 and "train" in parts.values():
            for entry, key in walk.entries(str(root), ""):
                if key in parts:
                    walk.class_folders(entry.path, key + "/", parts[key])
                else:
                    walk.aside(key, "other-file" if _is_file(entry) else "no-part", "is next to train/ and val/")
        else:
            walk.class_folders(str(root), "", "")
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not walk.files:
        aside = f" ({len(walk.oddities)} entries set aside, e.g. {walk.oddities[0].path!r})" if walk.oddities else ""
        raise RequestError(
            f"no images in {str(root)!r}{aside}; a folder needs one subfolder per class, with images in it"
        )
    classes = tuple(sorted(walk.classes))
    place = {class_name: index for index, class_name in enumerate(classes)}
    items = tuple(Item(key, place[class_name], part) for key, class_name, part in walk.files)
    return FileSource(
        root, name or root.resolve().name, str(root.resolve()), Classification(classes), items, tuple(walk.oddities)
    )


def open_images(root: Path) -> FileSource:
    """All images below a folder, of one class named after it. Raises RequestError when there are none."""
    walk = _Walk(root)
    try:
        walk.class_folder(str(root), "", root.resolve().name, "")
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not walk.files:
        raise RequestError(f"no images in the folder {str(root)!r}")
    name = root.resolve().name
    items = tuple(Item(key, 0) for key, _, _ in walk.files)
    return FileSource(root, name, f"{root.resolve()}|images", Classification((name,)), items, tuple(walk.oddities))
