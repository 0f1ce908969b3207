"""Writing packs: in one pass over the source, with constant memory; resumable after an interruption.

Images are appended to `PATH.part`, and their lines of the table to a journal, `PATH.part.lines`, each preceded by a
checksum; images are on the disk before their lines. The next call keeps the images whose lines, checksums and
originals still match, and continues after them. The finished file is moved to its name atomically.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import PIL

from striate.data.audit.looking import Looked, Memory, digest_of, look
from striate.data.pack.layout import Entry, Heading, aside_line
from striate.data.pack.source import PackSource, open_pack
from striate.data.sources.base import Item, Source
from striate.errors import RequestError, WorkError
from striate.pixels import Pixels
from striate.progress import Progress
from striate.storage import publish, sha256_of

_SYNC_IMAGES = 256  # that may be lost when the process is killed
_SYNC_BYTES = 2**24  # of them that wait in memory
_SEAL = 9  # bytes of a checksum before a journal's line
_READ_AT_ONCE = 512  # originals that are hashed before the next are asked for


def pack_pixels(pixels: Pixels, margin: float = 8 / 7) -> Pixels:
    """The preprocessing of a pack for a network: its rule at `margin` times its size, such as 256 for 224.

    A crop is packed whole, so that the network's own fraction is taken of it once. "centre" has no margin: its images
    are never enlarged, and would be shrunk again with their frame. Raises RequestError for a margin below 1.
    """
    if not margin >= 1:
        raise RequestError(f"a pack's margin is at least 1, not {margin}")
    if pixels.rule == "centre":
        return pixels
    factor = max(margin, 1 / pixels.fraction) if pixels.rule == "crop" else margin
    height, width = (min(8192, round(side * factor)) for side in (pixels.height, pixels.width))
    return dataclasses.replace(pixels, height=height, width=width, fraction=1.0)


def write_pack(
    path: Path, source: Source, pixels: Pixels, *, progress: Progress | None = None, memory: Memory | None = None
) -> PackSource:
    """Pack all images of `source`, cropped by `pixels`; `path` is replaced when the pack is complete.

    Raises RequestError if no image is usable; WorkError if writing fails or the disk is full: then the images packed so
    far are kept next to `path`, and the same call resumes from them.
    """
    progress = progress or Progress()
    with alone(path, progress):
        return write_looked(
            path,
            source,
            pixels,
            progress,
            lambda start: look(source, pixels, items=source.items[start:], memory=memory),
        )


def made_line(made: PackSource) -> str:
    """What was packed, where, and its size, in one line."""
    count, height, width, channels = made.images.shape
    grey = ", grey" if channels == 1 else ""
    size = _size(made.path.stat().st_size)
    return f"Packed {count:,} images, {width} x {height} pixels{grey}, into {str(made.path)!r}: {size}"


def write_looked(
    path: Path, source: Source, pixels: Pixels, progress: Progress, rest: Callable[[int], Iterator[Looked]]
) -> PackSource:
    """`write_pack` without the lock on `path`; `rest(n)` gives the results of `look` from the n-th item on."""
    heading = Heading(source.name, source.task, pixels, PIL.__version__)
    _require_space(path, heading, len(source.items))
    with _Part(path, heading, source, progress) as part:
        with progress.bar("Packing the images", len(source.items)) as bar:
            bar.advance(len(part.done))
            for looked in rest(len(part.done)):
                part.add(looked)
                bar.advance()
        part.finish()
    return open_pack(path, check=False)


class _Part:
    """A pack that grows: PATH.part and its journal. done: the entries that an earlier call left and that still fit."""

    def __init__(self, path: Path, heading: Heading, source: Source, progress: Progress) -> None:
        self.path, self.heading, self.source, self.progress = path, heading, source, progress
        self.part, self.lines = (path.with_name(f"{path.name}{ending}") for ending in (".part", ".part.lines"))
        facts = [heading.as_dict(), source.identity, [dataclasses.asdict(item) for item in source.items]]
        self.first = json.dumps({"packing": sha256_of(json.dumps(facts).encode())}).encode() + b"\n"
        self.room = heading.room(len(source.items))
        self.images = 0  # on the disk or waiting
        self.done: list[Entry] = []
        self._waiting: list[tuple[bytes, bytes]] = []  # image and line

    def __enter__(self) -> _Part:
        with self._saving():
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._file = open(os.open(self.part, flags, 0o666), "r+b", buffering=0)
            self._journal = open(os.open(self.lines, flags, 0o666), "r+b", buffering=0)
            try:
                self._go_on()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()
        self._journal.close()

    def add(self, looked: Looked) -> None:
        """The next item of the source."""
        pixels = b"" if looked.crop is None else looked.crop.tobytes()
        entry = Entry(looked.item, looked.record, None if looked.crop is None else zlib.crc32(pixels))
        self.images += looked.crop is not None
        self._waiting.append((pixels, entry.line()))
        if len(self._waiting) >= max(1, min(_SYNC_IMAGES, _SYNC_BYTES // self.heading.image_bytes)):
            self._sync()

    def finish(self) -> None:
        """Write the table and the header, and move the file to its name."""
        if not self.images:
            self.__exit__()
            self._remove()
            raise RequestError(f"no usable image in {self.source.name!r}: there is nothing to pack")
        self._sync()
        digest, size = hashlib.sha256(), 0
        with self._saving():
            with open(self.part, "ab") as end:
                for line in self._table():
                    digest.update(line)
                    size += end.write(line)
            self._file.seek(0)
            _put(self._file, self.heading.header(self.room, self.images, size, digest.hexdigest()))
            self.__exit__()
            publish(self.part, self.path)
            self.lines.unlink()

    def _table(self) -> Iterator[bytes]:
        with open(self.lines, "rb") as lines:
            lines.readline()
            yield from (line[_SEAL:] for line in lines)
        for oddity in self.source.oddities:
            yield aside_line(oddity)

    def _sync(self) -> None:
        """Flush to disk: first the images, then their lines."""
        with self._saving():
            _put(self._file, b"".join(image for image, _ in self._waiting))
            os.fsync(self._file.fileno())
            _put(self._journal, b"".join(_sealed(line) for _, line in self._waiting))
            os.fsync(self._journal.fileno())
        self._waiting.clear()

    def _go_on(self) -> None:
        """Keep the matching images of an earlier call, truncate the rest, and seek to the end."""
        with open(self.lines, "rb") as lines:
            first = lines.readline()
            if first == self.first:
                self._file.seek(self.room)
                self.done = self._unchanged(list(self._fitting(lines)))
        if self.done:
            self.progress.say(f"Resuming after {len(self.done):,} packed images")
        elif first:
            self.progress.say(f"{str(self.part)!r} does not match these images and sizes; starting again")
        self.images = sum(entry.crc is not None for entry in self.done)
        self._journal.truncate(len(self.first) + sum(_SEAL + len(entry.line()) for entry in self.done))
        _put(self._journal, self.first)
        self._journal.seek(0, os.SEEK_END)
        self._file.truncate(self.room + self.images * self.heading.image_bytes)
        self._file.seek(0, os.SEEK_END)

    def _fitting(self, lines: Iterable[bytes]) -> Iterator[Entry]:
        """The journal's entries, up to the first with an incomplete line or image."""
        for item, line in zip(self.source.items, lines, strict=False):
            try:
                entry = Entry.from_values(json.loads(line[_SEAL:]))
            except (KeyError, TypeError, ValueError, RecursionError):
                return
            if _sealed(entry.line()) != line or entry.item != item:
                return
            if entry.crc is not None and zlib.crc32(self._file.read(self.heading.image_bytes)) != entry.crc:
                return
            yield entry

    def _unchanged(self, entries: list[Entry]) -> list[Entry]:
        """Those up to the first whose original has changed."""
        digests = _digests(self.source, [entry.item for entry in entries], self.progress)
        same = [entry.record.digest == digest for entry, digest in zip(entries, digests, strict=True)]
        return entries[: same.index(False)] if False in same else entries

    def _remove(self) -> None:
        for path in (self.part, self.lines):
            path.unlink(missing_ok=True)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkError(
                f"could not write {str(self.part)!r}: {error.strerror or error}; the images packed so far stay "
                "there, and the same command resumes from them"
            ) from error


def _sealed(line: bytes) -> bytes:
    """A line of the journal: a line of the table with its CRC-32 before it."""
    return b"%08x " % zlib.crc32(line) + line


def _put(file: FileIO, content: bytes) -> None:
    """Write all of `content`: an unbuffered file may write less at a time, and a buffered one would hide a failure."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _digests(source: Source, items: Sequence[Item], progress: Progress) -> list[str]:
    """The digests of the items' bytes as they are now, "" for what cannot be read, as in a Record."""

    def one(item: Item) -> str:
        try:
            return digest_of(source, source.read(item))
        except OSError:
            return ""

    found: list[str] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, progress.bar("Comparing", len(items)) as bar:
        for start in range(0, len(items), _READ_AT_ONCE):
            found += pool.map(one, items[start : start + _READ_AT_ONCE])
            bar.advance(len(found) - start)
    return found


def _require_space(path: Path, heading: Heading, images: int) -> None:
    """Raise WorkError if the disk has not enough space for all images."""
    need = images * heading.image_bytes
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free + (part.stat().st_size if part.exists() else 0)
    except OSError as error:
        raise WorkError(f"could not write {str(path)!r}: {error.strerror or error}") from error
    if need > free:
        pixels = heading.pixels
        raise WorkError(
            f"packing {images:,} images of {pixels.width} x {pixels.height} pixels takes {_size(need)}, and "
            f"{str(path.parent)!r} has {_size(free)} free; free some, choose a smaller size, or another disk: "
            "STRIATE_CACHE for automatic packs, --out for 'striate pack'"
        )


def _size(size: int) -> str:
    """Bytes as text, with at least two significant digits."""
    if size >= 10**9:
        return f"{size / 1e9:,.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10**7 else f"{size / 1e6:#.2g} MB"


@contextmanager
def alone(path: Path, progress: Progress) -> Iterator[None]:
    """One writer at a time: another one waits, and then finds the finished pack. A killed process releases its lock."""
    if sys.platform == "win32":  # no such lock there
        yield
        return
    import fcntl

    lock = path.with_name(f"{path.name}.lock")
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise WorkError(f"could not write {str(path)!r}: {error.strerror or error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"Waiting for another run that is packing {str(path)!r}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        # The previous writer has removed its lock file; this one must be the current one.
        if lock.exists() and os.path.samestat(os.fstat(handle), lock.stat()):
            break
        os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)
