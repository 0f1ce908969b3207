"""JPEG: its structure is read before it is decoded, and the decoder's warnings count.

A JPEG whose data are corrupt decodes to a ruined picture without an error; libjpeg only warns. simplejpeg makes its
warnings errors, and its pixels are those of Pillow. What is harmless (a missing end marker, damaged metadata, padding)
is mended in memory, and the decoder asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from striate.decoding.formats import open_image
from striate.decoding.problems import UnreadableImage

SCANS = 100  # a progressive JPEG has about ten
SCANNED = 4_000_000_000  # pixels times scans

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # any but a stuffed zero, a restart and a fill byte
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS, _HIERARCHICAL, _PROGRESSIVE = {0xC3, 0xC7, 0xCB, 0xCF}, {0xC5, 0xC6, 0xCD, 0xCE}, {0xC2, 0xCA}
_KEPT = {0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE, *_FRAMES}  # what the pixels need, with Adobe's note on their colours
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
_HARMLESS = ("Invalid SOS parameters", "JFIF revision", "Adobe color transform")  # warnings of what no pixel needs
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(frozen=True)
class Structure:
    """What a JPEG declares. frame: the marker of its kind. ended: whether its end marker is there.

    segments: (marker, start, end) of each, the coded data after a scan's header with it. blocks: samples of all
    components a pixel.
    """

    frame: int
    bits: int
    size: tuple[int, int]
    blocks: float
    scans: int
    ended: bool
    segments: tuple[tuple[int, int, int], ...]

    def stored(self, reduction: int) -> float:
        """Bytes a pixel of the file while decoding: the reduced array and its copy, a progressive's coefficients."""
        return 7 / reduction**2 + (2 * self.blocks if self.frame in _PROGRESSIVE else 0)


def examine(content: bytes) -> Structure:
    """The structure of a JPEG. Raises UnreadableImage for one of a kind that is not read, or of too many scans."""
    segments = tuple(_segments(content))
    frames = [segment for segment in segments if segment[0] in _FRAMES]
    if not frames:
        raise UnreadableImage("truncated", "the file ends before the image's header")
    marker, start, end = frames[0]
    header = content[start + 4 : end]
    if len(header) < 6 or len(header) < 6 + 3 * header[5]:
        raise UnreadableImage("damaged", "the image's header is cut short")
    bits, height, width = header[0], int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    sampling = [(header[6 + 3 * n + 1] >> 4) * (header[6 + 3 * n + 1] & 15) for n in range(header[5])]
    scans = sum(segment[0] == _SOS for segment in segments)
    _refuse_kind(marker, bits, height)
    if not scans:
        raise UnreadableImage("truncated", "the file ends before its pixels")
    if scans > SCANS:
        raise UnreadableImage(
            "bomb", f"{scans:,} scans of {width:,} x {height:,} pixels: a photograph has about ten scans"
        )
    if scans * height * width > SCANNED:
        raise UnreadableImage("bomb", f"{width:,} x {height:,} pixels in {scans:,} scans take too long to decode")
    blocks = sum(sampling) / max(1, *sampling) if sampling else 1.0
    ended = any(segment[0] == _END for segment in segments)
    return Structure(marker, bits, (width, height), blocks, scans, ended, segments)


def decode(content: bytes, structure: Structure, mode: str, reduction: int) -> tuple[Image.Image, list[str]]:
    """The picture, each side divided by `reduction` (1, 2, 4 or 8), and notes. Raises UnreadableImage.

    mode: Pillow's mode of the file, "RGB", "L" or "CMYK".
    """
    notes = [] if structure.ended else ["unfinished"]
    whole = content if structure.ended else content + _EOI
    try:
        return _pixels(whole, structure, mode, reduction), notes
    except ValueError as error:
        if any(words in str(error) for words in _HARMLESS):
            return _by_pillow(whole, structure, reduction), [*notes, "metadata"]
        if "subsampling" in str(error):  # simplejpeg knows the usual ones
            return _by_pillow(whole, structure, reduction), notes
        padding = _PADDING.search(str(error))
        mended = _mended(content, structure, int(padding[1]) if padding else 0)
        try:
            image = _pixels(mended, structure, mode, reduction)
        except ValueError:
            kind = "damaged" if structure.ended else "truncated"
            why = "the file is incomplete" if kind == "truncated" else "the pixels would be ruined"
            raise UnreadableImage(kind, f"{why} (the decoder: {error})") from None
        return image, notes if padding else [*notes, "metadata"]


def _by_pillow(content: bytes, structure: Structure, reduction: int) -> Image.Image:
    """The picture by Pillow, which does not see corrupt data, but reads what simplejpeg does not."""
    with open_image(content) as opened:
        if reduction > 1:
            opened.draft(opened.mode, (structure.size[0] // reduction, structure.size[1] // reduction))
        opened.load()
        return opened.copy()


def without_metadata(content: bytes) -> bytes:
    """The same picture with nothing but what its pixels need."""
    return _mended(content, examine(content), 0)


def _pixels(content: bytes, structure: Structure, mode: str, reduction: int) -> Image.Image:
    width, height = structure.size
    values = simplejpeg.decode_jpeg(
        content,
        _SPACES[mode],
        min_height=-(-height // reduction),
        min_width=-(-width // reduction),
        min_factor=reduction,
        strict=True,
    )
    if mode == "CMYK":  # stored inverted, as Pillow reads it too
        return Image.fromarray(np.invert(values), "CMYK")
    return Image.fromarray(values[..., 0] if mode == "L" else values)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the end marker; whatever lies between them is passed over."""
    place = len(_SOI)
    while found := _MARKER.search(content, place):
        marker, start = content[found.start() + 1], found.start()
        if marker in _ALONE or marker == _END:
            place = start + 2
        else:
            place = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if place > len(content):
            return
        if marker == _SOS:
            after = _MARKER.search(content, place)
            place = after.start() if after else len(content)
        yield marker, start, place
        if marker == _END:
            return


def _mended(content: bytes, structure: Structure, padding: int) -> bytes:
    """The segments that the pixels need, with an end marker; `padding` equal bytes before it are left out."""
    kept = b"".join(
        content[start:end] for marker, start, end in structure.segments if marker in _KEPT or marker == _SOS
    )
    if padding:
        run = len(kept) - len(kept.rstrip(kept[-1:]))
        if (
            padding <= run <= padding + 8
        ):  # what the decoder read ahead with it; a longer run was taken for data: the picture's end was overwritten
            kept = kept[:-padding]
    return _SOI + kept + _EOI


def _refuse_kind(marker: int, bits: int, height: int) -> None:
    if marker in _LOSSLESS:
        what = "lossless"
    elif marker in _HIERARCHICAL:
        what = "hierarchical"
    elif bits != 8:
        what = f"{bits} bits a sample"
    elif height == 0:
        what = "its height comes after its pixels"
    else:
        return
    raise UnreadableImage("not-read", f"a JPEG of a kind that is not read ({what}): save it as an 8-bit JPEG or PNG")
