"""TIFF: which of its pages, and the kinds of samples that Pillow does not read or reads wrongly.

Pillow reads pages of 8 bits a sample. All others are read by tifffile: 16 bits in separate planes, floats and signed
integers in colour, white as zero. Where a compression needs more than tifffile has (LZW), Pillow's reading is used.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from striate.decoding.budget import reserved
from striate.decoding.formats import open_image
from striate.decoding.problems import UnreadableImage
from striate.decoding.wide import Samples, to_8_bits

if TYPE_CHECKING:
    from tifffile import TiffPage

_PAGES = 256  # looked at; a stack of more is still read, by one of these
_GREY, _RGB = (0, 1), (2,)  # values of the tag PhotometricInterpretation; with 0, zero is white
_MAX, _SIGNED_MAX, _ORIENTATION, _PROFILE, _NO_DATA = 281, 341, 274, 34675, 42113  # tags


@dataclass(frozen=True)
class Page:
    """The page that is used. place: among the pages. notes: of the choice. plain: whether Pillow reads it rightly."""

    place: int
    notes: tuple[str, ...]
    plain: bool


def choose(content: bytes) -> Page:
    """The page of a TIFF to use: the first, or the largest where they differ in size, as in a pyramid."""
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(BytesIO(content)) as file:
            pages = [page for page in islice(file.pages, _PAGES) if isinstance(page, tifffile.TiffPage)]
            sizes = [(page.imagewidth, page.imagelength) for page in pages]
            place = max(range(len(pages)), key=lambda n: (sizes[n][0] * sizes[n][1], -n))
            notes = [] if len(pages) == 1 else ["pages" if len(set(sizes)) == 1 else "largest-page"]
            return Page(place, tuple(notes), _is_plain(pages[place]))
    except Exception:  # a damaged directory: tifffile raises anything; Pillow says what is wrong
        return Page(0, (), plain=True)


def read_wide(content: bytes, place: int) -> tuple[Image.Image, list[str]]:
    """A page that is not plain, as an 8-bit Pillow image ("L", "LA", "RGB" or "RGBA"), and notes.

    Raises UnreadableImage for samples of a kind that is not read.
    """
    tifffile = _tifffile()
    with tifffile.TiffFile(BytesIO(content)) as file:
        page: TiffPage = file.pages[place]
        _refuse_kind(page)
        with reserved((page.imagewidth, page.imagelength), 2 * page.samplesperpixel * max(2, page.bitspersample // 8)):
            try:
                values = page.asarray()
            except (ValueError, NotImplementedError) as error:
                if "imagecodecs" not in str(error):
                    raise
                return _by_pillow(content, place, page)
            if page.planarconfig == 2 and values.ndim == 3:
                values = np.moveaxis(values, 0, -1)
            return _image(values, page)


def _image(values: Samples, page: TiffPage) -> tuple[Image.Image, list[str]]:
    """Samples [H, W] or [H, W, C] as an 8-bit image with the page's orientation and profile."""
    colours = 1 if page.photometric in _GREY else 3
    values = values if values.ndim == 3 else values[..., None]
    alpha = values[..., colours:]
    scaled, note = _scaled(values[..., :colours], page)
    if alpha.size:
        opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1.0
        share = (alpha.astype(np.float32) / opaque).clip(0, 1)
        if page.extrasamples and page.extrasamples[0] == 1:  # the colours are multiplied by it
            scaled = (scaled / np.maximum(share, 1 / 255)).clip(0, 255).astype(np.uint8)
        scaled = np.concatenate([scaled, (share * 255).round().astype(np.uint8)], axis=-1)
    image = Image.fromarray(np.ascontiguousarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled))
    if (orientation := page.tags.valueof(_ORIENTATION)) is not None:
        image.getexif()[_ORIENTATION] = int(orientation)
    if profile := page.tags.valueof(_PROFILE):
        image.info["icc_profile"] = bytes(profile)
    return image, [note]


def _scaled(values: Samples, page: TiffPage) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], str]:
    """The colours of a page in 8 bits, by the largest sample and the no-data value that it declares."""
    largest = 0
    for tag in (_MAX, _SIGNED_MAX):
        declared = page.tags.valueof(tag)
        declared = max(declared) if isinstance(declared, tuple) and declared else declared
        if isinstance(declared, int) and 255 <= declared <= 65535:
            largest = max(largest, declared)
    if values.dtype == np.uint16 and 8 < page.bitspersample < 16:
        largest = (1 << page.bitspersample) - 1
    try:
        no_data = float(str(page.tags.valueof(_NO_DATA)).strip("\0 "))
    except ValueError:
        no_data = None
    return to_8_bits(values, largest=largest, no_data=no_data, inverted=page.photometric == 0)


def _by_pillow(content: bytes, place: int, page: TiffPage) -> tuple[Image.Image, list[str]]:
    """A page in a compression that tifffile cannot read, as far as Pillow can."""
    try:
        opened = open_image(content)
    except Exception:
        raise _not_read(page, f"{page.bitspersample} bits a sample, compression {_named(page.compression)}") from None
    with opened:
        opened.seek(place)
        opened.load()
        if opened.mode.startswith("I;16") or opened.mode in ("I", "F"):
            return _image(np.asarray(opened), page)
        # Pillow kept the high bytes alone; samples that use fewer bits are scaled by what is left of them.
        scaled, note = to_8_bits(np.asarray(opened).astype(np.uint16) << 8)
        return Image.fromarray(scaled), [note]


def _is_plain(page: TiffPage) -> bool:
    unsigned = page.dtype is None or page.dtype.kind in "ub"  # no type: a compression of whole pixels, such as JPEG
    return unsigned and page.bitspersample <= 8 and page.samplesperpixel <= 4 and page.imagedepth == 1


def _refuse_kind(page: TiffPage) -> None:
    """Raise UnreadableImage unless the samples are grey or RGB, with or without alpha, of real numbers."""
    colours = 1 if page.photometric in _GREY else 3 if page.photometric in _RGB else 0
    extra = page.samplesperpixel - colours
    if page.imagedepth != 1:
        raise _not_read(page, f"a volume of {page.imagedepth} slices")
    if page.dtype is None or page.dtype.kind not in "uif":
        raise _not_read(page, f"samples of {page.dtype or 'an unknown type'}")
    if not colours or extra not in (0, 1) or (extra and page.extrasamples and page.extrasamples[0] == 0):
        raise _not_read(page, f"{page.samplesperpixel} bands of {page.dtype}, {_named(page.photometric)}")


def _not_read(page: TiffPage, what: str) -> UnreadableImage:
    return UnreadableImage("not-read", f"a TIFF of a kind that is not read ({what}): save it as JPEG or PNG")


def _named(value: object) -> str:
    """A value of a tag: its name, or the number that has none."""
    return str(getattr(value, "name", value)).lower()


def _tifffile() -> ModuleType:
    """The library, imported when the first TIFF is met."""
    import tifffile

    # It writes what it finds odd to the log; what matters of it is raised or is a finding.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile
