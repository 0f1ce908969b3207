"""PNG, WebP and AVIF without their metadata; and PNG of 16-bit colour, of which Pillow keeps the high bytes only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.decoding.formats import open_image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # of PNG; the rest says how it came about
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the colour type in the header
_METADATA = {b"EXIF", b"XMP ", b"ICCP"}  # of WebP
_EXTENDED_FLAGS = 0x20 | 0x08 | 0x04  # of WebP: a profile, EXIF and XMP are there


def without_metadata(content: bytes) -> bytes | None:
    """The same pixels in a file without metadata; None for a format that is not PNG, WebP or AVIF."""
    if content.startswith(_SIGNATURE):
        kept = [content[start:end] for name, start, end in _chunks(content) if name in _NEEDED]
        return _SIGNATURE + b"".join(kept)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp_without_metadata(content)
    if content[4:8] == b"ftyp":  # an item of a type that nobody knows is passed over
        head, box, data = content.partition(b"mdat")
        return head.replace(b"Exif", b"none") + box + data
    return None


def can_be_wide(content: bytes) -> bool:
    """Whether `wide_samples` reads a PNG: 16 bits a sample, and not interlaced."""
    return content[24] == 16 and content[25] in _CHANNELS and content[28] == 0


def is_short(content: bytes, opened: Image.Image) -> bool:
    """Whether the data of a PNG that is not interlaced end before its last row: Pillow leaves what is missing black.

    Its data are counted only if the last row is black.
    """
    opened.load()
    last = opened.crop((0, opened.height - 1, opened.width, opened.height))
    if content[28] != 0 or any(bound != 0 for band in last.split() for bound in band.getextrema()):
        return False
    samples = _CHANNELS.get(content[25], 1)
    wanted = opened.height * (1 + (opened.width * samples * content[24] + 7) // 8)
    unpacking, found = zlib.decompressobj(), 0
    for name, start, end in _chunks(content):
        rest = content[start + 8 : end - 4] if name == b"IDAT" else b""
        while rest and found < wanted and not unpacking.eof:
            found += len(unpacking.decompress(rest, 2**22))
            rest = unpacking.unconsumed_tail
    return found < wanted


def wide_samples(content: bytes) -> NDArray[np.uint16]:
    """The samples of a 16-bit PNG that is not interlaced, uint16 [H, W, C].

    PNG filters each byte of a pixel by the same byte of the pixels around it. So every second byte of the rows is an
    8-bit grey PNG of its own, and Pillow decodes those.
    """
    width, height = struct.unpack_from(">II", content, 16)
    lanes = 2 * _CHANNELS[content[25]]
    coded = b"".join(content[start + 8 : end - 4] for name, start, end in _chunks(content) if name == b"IDAT")
    size = height * (1 + width * lanes)
    rows = np.frombuffer(zlib.decompressobj().decompress(coded, size), np.uint8)
    if rows.size < size:
        raise OSError("image file is truncated")
    rows = rows.reshape(height, 1 + width * lanes)
    whole = np.empty((height, width, lanes), np.uint8)
    for lane in range(lanes):
        whole[..., lane] = np.asarray(open_image(_grey_png(np.hstack([rows[:, :1], rows[:, 1 + lane :: lanes]]))))
    return whole.view(">u2").astype(np.uint16)


def _grey_png(filtered: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey PNG of rows that are filtered already, each after the byte of its filter."""
    height, width = filtered.shape[0], filtered.shape[1] - 1
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 1)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk of a PNG. A damaged length is passed over to the next chunk that is needed."""
    place = len(_SIGNATURE)
    while place + 8 <= len(content):
        name = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if name not in _NEEDED and not _starts_chunk(content, end):
            found = [at for needed in _NEEDED if (at := content.find(needed, place + 8)) > 0]
            if not found:
                return
            end = min(found) - 4
        yield name, place, end
        place = end


def _starts_chunk(content: bytes, place: int) -> bool:
    name = content[place + 4 : place + 8]
    return len(name) == 4 and name.isalpha()


def _webp_without_metadata(content: bytes) -> bytes:
    kept, place = [], 12
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        end = place + 8 + size + size % 2
        chunk = content[place:end]
        if name == b"VP8X" and len(chunk) > 8:
            chunk = chunk[:8] + bytes([chunk[8] & ~_EXTENDED_FLAGS]) + chunk[9:]
        if name not in _METADATA:
            kept.append(chunk)
        place = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
