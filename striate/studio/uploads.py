"""Images received: streamed into a part file, synced, renamed to a name of ours; the same content is kept once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.types import Receive

from striate.decoding.formats import open_image, refuse
from striate.decoding.problems import UnreadableImage
from striate.reading import open_file
from striate.storage import publish
from striate.studio import names
from striate.web.bodies import Gone
from striate.web.refusals import Refused, overloaded

MOST_BYTES = 64 * 2**20  # of a file
LEAST_FREE = 2**30  # bytes of the disk that stay free
AT_A_TIME = 16  # uploads of a server; a page sends four
IDLE_SECONDS = 30.0  # without a byte
CHUNK = 2**20  # bytes that are written together
HASH = 16  # letters of the SHA-256 that are part of a file's name
_NAMED = re.compile(rf".*-([0-9a-f]{{{HASH}}})\.[a-z0-9]+")
_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2", "DIB": "bmp"}  # others: in small letters


@dataclass(frozen=True)
class Received:
    """An uploaded file. known: whether the same content was there already, under this name."""

    name: str
    sha256: str
    size: int
    known: bool


class Uploads:
    """The uploads of a server; refuses more than AT_A_TIME together."""

    def __init__(self) -> None:
        self._open = 0
        self._names: dict[Path, dict[str, str]] = {}  # of a folder: the start of a file's SHA-256, and its name
        self._lock = threading.Lock()

    async def receive(self, folder: Path, given: str, headers: Mapping[str, str], receive: Receive) -> Received:
        """One image from the body of a request into a folder, which is made.

        given: the name that it has on the other machine, of which a few letters are kept. Raises Refused for a body
        that is too large, too slow or no image, and for a full disk; Gone. Nothing is left of it then.
        """
        _check_length(headers)
        if self._open >= AT_A_TIME:
            raise overloaded(f"{AT_A_TIME} uploads are running", close=True)
        there = next(one for one in (folder, *folder.parents) if one.is_dir())
        self._open += 1
        part = there / f".{secrets.token_hex(8)}.part"
        try:
            await asyncio.to_thread(_require_room, there, int(headers.get("content-length") or 0))
            sha256, size = await _stream(part, receive)
            return await asyncio.to_thread(self._keep, part, folder, given, sha256, size)
        finally:
            self._open -= 1
            part.unlink(missing_ok=True)

    def known(self, folder: Path, sha256: str) -> str:
        """The name of the file with this content in a folder of uploads; "" if there is none."""
        with self._lock:
            if folder not in self._names:
                self._names[folder] = _scanned(folder)
            name = self._names[folder].get(sha256[:HASH].lower(), "")
        return name if name and (folder / name).is_file() else ""

    def _keep(self, part: Path, folder: Path, given: str, sha256: str, size: int) -> Received:
        """Name the file, unless its content is there already."""
        if name := self.known(folder, sha256):
            return Received(name, sha256, size, known=True)
        name = f"{names.file_stem(given)}-{sha256[:HASH]}.{_ending(part, given)}"
        with self._lock:  # two that send the same at a time: the second one's takes the place of the first one's
            name = self._names[folder].setdefault(sha256[:HASH], name)
        folder.mkdir(parents=True, exist_ok=True)
        publish(part, folder / name)
        return Received(name, sha256, size, known=False)


def _scanned(folder: Path) -> dict[str, str]:
    try:
        with os.scandir(folder) as entries:
            found = [(one.name, _NAMED.fullmatch(one.name)) for one in entries]
    except OSError:
        return {}
    return {match[1]: name for name, match in found if match}


def _check_length(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "compressed bodies are not taken: images are compressed already", close=True)
    if headers.get("content-type", "").startswith("multipart/"):
        raise Refused(415, "the body is the image itself, no form", close=True)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MOST_BYTES:
        raise _too_large()


def _too_large() -> Refused:
    return Refused(413, f"an image has at most {MOST_BYTES:,} bytes", close=True)


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free - size < LEAST_FREE:
        raise Refused(507, "the disk is full: less than 1 GiB would be left free", close=True)


async def _stream(part: Path, receive: Receive) -> tuple[str, int]:
    """Write the body to a file: its SHA-256 and size."""
    checksum, size, waiting = hashlib.sha256(), 0, bytearray()
    with open(part, "xb") as file:
        more = True
        while more:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, f"no byte arrived within {IDLE_SECONDS:g} s", close=True) from None
            if message["type"] == "http.disconnect":
                raise Gone
            waiting += message.get("body", b"")
            more = message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise _too_large()
            if len(waiting) >= CHUNK or not more:
                await asyncio.to_thread(_write, file, checksum, bytes(waiting))
                waiting.clear()
    return checksum.hexdigest(), size


def _write(file: BinaryIO, checksum: hashlib._Hash, content: bytes) -> None:
    checksum.update(content)
    file.write(content)


def _ending(part: Path, given: str) -> str:
    """By the format that the content has. Raises Refused for what is no image at all; a damaged one is the audit's."""
    try:
        with open_file(part, MOST_BYTES) as file:
            refuse(file.read(4096))
            file.seek(0)
            form = open_image(file).format or ""
    except UnreadableImage as error:
        raise Refused(415, f"{error.kind}: {error}") from None
    except Exception:  # whatever the format's reader raises
        form = ""
    if not form or (form == "TGA" and not given.lower().endswith(".tga")):  # TGA has no signature
        raise Refused(415, "not-an-image: these bytes are no image of a format that is read")
    return _ENDINGS.get(form, form.lower())
