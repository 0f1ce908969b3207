"""Where results may go: never over what was read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from striate.data.opening import Data, path_of
from striate.data.sources.base import Source
from striate.errors import RequestError


def require_apart(out: Path, data: Data, source: Source) -> None:
    """Raise RequestError where writing `out` would replace the data: their file, or one of their images."""
    given = path_of(data)
    root: Path | None = getattr(source, "root", given.parent if given else None)
    same_name = (root / item.key for item in source.items if root and item.key.rpartition("/")[2] == out.name)
    if any(_same(out, file) for file in (*([given] if given else []), *same_name)):
        raise RequestError(f"{str(out)!r} is what would be read, and is not written over; name another file")


def require_outside(out: Path, folders: Iterable[Path]) -> None:
    """Raise RequestError where `out` is a file that one of these folders already holds."""
    for folder in folders:
        if out.exists() and _same(out.parent, folder):
            raise RequestError(f"{str(out)!r} belongs to the run {str(folder)!r}, and is not written over")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # not there, or a name that no file can have
        return False
