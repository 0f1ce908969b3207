"""Files: the cache folder, atomic writes, content hashes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from striate.errors import RequestError, WorkError
from striate.reading import CACHE, open_file, other_kind, read_file

# Bytes of a name and of a path on Linux, less what the caches put below.
_LONGEST_NAME, _LONGEST_PATH = 255, 4096 - 160
# Folders in which nothing is an ordinary file, whatever standard output is redirected to.
_SYSTEM = tuple(map(Path, ("/dev", "/proc", "/sys")))
_MOST_LINKS = 40  # that lead to each other; Linux follows as many


def cache_root() -> Path:
    """The folder of all caches: `STRIATE_CACHE`, else the platform's default. Not created here.

    Raises RequestError where there is no home folder, and for a path that no file could be in.
    """
    try:
        folder = _cache_folder()
    except RuntimeError as error:  # as for a process of no user, in a container
        raise RequestError(
            "there is no home folder for the cache: set STRIATE_CACHE to a folder that can be written"
        ) from error
    longest = max(len(os.fsencode(part)) for part in (*folder.parts, ""))
    if longest > _LONGEST_NAME or len(os.fsencode(folder.absolute())) > _LONGEST_PATH:
        raise RequestError(f"the path of the cache is too long, {str(folder)[:60]!r}...: set STRIATE_CACHE to another")
    return folder


def _cache_folder() -> Path:
    chosen = os.environ.get("STRIATE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        chosen = os.environ.get("LOCALAPPDATA")
        return (Path(chosen) if chosen else Path.home() / "AppData" / "Local") / "striate" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "striate"
    chosen = os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "striate"


def state_root() -> Path:
    """The folder of what a user's programs keep from one start to the next. Not created here.

    Raises OSError where there is no home folder.
    """
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error
    if sys.platform == "win32":
        chosen = os.environ.get("LOCALAPPDATA")
        return (Path(chosen) if chosen else home / "AppData" / "Local") / "striate" / "state"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "striate"
    chosen = os.environ.get("XDG_STATE_HOME")
    return (Path(chosen) if chosen else home / ".local" / "state") / "striate"


def package_folder(package: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def write_atomically(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let `fill` write to a temporary file next to `path`, sync it, then rename it: the old file or the new, never
    half.

    All results and caches are written through this function. Of a link, the target is written.
    Raises RequestError for a device, pipe, socket or folder; WorkError, with the path, if the disk is full or the
    folder cannot be written. No temporary file remains.
    """
    temporary = None
    _require_name(path)
    try:
        target = written(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; results get the default permissions of new files.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
        temporary = None
    except OSError as error:
        raise WorkError(f"could not write {str(path)!r}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def written(path: Path) -> Path:
    """The path that a file of this name is written to: of a link the target, which need not exist.

    Raises RequestError for what is no file and must not be replaced by one: a device, pipe, socket or folder. Raises
    OSError if the path cannot be examined.
    """
    target = path
    for _ in range(_MOST_LINKS):
        _require_ordinary_place(target, path)
        if not target.is_symlink():
            break
        target = target.parent / target.readlink()
    try:
        kind = other_kind(target.stat().st_mode)
    except FileNotFoundError:
        return target
    if kind:
        raise RequestError(f"{str(path)!r} is {kind}, and is not replaced; name a file")
    return target


def _require_ordinary_place(target: Path, path: Path) -> None:
    """A rename over /dev/stdout would cut standard output off from the file that it is redirected to."""
    folder = Path(os.path.realpath(target.parent))
    system = any(folder.is_relative_to(one) for one in _SYSTEM) and not folder.is_relative_to("/dev/shm")
    if system:
        raise RequestError(f"{str(path)!r} is a device or belongs to the system, and is not replaced; name a file")


def _require_name(path: Path) -> None:
    if "\0" in str(path):
        raise WorkError(f"could not write {str(path)!r}: not a valid file name")


def publish(part: Path, path: Path) -> None:
    """Rename a finished temporary file to `path`: sync it, rename it, and sync the folder. Raises OSError."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """`write_atomically` for content already in memory."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, content: str) -> None:
    """`write_atomically` for text, UTF-8. A file name that is not valid text keeps its bytes."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON text that every parser reads: null for NaN and the infinities, which JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_checksum(content: bytes) -> bytes:
    """Content for a cache, after a line with its checksum."""
    return sha256_of(content).encode() + b"\n" + content


def without_checksum(stored: bytes) -> memoryview | None:
    """The inverse of `with_checksum`, not a copy; None for damaged content, which must be computed again."""
    checksum, newline, _ = stored[:80].partition(b"\n")
    content = memoryview(stored)[len(checksum) + 1 :]
    return content if newline and checksum == sha256_of(content).encode() else None


def read_checked(path: Path) -> memoryview | None:
    """The content that `write_checked` wrote; None if it is missing or damaged."""
    try:
        return without_checksum(read_file(path, CACHE))
    except OSError:
        return None


def write_checked(path: Path, content: bytes) -> None:
    """`write_bytes` for a cache, with a checksum that detects damage."""
    write_bytes(path, with_checksum(content))


def write_checked_parts(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """`write_checked` for content in parts, which are not joined in memory."""
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)

    def fill(file: BinaryIO) -> None:
        file.write(checksum.hexdigest().encode() + b"\n")
        for part in parts:
            file.write(part)

    write_atomically(path, fill)


def sha256_of(content: bytes | memoryview) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open_file(path, None) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fill_folder_atomically(folder: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write files into a temporary folder, then rename it to `folder`: all of it appears, or nothing.

    If another process made the folder meanwhile, that one remains. Raises WorkError if the disk cannot be written.
    """
    _require_name(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent, ignore_cleanup_errors=True) as temporary:
            inside = Path(temporary) / "filled"
            inside.mkdir()
            fill(inside)
            try:
                inside.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    except OSError as error:
        raise WorkError(f"could not write {str(folder)!r}: {error.strerror or error}") from error


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether this process has the file's lock; within the block no other one gets it. Where there are no locks: True.

    The lock ends with the process; the empty file stays. Raises WorkError if the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield True
        return
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "ab")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise WorkError(f"cannot write {str(lock)!r}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
