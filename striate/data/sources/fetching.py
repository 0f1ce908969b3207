"""Fetching one published file: a resumable download, or a copy; accepted only with the right checksum.

Only http and https, certificates checked, the environment's proxies respected; sizes and attempts bounded.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from striate.data.sources.originals import Original
from striate.errors import RequestError, WorkError
from striate.progress import Step
from striate.reading import TEXT, WEIGHTS, open_file, read_file
from striate.storage import write_atomically, write_text

CHUNK = 2**18
TIMEOUT = 30  # seconds without a byte
PAUSE = 0.5  # seconds before the next attempt; twice as long each time
FRUITLESS = 3  # attempts in a row without progress
ATTEMPTS = 100  # attempts in total: enough for a connection that fails every few megabytes
GRACE = 60  # seconds of a download before its rate counts
SLOWEST = 2_000  # bytes a second on average: a server that sends fewer would keep one waiting for days
LARGEST = WEIGHTS  # bytes of a file whose size is not published
INFLATED = 1032  # times: deflate packs no better


class _NotThereError(Exception):
    """The address has no such file: a retry would not help."""


class _CutError(Exception):
    """The connection failed: a retry may resume."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows, refused where its scheme is another."""
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            raise _NotThereError(f"redirected to {newurl[:200]!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, cast(Any, headers), newurl)


@dataclass(frozen=True)
class _Kept:
    """The state stored next to a partial download: its address and the version of the file."""

    address: str
    validator: str

    @classmethod
    def read(cls, path: Path) -> _Kept:
        """The stored state, or none: then the download starts again."""
        try:
            values = json.loads(read_file(path, TEXT))
            return cls(str(values["address"]), str(values["validator"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls("", "")


def download(original: Original, folder: Path, step: Step, addresses: tuple[str, ...] = ()) -> Path:
    """The file, whole and with the right checksum, in `folder`; `addresses` instead of the published ones.

    A partial download is resumed if the server allows it and the file is unchanged. Raises WorkError with the address
    and an alternative.
    """
    target = folder / original.file
    try:
        if target.is_file():
            if matches(original, target):
                step.advance(original.size)
                return target
            target.unlink()
    except OSError as error:
        raise WorkError(f"cannot use {str(target)!r}: {error.strerror or error}") from error
    failures = []
    for address in addresses or original.addresses:
        try:
            _whole(address, original, target, step)
            return target
        except _NotThereError as error:
            failures.append(f"{address}: {error}")
        except OSError as error:  # of the disk: the net's are told of above
            raise WorkError(f"could not write {str(target)!r}: {error.strerror or error}") from error
    raise WorkError(f"could not fetch {original.file}: {'; '.join(failures)}; if you have it, use --from FOLDER")


def _whole(address: str, original: Original, target: Path, step: Step) -> None:
    """Retry until the file is complete, then verify its checksum. Raises _NotThereError, OSError."""
    if not address.lower().startswith(("http://", "https://")):
        raise _NotThereError("not an http or https address")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, kept = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    told = _Told(step)
    fruitless = 0
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before and before == original.size:  # the last run ended between the last byte and the check
            break
        try:
            _attempt(address, original, part, kept, told)
            break
        except _CutError as error:
            fruitless = fruitless + 1 if _size(part) <= before else 0
            if fruitless == FRUITLESS:
                raise _NotThereError(f"{error}, {FRUITLESS} times") from error
            time.sleep(PAUSE * 2**fruitless)
    else:
        raise _NotThereError(f"cut {ATTEMPTS} times")
    kept.unlink(missing_ok=True)
    if not matches(original, part):
        part.unlink()
        raise _NotThereError(f"the checksum is not {original.checksum}; the file was removed")
    part.replace(target)


def _attempt(address: str, original: Original, part: Path, kept: Path, told: _Told) -> None:
    """One request, its response appended to the partial file. Raises _CutError, _NotThereError, OSError."""
    had, known = _size(part), _Kept.read(kept)
    headers = {"User-Agent": "striate", "Accept-Encoding": "identity"}
    resuming = had > 0 and known.address == address and bool(known.validator)
    if resuming:
        headers |= {"Range": f"bytes={had}-", "If-Range": known.validator}
    try:
        request = urllib.request.Request(address, headers=headers)
        answer = urllib.request.build_opener(_Redirects()).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if resuming and error.code == 416:  # what is there reaches beyond the file's end: it is another file's
            part.unlink()
            raise _CutError("the file became shorter") from error
        wrong = _CutError if error.code >= 500 or error.code in (408, 429) else _NotThereError
        raise wrong(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError; so are timeouts
        reason = getattr(error, "reason", error)
        hopeless = isinstance(reason, ssl.SSLCertVerificationError | ValueError)  # ValueError: no address at all
        raise (_NotThereError if hopeless else _CutError)(str(reason) or type(reason).__name__) from error
    with answer:
        begins = had if resuming and answer.status == 206 else 0
        if begins and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {begins}-"):
            part.unlink()
            raise _CutError("the server resumed at another position")
        if not begins:
            validator = _validator(answer.headers)
            write_text(kept, json.dumps(asdict(_Kept(address, validator))))
        length = answer.headers.get("Content-Length", "")
        told_length = length.isascii() and length.isdigit() and len(length) < 16
        total = begins + int(length) if told_length else original.size or LARGEST
        if original.size and total != original.size:
            raise _NotThereError(f"its file has {total:,} bytes, the published one {original.size:,}")
        # The partial file is the one thing written in pieces: to go on after a cut it must outlive this process.
        with open(part, "ab" if begins else "wb") as file:
            told.at(begins)
            _pour(answer, file, begins, min(total, LARGEST), told, exact=told_length or original.size > 0)


def _pour(answer: Any, file: IO[bytes], begins: int, size: int, told: _Told, *, exact: bool) -> None:
    """Write the response to the file, at most up to `size`, or exactly.

    Raises _CutError, _NotThereError; OSError of the disk.
    """
    at, started = begins, time.monotonic()
    while True:
        try:
            chunk = answer.read1(CHUNK)  # what is there: `read` would wait for all of it
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(str(error) or type(error).__name__) from error
        if not chunk:
            break
        at += len(chunk)
        if at > size:
            raise _NotThereError(f"it has more than the published {size:,} bytes")
        file.write(chunk)
        told.at(at)
        seconds = time.monotonic() - started
        if seconds > GRACE and at - begins < SLOWEST * seconds:
            raise _NotThereError(f"it sent {at - begins:,} bytes in {seconds:.0f} seconds")
    if exact and at < size:
        raise _CutError(f"the connection was cut at {at:,} of {size:,} bytes")


def _validator(headers: Any) -> str:
    """The version of the file: a strong ETag, or the date; "" if neither is given."""
    tag = str(headers.get("ETag") or "")
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified") or "")


class _Told:
    """Updates a progress bar, which may go back when a download starts again."""

    def __init__(self, step: Step) -> None:
        self.step, self.told = step, 0

    def at(self, place: int) -> None:
        """Set the progress to `place` bytes."""
        self.step.advance(place - self.told)
        self.told = place


def copy(original: Original, source: Path, folder: Path, step: Step) -> Path:
    """The file out of a local folder (or the file itself), its checksum right, copied into `folder`.

    For a compressed file, the uncompressed or recompressed one is accepted. Raises RequestError for any other file.
    """
    plain = original.file.removesuffix(".gz") if original.inside else original.file
    places = [source / name for name in dict.fromkeys((original.file, plain))] if source.is_dir() else [source]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        names = " or ".join(place.name for place in places)
        raise RequestError(f"{str(source)!r} contains no {names}")
    try:
        if not matches(original, found):
            raise RequestError(
                f"{str(found)!r} is not the published {original.file}: its checksum is not {original.checksum}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / (found.name if found.name in (original.file, plain) else original.file)
        with open_file(found, None) as file:
            write_atomically(target, lambda out: shutil.copyfileobj(file, out, CHUNK))
    except OSError as error:
        raise WorkError(f"could not copy {str(found)!r}: {error.strerror or error}") from error
    step.advance(original.size)
    return target


def matches(original: Original, path: Path) -> bool:
    """Whether the file is the original, or has the same content. Raises OSError."""
    kind, _, wanted = original.checksum.partition(":")
    if not wanted:
        return True  # nothing is published to check it by
    if path.stat().st_size > (original.size or LARGEST) * (INFLATED if original.inside else 1):
        return False  # without reading hundreds of gigabytes
    with open_file(path, None) as file:
        if _digest(kind, file.read).startswith(wanted):
            return True
        if not original.inside:
            return False
        file.seek(0)
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with suppress(EOFError, gzip.BadGzipFile, zlib.error):
            return _digest("sha256", gzip.GzipFile(fileobj=file).read if packed else file.read) == original.inside
    return False


def _digest(kind: str, read: Callable[[int], bytes]) -> str:
    # MD5 only where the publisher gives no other checksum: it detects damage, not tampering.
    digest = hashlib.new(kind, usedforsecurity=False)
    while chunk := read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
