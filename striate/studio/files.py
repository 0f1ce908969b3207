"""The studio's own small files: JSON written whole, and lines appended for good."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from striate.errors import RequestError
from striate.reading import TABLE, TEXT, open_file, read_file
from striate.storage import json_text, write_text


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file; {} if there is none."""
    try:
        found = json.loads(read_file(path, TEXT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """A file of one JSON object, old or new, never half."""
    write_text(path, json_text(dict(facts)))


def read_lines(path: Path, since: int = 0, most: int = TABLE) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of the complete lines after an offset, and the offset after them; other lines are skipped.

    Of more than `most` bytes the last ones.
    """
    content, end = read_tail(path, since, most)
    found = []
    for line in content.split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            facts = json.loads(line)
            if isinstance(facts, dict):
                found.append(facts)
    return found, end


def read_tail(path: Path, since: int, most: int) -> tuple[bytes, int]:
    """The complete lines of a file after an offset, at most the last `most` bytes, and the offset after them."""
    try:
        with open_file(path, None) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(since, size - most))
            content = file.read(most)
    except OSError:
        return b"", since
    whole = content[: content.rfind(b"\n") + 1]
    return whole, max(since, size - most) + len(whole)


def append_line(path: Path, facts: Mapping[str, Any]) -> None:
    """Append a JSON object as a line, on the disk when this returns. A torn last line is ended, and skipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end and _last_byte(file, end) != b"\n":
            file.write(b"\n")
        file.write(json_text(dict(facts)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: BinaryIO, end: int) -> bytes:
    file.seek(end - 1)
    return file.read(1)


def is_locked(path: Path) -> bool:
    """Whether another open file holds the lock of this one."""
    try:
        with open_file(path, None) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def locked_for_append(path: Path) -> BinaryIO:
    """The file, open to append and locked as long as this, or a process that inherits it, has it open.

    Raises BlockingIOError if it is locked already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab")  # noqa: SIM115  (the caller closes it)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def require_ordinary(folder: Path) -> None:
    """Raise RequestError for a link, a pipe or a device in a folder: in a stranger's folder it leads out.

    Of the studio's own files, which are read and written unasked as soon as it starts, and of a run that is resumed.
    """
    places = (Path(inner, name) for inner, folders, files in os.walk(folder) for name in (*folders, *files))
    for place in (folder, *places):
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:  # of a job that goes on
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a link" if stat.S_ISLNK(mode) else "no file"
            raise RequestError(
                f"{str(place)!r} is {kind}: Striate did not make it, and the studio writes nothing beside it; remove it"
            )
