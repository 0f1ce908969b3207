"""Output files: inputs are never overwritten, and pictures are written as PNG."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from striate.errors import RequestError
from striate.pixels import Images
from striate.reading import given_path
from striate.storage import write_atomically, written

if TYPE_CHECKING:
    from striate.data.opening import Data
    from striate.data.sources.base import Source


def require_apart(out: Path, data: Data, source: Source) -> None:
    """Raise RequestError if writing `out` would overwrite the data: their file, or one of their images; or a device."""
    from striate.data.opening import path_of

    require_file(out)
    given = path_of(data)
    root: Path | None = getattr(source, "root", given.parent if given else None)
    same_name = (root / item.key for item in source.items if root and item.key.rpartition("/")[2] == out.name)
    if any(same_file(out, file) for file in (*([given] if given else []), *same_name)):
        raise RequestError(f"{str(out)!r} is the input, and is not overwritten; give another file")


def require_outside(out: Path, folders: Iterable[Path]) -> None:
    """Raise RequestError if `out` is an existing file of one of these folders, or a device."""
    require_file(out)
    for folder in folders:
        if out.exists() and same_file(out.parent, folder):
            raise RequestError(f"{str(out)!r} belongs to the run {str(folder)!r}, and is not overwritten")


def require_file(out: Path) -> None:
    """Raise RequestError, before any work, if `out` is a device, pipe, socket or folder, which is not replaced."""
    with contextlib.suppress(OSError):  # of the folder, which is told when the file is written
        written(given_path(out, "the output"))


def write_png(path: Path, picture: Images) -> None:
    """Write a picture, uint8 [H, W, 3] or [H, W], in one piece."""
    write_atomically(path, lambda file: Image.fromarray(picture).save(file, "PNG"))


def same_file(one: Path, other: Path) -> bool:
    """Whether both exist and are the same file."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # missing, or an invalid file name
        return False
