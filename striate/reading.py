"""Reading files that were made elsewhere: regular files only, of a limited size, without ever waiting.

A test allows no other way to read a file, with a short list of exceptions.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from striate.errors import RequestError

# The most bytes that are read, by kind of file.
TEXT = 2**22  # what people write: a recipe, class names
TABLE = 2**29  # a table of images: about ten million rows
LOG = 2**28  # a run's log: a line for each epoch and each result
IMAGE = 600_000_000  # an image file: the most pixels that are decoded, in three bytes each
WEIGHTS = 2**32  # a file of weights
CACHE = 2**36  # of the cache, with a checksum that shows that it is ours

_CHUNK = 2**20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Opening a pipe would otherwise wait for its writer, and a terminal would become this process's.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def open_file(path: Path, limit: int | None) -> BufferedReader:
    """Open a regular file of at most `limit` bytes (None: of any size) for reading; it never waits.

    Raises OSError, with the reason as its `strerror`, for a folder, pipe, socket or device, and for a larger file.
    """
    try:
        _require_regular(path.stat().st_mode, path)  # first, because opening a device may already do something
        handle = os.open(path, _FLAGS)
    except ValueError as error:  # a NUL
        raise OSError(errno.EINVAL, "not a valid file name", os.fspath(path)) from error
    try:
        found = os.fstat(handle)
        _require_regular(found.st_mode, path)
        if limit is not None and found.st_size > limit:
            raise _too_large(path, f"{found.st_size:,} bytes", limit)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises OSError as `open_file` does."""
    with open_file(path, limit) as file:
        parts = [file.read(os.fstat(file.fileno()).st_size)]
        # It may have grown, and files of /proc have no size.
        while sum(map(len, parts)) <= limit and (more := file.read(_CHUNK)):
            parts.append(more)
    if sum(map(len, parts)) > limit:
        raise _too_large(path, f"more than {limit:,} bytes", limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_given(path: Path, what: str, limit: int) -> bytes:
    """`read_file` for a file that the user named. Raises RequestError, in which `what` says what it was taken for."""
    try:
        return read_file(path, limit)
    except OSError as error:
        raise RequestError(f"cannot read {what} {str(path)!r}: {error.strerror or error}") from error


def given_path(path: str | os.PathLike[str], what: str) -> Path:
    """A path that the user gave, which need not exist. Raises RequestError for one that no file can have."""
    try:
        os.lstat(path)
    except ValueError:  # a NUL
        raise RequestError(f"{what} {os.fspath(path)!r} is not a valid file name") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise RequestError(f"{what} {os.fspath(path)[:60]!r}... is too long for a file name") from None
    return Path(path)


def other_kind(mode: int) -> str:
    """What a path of this `st_mode` is instead of a regular file, such as "a device"; "" for a regular file."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def _require_regular(mode: int, path: Path) -> None:
    if kind := other_kind(mode):
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))


def _too_large(path: Path, size: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it has {size}; at most {limit:,} are read", os.fspath(path))
