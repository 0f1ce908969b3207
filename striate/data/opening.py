"""From what a user names to a source."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.arrays import open_npz
from striate.data.folder import open_folder
from striate.data.named import NAMED, open_named
from striate.data.pack import SUFFIX as PACK
from striate.data.pack import open_pack
from striate.data.sources import Source
from striate.errors import RequestError, nearest


def open_source(data: str | os.PathLike[str]) -> Source:
    """The source behind a path or a named set. Raises RequestError saying what would be accepted."""
    path = Path(data)
    if not os.fspath(data):
        raise RequestError(f"no data was named; give a folder, an .npz file or a named set ({', '.join(NAMED)})")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise RequestError(f"cannot read {str(data)!r}: {error.strerror or error}") from error
    if is_folder:
        return open_folder(path)
    if is_file and path.suffix.lower() == ".npz":
        return open_npz(path)
    if is_file and path.suffix.lower() == PACK:
        return open_pack(path)
    if str(data) in NAMED:
        return open_named(str(data))
    if path.exists():
        raise RequestError(f"{str(data)!r} is neither a folder of class folders, nor an .npz file, nor a .pack file")
    near = nearest(str(data), NAMED)
    hint = f"did you mean the named set {near[0]!r}?" if near else f"named sets: {', '.join(NAMED)}"
    raise RequestError(f"no folder or file {str(data)!r}; {hint}")
