"""The walk through a folder of images: what is an image file, what is left out, and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.sources.base import JUNK, SUFFIXES, Oddity
from striate.data.sources.names import natural
from striate.data.sources.parts import part_named
from striate.reading import open_file

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_WRAPPERS = {"images", "image", "imgs", "img", "data", "photos"}  # folders within a part that name nothing


@dataclass(frozen=True)
class Found:
    """An image file. key: its path below the root, with forward slashes. group: of images that stay together."""

    key: str
    name: str  # of its class
    part: str = ""
    group: str = ""


@dataclass
class Walk:
    """The state of a walk. Keys are paths below `root`, with forward slashes."""

    root: Path
    files: list[Found] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    links: set[str] = field(default_factory=set)  # the folders that links led to

    def aside(self, key: str, kind: str, why: str) -> None:
        """Set an entry aside."""
        self.oddities.append(Oddity(key, kind, why))

    def entries(self, folder: str, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        """The folder's entries in order, each with its key, hidden and junk ones set aside.

        Nothing, and the folder set aside, if it cannot be listed. Raises OSError if that is the root.
        """
        try:
            found = listed(folder)
        except OSError as error:
            if not prefix:
                raise
            self.aside(prefix.rstrip("/"), "unreadable", f"cannot list the folder: {error.strerror or error}")
            return
        for entry in found:
            key = prefix + entry.name
            if entry.name.startswith("."):
                self.aside(key, "hidden", "hidden name")
            elif entry.name.lower() in JUNK:
                self.aside(key, "junk", "left by an operating system or a tool")
            else:
                yield entry, key

    def class_folders(self, folder: str, prefix: str, part: str = "", group: str = "") -> None:
        """All images of the class folders in a folder."""
        for entry, key in self.entries(folder, prefix):
            if is_folder(entry):
                before, problems = len(self.files), len(self.oddities)
                if self._may_enter(entry, key):
                    self.class_folder(entry.path, key + "/", entry.name, part, group)
                told = any(one.path == key for one in self.oddities[problems:])
                if len(self.files) == before and not told:
                    self.aside(key, "empty-class", "class folder without an image")
            elif has_suffix(entry.name):
                self.aside(key, "no-class", "image is next to the class folders, not in one")
            else:
                self.aside(key, "other-file", "not an image file")

    def class_folder(self, folder: str, prefix: str, name: str, part: str = "", group: str = "") -> None:
        """All image files below a class folder, however deep."""
        for entry, key in self.entries(folder, prefix):
            if is_folder(entry):
                if self._may_enter(entry, key):
                    self.class_folder(entry.path, key + "/", name, part, group)
            elif not is_file(entry) and Path(entry.path).exists():  # a pipe would be waited for
                self.aside(key, "other-file", "not a file")
            elif has_suffix(entry.name) or _looks_like_image(entry.path):
                self.files.append(Found(key, name, part, group))
            else:
                self.aside(key, "other-file", "not an image file")

    def part_folder(self, folder: str, prefix: str, part: str) -> None:
        """The class folders of a part; those of the only folder in it, if that is named like a part (train/train)."""
        inner = _only_folder(folder)
        if inner and (part_named(inner.name) == part or inner.name.lower() in _WRAPPERS):
            within = [entry for entry in _listed_or_nothing(inner.path) if is_folder(entry)]
            if within:
                for entry, key in self.entries(folder, prefix):
                    if entry.name != inner.name:
                        self.aside(key, "other-file", "not an image file")
                return self.part_folder(inner.path, f"{prefix}{inner.name}/", part)
        return self.class_folders(folder, prefix, part)

    def _may_enter(self, entry: os.DirEntry[str], key: str) -> bool:
        """Whether a folder is to be walked: a link only if it leads outside the data, and once."""
        if not entry.is_symlink():
            return True
        target, root = os.path.realpath(entry.path), os.path.realpath(self.root)
        if target in self.links or f"{target}/".startswith(f"{root}/") or f"{root}/".startswith(f"{target}/"):
            self.aside(key, "other-file", "a link to a folder that is read anyway")
            return False
        self.links.add(target)
        return True


def listed(folder: str) -> list[os.DirEntry[str]]:
    """A folder's entries as people count (1, 2, 10); with their kinds, without a stat call for each."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: natural(entry.name))


def plain_folders(folder: str) -> list[os.DirEntry[str]]:
    """The folders in a folder that are neither hidden nor junk; none if it cannot be listed."""
    return [
        entry
        for entry in _listed_or_nothing(folder)
        if is_folder(entry) and not entry.name.startswith(".") and entry.name.lower() not in JUNK
    ]


def has_images(folder: str) -> bool:
    """Whether a folder has an image file directly in it."""
    return any(has_suffix(entry.name) and is_file(entry) for entry in _listed_or_nothing(folder))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a regular file or a link to one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def has_suffix(name: str) -> bool:
    """Whether a file is named as an image."""
    stem, dot, ending = name.rpartition(".")
    return bool(stem) and dot + ending.lower() in SUFFIXES


def _listed_or_nothing(folder: str) -> list[os.DirEntry[str]]:
    try:
        return listed(folder)
    except OSError:
        return []


def _only_folder(folder: str) -> os.DirEntry[str] | None:
    """The folder's only subfolder, if there is one and no image beside it."""
    folders = plain_folders(folder)
    return folders[0] if len(folders) == 1 and not has_images(folder) else None


def _looks_like_image(path: str) -> bool:
    """Whether a file without an image's extension starts like one (a photograph named .txt, or without extension)."""
    try:
        with open_file(Path(path), None) as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
