"""Checks of output paths: inputs are never overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from striate.data.opening import Data, path_of
from striate.data.sources.base import Source
from striate.errors import RequestError


def require_apart(out: Path, data: Data, source: Source) -> None:
    """Raise RequestError if writing `out` would overwrite the data: their file, or one of their images."""
    given = path_of(data)
    root: Path | None = getattr(source, "root", given.parent if given else None)
    same_name = (root / item.key for item in source.items if root and item.key.rpartition("/")[2] == out.name)
    if any(same_file(out, file) for file in (*([given] if given else []), *same_name)):
        raise RequestError(f"{str(out)!r} is the input, and is not overwritten; give another file")


def require_outside(out: Path, folders: Iterable[Path]) -> None:
    """Raise RequestError if `out` is an existing file of one of these folders."""
    for folder in folders:
        if out.exists() and same_file(out.parent, folder):
            raise RequestError(f"{str(out)!r} belongs to the run {str(folder)!r}, and is not overwritten")


def same_file(one: Path, other: Path) -> bool:
    """Whether both exist and are the same file."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # missing, or an invalid file name
        return False
