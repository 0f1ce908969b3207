"""Fetch: download the original files of a named set and check them. The only verb that downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from striate.data.sources.fetching import copy, download
from striate.data.sources.named import NAMED, open_set
from striate.data.sources.originals import ORIGINALS, Original, set_folder
from striate.data.sources.unpacking import unpack
from striate.errors import RequestError, WorkError, nearest, unknown
from striate.nets.catalog import entries
from striate.pixels import UnreadableImage
from striate.progress import Progress
from striate.reading import given_path
from striate.storage import fill_folder_atomically


@dataclass(frozen=True)
class Fetched:
    """A named set on this machine. bytes and files: of its originals. images: their number."""

    name: str
    folder: Path
    bytes: int
    files: int
    images: int

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self) | {"folder": str(self.folder)}


def fetch(name: str, *, source: str | os.PathLike[str] = "", progress: Progress | None = None) -> Fetched:
    """Fetch the named set from its publisher, or the same files from `source`: a folder, a file, or a mirror's address.

    A set that exists already is not fetched again. Raises RequestError for an unknown set or for files that are not the
    originals, WorkError if a download failed; a partial download is saved, and resumed the next time.
    """
    progress = progress or Progress()
    if name not in ORIGINALS:
        if name in NAMED:
            raise RequestError(
                f"{name!r} is part of a package and needs no download; sets to fetch: {', '.join(ORIGINALS)}"
            )
        wrong = unknown("set or network to fetch", name, [*ORIGINALS, *nearest(name, [net.name for net in entries()])])
        raise RequestError(f"{wrong} (networks' weights are fetched too: 'striate nets --weights' lists the networks)")
    folder = set_folder(name)
    with _alone(name, folder.parent / ".fetching"):
        images = _found(name, folder, progress)
        if not images:
            waiting = folder.parent / ".fetching" / name
            _bring(name, os.fspath(source), waiting, progress)
            images = _settle(name, waiting, folder)
    originals = ORIGINALS[name].files
    return Fetched(name, folder, sum(original.size for original in originals), len(originals), images)


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    """Lock the set for this process, so that no two write to one partial file. Raises WorkError if it is locked."""
    try:
        import fcntl
    except ImportError:  # Windows: there, two processes at once end in a checksum error
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The lock ends with the process; the empty file stays.
        file = open(folder / f"{name}.lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise WorkError(f"could not write {str(folder)!r}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkError(f"another 'striate fetch {name}' is running; wait for it to end") from error
        yield


def _found(name: str, folder: Path, progress: Progress) -> int:
    """The number of images of the set; 0 if it is not here, or was unreadable and is removed."""
    if not folder.is_dir():
        return 0
    try:
        images = _prove(name, folder)
    except WorkError as error:
        progress.say(f"The files fetched before cannot be read ({error}); fetching them again.")
        try:
            shutil.rmtree(folder)
        except OSError as refused:
            raise WorkError(f"cannot remove {str(folder)!r}: {refused.strerror or refused}") from refused
        return 0
    progress.say(f"{name} exists already.")
    return images


def _bring(name: str, source: str, waiting: Path, progress: Progress) -> None:
    """Copy or download the set's originals to the folder `waiting`, with verified checksums."""
    originals = ORIGINALS[name].files
    remote = source.lower().startswith(("http://", "https://"))
    try:
        local = given_path(source, "--from").expanduser() if source and not remote else None
    except RuntimeError as error:  # ~somebody who is no user
        raise RequestError(f"--from {source!r}: {error}") from error
    if local is not None and not local.exists():
        raise RequestError(f"--from {source!r}: no such folder or file, and not an http address")
    total = sum(original.size for original in originals)
    progress.say(f"Fetching {name}: {total / 1e6:.1f} MB from {source or urlsplit(originals[0].addresses[0]).netloc}")
    if any(original.checksum.startswith("md5:") for original in originals):
        progress.say("Only an MD5 checksum is published: it detects damage, not tampering.")
    with progress.bar(f"Fetching {name}", total) as bar:
        for original in originals:
            bar.note(original.file)
            if local is not None:
                copy(original, local, waiting, bar)
            else:
                download(original, waiting, bar, _mirrored(original, source) if remote else ())


def _mirrored(original: Original, mirror: str) -> tuple[str, ...]:
    return (mirror if mirror.endswith("/" + original.file) else f"{mirror.rstrip('/')}/{original.file}",)


def _settle(name: str, waiting: Path, folder: Path) -> int:
    """Unpack or copy the files to their final folder, once they can be read; returns the number of images."""
    images = 0

    def fill(place: Path) -> None:
        nonlocal images
        for file in sorted(waiting.iterdir()):
            if file.name.endswith((".part", ".part.json")):
                continue
            if ORIGINALS[name].archive:
                unpack(file, place)
            else:
                shutil.copyfile(file, place / file.name)
        images = _prove(name, place)

    fill_folder_atomically(folder, fill)
    shutil.rmtree(waiting, ignore_errors=True)
    return images


def _prove(name: str, folder: Path) -> int:
    """Open the set and decode its first image; returns the number of images. Raises WorkError."""
    try:
        found = open_set(name, folder)
        found.decode(found.read(found.items[0]), 1)
    except (RequestError, UnreadableImage, OSError) as error:
        raise WorkError(f"{name} cannot be opened: {error}") from error
    return len(found.items)
