"""The data sets of a studio: folders that were made here or lie below the root, and sets that come with packages.

Each has a folder of the studio's own, `.studio/data/N`, with its name and path, its audits and its decisions. The
pictures of a set are known to pages by number, never by path.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from striate.data.opening import open_source
from striate.data.sources.base import TICK, Item, Source
from striate.data.sources.named import PACKAGED
from striate.errors import RequestError, shown
from striate.studio import names
from striate.studio.decisions import Journal
from striate.studio.files import read_json, write_json
from striate.web.refusals import Refused

DEPTH = 3  # levels of folders whose times tell whether a set has changed: parts, classes, folders in them


@dataclass(frozen=True, eq=False)
class Listed:
    """A set as it was opened. items: by the number of their picture. word: of this list, part of every address."""

    source: Source
    items: Mapping[int, Item]
    numbers: Mapping[str, int]
    word: str

    def number(self, key: str) -> int | None:
        """The number of an image; None if it is not there."""
        return self.numbers.get(key)

    def item(self, word: str, number: int) -> Item:
        """The image of a number. Raises Refused for a number of another list, or of none."""
        if word != self.word:
            raise Refused(409, "the studio was started anew: load the page again")
        found = self.items.get(number)
        if found is None:
            raise Refused(404, f"there is no picture {number}")
        return found


@dataclass(eq=False)
class DataSet:
    """One data set. number: in addresses. path: a folder, or the name of a set of a package. folder: the studio's own.

    made: whether the studio made the folder, so that images can be added. inside: tells whether it may be opened: a
    link may have taken its place.
    """

    number: int
    name: str
    path: str
    folder: Path
    made: bool
    inside: Callable[[], bool] = lambda: True
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "decisions.jsonl")
        self._word, self._numbers = secrets.token_hex(4), dict[str, int]()
        self._lock = threading.Lock()
        self._opened: Listed | None = None
        self._stamp: tuple[str, ...] = ()

    def listed(self) -> Listed:
        """The set, opened; again if its folders have changed. Raises RequestError if it cannot be opened."""
        self.require_inside()
        with self._lock:
            stamp = _stamp(Path(self.path)) if Path(self.path).is_absolute() else ("",)
            if self._opened is None or stamp is None or stamp != self._stamp:
                source = open_source(self.path)
                for item in source.items:
                    self._numbers.setdefault(item.key, len(self._numbers))
                items = {self._numbers[item.key]: item for item in source.items}
                self._opened = Listed(source, items, {item.key: number for number, item in items.items()}, self._word)
                self._stamp = stamp or ()
            return self._opened

    def require_inside(self) -> None:
        """Raise RequestError for a set that is not where this studio may open folders."""
        if not self.inside():
            raise RequestError(f"{shown(self.path, 200)} is not below the root that this studio was started with")

    @property
    def home(self) -> Path:
        """The folder of a set that was made here."""
        return Path(self.path)

    @property
    def command(self) -> str:
        """The path or name, for the command line."""
        return self.path

    @property
    def quoted(self) -> str:
        """As `command`, for a line that people paste into a shell: a folder's name may be anything."""
        return shlex.quote(self.path)

    @property
    def decisions_file(self) -> Path:
        """The compacted decisions, as `striate train --decisions` reads them."""
        return self.folder / "decisions.csv"

    def facts(self) -> dict[str, Any]:
        """Name, path, and what the set holds, for the API; `error` instead of that if it cannot be opened."""
        told: dict[str, Any] = {"number": self.number, "name": self.name, "path": self.path, "made": self.made}
        try:
            listed = self.listed()
        except RequestError as error:
            return told | {"images": 0, "classes": [], "error": str(error)}
        return told | {"images": len(listed.items), "classes": list(listed.source.task.names)}


def _stamp(path: Path) -> tuple[str, ...] | None:
    """The times of the folders of a set; None if one was changed a moment ago, and may change unnoticed again."""
    found, folders = [], [(path, 0)]
    now = time.time_ns()
    while folders:
        folder, depth = folders.pop()
        try:
            changed = folder.stat().st_mtime_ns
            found.append(f"{folder}:{changed}")
            if now - changed < TICK:
                return None
            if depth < DEPTH:
                with os.scandir(folder) as entries:
                    folders += [(Path(one), depth + 1) for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            found.append(f"{folder}:")
    return tuple(sorted(found))


class DataSets:
    """All data sets. home: where `data/` and `.studio/` are. root: below which folders may be opened."""

    def __init__(self, home: Path, root: Path) -> None:
        self.home, self.root = home, root
        self._own, self._lock = home / ".studio" / "data", threading.Lock()
        self._known: dict[int, DataSet] = {}
        self._own.mkdir(parents=True, exist_ok=True)
        for left in (home / "data").glob("**/.*.part"):  # uploads that were cut off by the end of the server
            left.unlink(missing_ok=True)

    def all(self) -> list[DataSet]:
        """Every data set, by number."""
        with self._lock:
            for folder in self._own.iterdir():
                if folder.name.isdecimal() and int(folder.name) not in self._known:
                    self._read(folder)
            return [self._known[number] for number in sorted(self._known)]

    def get(self, number: int) -> DataSet:
        """The data set of a number. Raises Refused if there is none."""
        found = self._known.get(number) or next((one for one in self.all() if one.number == number), None)
        if found is None:
            raise Refused(404, f"there is no data set {number}")
        return found

    def make(self, name: str) -> DataSet:
        """A new, empty data set in `data/`, to which images can be uploaded. Raises RequestError for no name."""
        with self._lock:
            (self.home / "data").mkdir(exist_ok=True)
            taken = {entry.name for entry in (self.home / "data").iterdir()}
            folder = self.home / "data" / names.folder_name(name, taken)
            folder.mkdir()
            return self._write(folder.name, str(folder.resolve()), made=True)

    def use(self, path: str) -> DataSet:
        """The data set of a folder below the root, or of a set of a package. Raises RequestError for another."""
        found = path if path in PACKAGED else str(names.below(self.root, path))
        for one in self.all():
            if one.path == found:
                return one
        open_source(found)  # raises RequestError for what cannot be opened
        with self._lock:
            return self._write(Path(found).name, found, made=False)

    def folders(self) -> list[str]:
        """Folders below the root that may be data, two levels deep, relative to it; at most 200."""
        found = []
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if _ordinary(folder) and folder.name not in ("runs", "data"):
                found.append(folder.name)
                with contextlib.suppress(OSError):  # one that may not be read
                    found += [f"{folder.name}/{one.name}" for one in sorted(folder.iterdir())[:20] if _ordinary(one)]
        return found[:200]

    def _read(self, folder: Path) -> None:
        told = read_json(folder / "data.json")
        name, path, made = (told.get(key) for key in ("name", "path", "made"))
        if isinstance(name, str) and isinstance(path, str):
            number, inside = int(folder.name), partial(_is_inside, path, self.root, self.home, made=made is True)
            self._known[number] = DataSet(number, name, path, folder, made is True and inside(), inside)

    def _write(self, name: str, path: str, *, made: bool) -> DataSet:
        number = max([0, *(int(one.name) for one in self._own.iterdir() if one.name.isdecimal())]) + 1
        folder = self._own / str(number)
        write_json(folder / "data.json", {"name": name, "path": path, "made": made})
        self._read(folder)
        return self._known[number]


def _is_inside(path: str, root: Path, home: Path, *, made: bool) -> bool:
    """Whether a set that `.studio/` names may be opened: that folder may be a stranger's, and the root another now."""
    try:
        if made:
            return Path(path).parent.resolve() == (home / "data").resolve() and not Path(path).is_symlink()
        below = Path(path).is_absolute() and Path(path).resolve().is_relative_to(root.resolve())
        return path in PACKAGED or below
    except (OSError, ValueError, RuntimeError):  # a NUL, links in a circle
        return False


def is_below(path: str, root: Path, home: Path) -> bool:
    """Whether data that a recipe names are of a package, or below the root or the studio's folder."""
    try:
        place = (home / path).resolve()
        return path in PACKAGED or any(place.is_relative_to(one.resolve()) for one in (root, home))
    except (OSError, ValueError, RuntimeError):  # a NUL, links in a circle
        return False


def _ordinary(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not folder.name.startswith(".")


def require_apart_from_links(source: Source, item: Item, root: Path, home: Path) -> None:
    """Raise Refused for an image whose file is, through a link, outside the root and the studio's folder."""
    folder = getattr(source, "root", None)
    if not isinstance(folder, Path):
        return
    file = (folder / item.key).resolve()
    if not any(file.is_relative_to(one.resolve()) for one in (root, home)):
        raise Refused(403, "this picture is a link that leads out of the root of this studio")
