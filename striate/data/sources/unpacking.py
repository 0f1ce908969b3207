"""Safe reading of untrusted archives: no absolute paths, no "..", no links or devices, sizes bounded and counted."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO, cast

from striate.errors import RequestError
from striate.reading import open_file

MAX_BYTES = 2**32  # of all that one archive holds
MAX_FILES = 1_000_000
CHUNK = 2**20
UNDOUBTED = 2**26  # bytes that may be unpacked from any file, however small
_RATIO = 1032  # of a data set: deflate packs no better
_DIRECTORY = 2**23  # bytes of an archive's list of its members: about a hundred thousand
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"  # signatures of the records at an archive's end
# Archives by the end of their names, and the command that unpacks them.
UNPACK = {
    ".zip": "unzip", ".7z": "7z x", ".rar": "unrar x", **dict.fromkeys((".tar", ".tar.gz", ".tgz"), "tar -xf"),
    **dict.fromkeys((".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tar.lzma"), "tar -xf"), ".gz": "gunzip",
}  # fmt: skip


def most_unpacked(size: int, ratio: int) -> int:
    """The bytes that a packed file of `size` bytes may unpack to, if what it holds is packed at most `ratio` to 1."""
    return max(UNDOUBTED, ratio * size)


def open_zip(file: BufferedReader, what: str, *, ratio: int, limit: int = MAX_BYTES) -> zipfile.ZipFile:
    """An archive whose members may be read: together of at most `limit` bytes, and at most `ratio` to 1 packed.

    Raises RequestError for other ones, by what they declare, before anything is unpacked; zipfile reads no more of a
    member than it declares, except of kinds of packing that are refused. Raises zipfile.BadZipFile for what is none.
    """
    size = os.fstat(file.fileno()).st_size
    if _directory_bytes(file, size) > _DIRECTORY:
        raise RequestError(f"{what} has more members than any such archive")
    archive = zipfile.ZipFile(file)
    total, most = sum(member.file_size for member in archive.infolist()), min(limit, most_unpacked(size, ratio))
    if total > most:
        raise RequestError(f"{what} declares {total:,} bytes unpacked, of {size:,} packed; at most {most:,} are read")
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RequestError(f"{what} has {member.filename[:200]!r}, packed in another way than stored or deflated")
    return archive


def _directory_bytes(file: BufferedReader, size: int) -> int:
    """The declared bytes of an archive's list of members, which zipfile reads whole; 0 if there is none."""
    start = max(0, size - 2**16 - 200)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    declared = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if declared == 0xFFFFFFFF and end_64 >= 0:
        return int.from_bytes(tail[end_64 + 40 : end_64 + 48], "little")
    return declared


class _Counted:
    """A stream of at most `limit` bytes: the sizes declared in an archive may be false."""

    def __init__(self, stream: IO[bytes], limit: int, what: str) -> None:
        self.stream, self.left, self.what = stream, limit, what

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise RequestError(f"{self.what} unpacks to more than any such data set has")
        return content


class Inside:
    """The content of one file of an archive."""

    def __init__(self, stream: IO[bytes], what: str) -> None:
        self.stream, self.what = stream, what

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all without `size`; b"" at the end. Raises RequestError where the archive is damaged."""
        try:
            return self.stream.read(size)
        except RequestError:
            raise
        except Exception as error:  # tarfile, zipfile, gzip and zlib raise anything on damaged files
            raise RequestError(f"cannot read the archive {self.what}: {error or type(error).__name__}") from error


def unpack_first(path: Path) -> str:
    """What to say of an archive of images: the command that unpacks it."""
    command = next((how for ending, how in UNPACK.items() if path.name.lower().endswith(ending)), "tar -xf")
    return f"{str(path)!r} is an archive; unpack it ({command} {path.name}) and give the folder"


def tar_files(path: Path, limit: int = MAX_BYTES) -> Iterator[tuple[str, int, Inside]]:
    """Name, declared size and content of each plain file in a .tar or .tar.gz, in order; read in one go, to memory.

    Raises RequestError for what is no such archive, is damaged, holds links, devices or names that lead elsewhere, or
    unpacks to more than `limit` bytes.
    """
    what = repr(str(path))
    try:
        with open_file(path, MAX_BYTES) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            inner = _Counted(cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw, limit, what)
            with tarfile.open(fileobj=cast(BinaryIO, inner), mode="r|", bufsize=CHUNK) as archive:
                for member in archive:
                    if member.isdir():
                        continue
                    if not member.isreg() or member.issparse():
                        raise RequestError(f"{what} holds {member.name[:200]!r}, a link or device; only files are read")
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file has content
                    yield safe_name(member.name, what), member.size, Inside(content, what)
            while packed and inner.read(CHUNK):  # to the end, where gzip keeps its checksum
                pass
    except RequestError:
        raise
    except Exception as error:  # tarfile, gzip and zlib raise anything on damaged files
        raise RequestError(f"cannot read the archive {what}: {error or type(error).__name__}") from error


def zip_files(path: Path, limit: int = MAX_BYTES) -> Iterator[tuple[str, int, Inside]]:
    """As `tar_files`, of a .zip; reading a file to its end checks its CRC."""
    what = repr(str(path))
    try:
        with open_file(path, MAX_BYTES) as raw, open_zip(raw, what, ratio=_RATIO, limit=limit) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                mode = member.external_attr >> 16
                if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                    raise RequestError(f"{what} holds {member.filename[:200]!r}, a link or device; only files are read")
                with archive.open(member) as content:
                    yield safe_name(member.filename, what), member.file_size, Inside(content, what)
    except RequestError:
        raise
    except Exception as error:  # zipfile and zlib raise anything on damaged files
        raise RequestError(f"cannot read the archive {what}: {error or type(error).__name__}") from error


def safe_name(name: str, what: str) -> str:
    """The name, if it stays below the target folder on every system. Raises RequestError."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    unsafe = name.startswith("/") or ".." in parts or not parts or any(letter in name for letter in "\\:\0")
    if unsafe:
        raise RequestError(f"{what} holds {name[:200]!r}, a path outside the target folder; nothing was unpacked")
    return "/".join(parts)


def unpack(path: Path, folder: Path, limit: int = MAX_BYTES) -> int:
    """Unpack a .zip, .tar or .tar.gz into a new `folder`: returns how many files. Raises RequestError, OSError."""
    files = zip_files(path, limit) if path.name.lower().endswith(".zip") else tar_files(path, limit)
    count = 0
    for name, size, content in files:
        count += 1
        target = folder / name
        if count > MAX_FILES or target.exists():
            wrong = "more files than any such data set has" if count > MAX_FILES else f"{name[:200]!r} twice"
            raise RequestError(f"{str(path)!r} holds {wrong}")
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with open(target, "xb") as file:
            while chunk := content.read(CHUNK):
                written += file.write(chunk)
        if written != size:
            raise RequestError(f"{str(path)!r} holds {name[:200]!r} of {size:,} bytes, of which {written:,} are there")
    return count
