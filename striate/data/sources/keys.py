"""Finding images by the paths that tables give: as spelled, as Windows or a spreadsheet writes them, or absolute."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path

from striate.data.sources.base import Source
from striate.data.sources.names import look_alike


class Keys:
    """The keys of a source's images and of what it set aside, found by other spellings of them."""

    def __init__(self, source: Source) -> None:
        self._known = {item.key for item in source.items} | {oddity.path for oddity in source.oddities}
        root = getattr(source, "root", None)
        self._root = Path(root).resolve() if isinstance(root, (str, os.PathLike)) else None
        self._alike: dict[str, str] | None = None

    def key(self, path: str) -> str:
        """The key of the image that `path` means; `path` itself if it means none."""
        for spelling in self._spellings(path):
            if spelling in self._known:
                return spelling
        if self._alike is None:
            self._alike = _unique((look_alike(key), key) for key in self._known)
        return next((self._alike[one] for one in map(look_alike, self._spellings(path)) if one in self._alike), path)

    def _spellings(self, path: str) -> Iterator[str]:
        yield path
        plain = path.strip().strip("\ufeff").replace("\\", "/")
        if self._root is not None and (plain.startswith("/") or plain[1:3] == ":/"):
            for root in (self._root.as_posix(), self._root.name):
                before, found, below = plain.partition(root + "/")
                if found and (not before or root == self._root.name):
                    yield posixpath.normpath(below)
        if plain:
            yield posixpath.normpath(plain)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Alike -> its key, without those that several keys share."""
    found: dict[str, str] = {}
    shared = set()
    for alike, key in pairs:
        if found.setdefault(alike, key) != key:
            shared.add(alike)
    return {alike: key for alike, key in found.items() if alike not in shared}
