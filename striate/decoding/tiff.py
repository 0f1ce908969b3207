"""TIFF: which of its pages, and the kinds of samples that Pillow does not read or reads wrongly.

Pillow reads pages of 8 bits a sample. All others are read by tifffile: 16 bits in separate planes, floats and signed
integers in colour, white as zero. Where a compression needs more than tifffile has (LZW), Pillow's reading is used.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from striate.decoding.budget import reserved
from striate.decoding.formats import open_image
from striate.decoding.problems import UnreadableImage
from striate.decoding.wide import Samples, alpha_to_8_bits, to_8_bits

if TYPE_CHECKING:
    from tifffile import TiffPage

_PAGES = 256  # looked at; a stack of more is still read, by one of these
_DEFLATE = (8, 32946)  # values of the tag Compression
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
                _require_declared(file.filehandle, page)
                values = page.asarray()
            except (ValueError, NotImplementedError, ImportError) as error:
                if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
                    raise
                return _by_pillow(content, place, page)
            if page.planarconfig == 2 and values.ndim == 3:
                values = np.moveaxis(values, 0, -1)
            return _image(values, page)


def _require_declared(file: Any, page: TiffPage) -> None:
    """Raise UnreadableImage for deflated strips that hold more than they declare: tifffile would unpack all of it."""
    if page.compression not in _DEFLATE:
        return
    declared = 2 * page.nbytes // max(1, len(page.dataoffsets)) + 2**20
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count * 1032 <= declared:  # deflate packs no better
            continue
        file.seek(offset)
        unpacked, rest = 0, zlib.decompressobj()
        packed = file.read(count)
        while packed and unpacked <= declared:
            try:
                unpacked += len(rest.decompress(packed, 2**22))
            except zlib.error:
                break  # what is wrong is told when it is decoded
            packed = rest.unconsumed_tail
        if unpacked > declared:
            raise UnreadableImage("bomb", f"a strip holds more than the {page.nbytes:,} bytes that the page declares")


def _image(values: Samples, page: TiffPage, *, turned: bool = False) -> tuple[Image.Image, list[str]]:
    """Samples [H, W] or [H, W, C] as an 8-bit image with the page's profile, and its orientation unless `turned`."""
    colours = 1 if page.photometric in _GREY else 3
    values = values if values.ndim == 3 else values[..., None]
    alpha = values[..., colours:]
    scaled, note = _scaled(values[..., :colours], page)
    if alpha.size:
        alpha = alpha_to_8_bits(alpha, values[..., :colours], _largest(page))
        if page.extrasamples and page.extrasamples[0] == 1:  # the colours are multiplied by it
            scaled = (scaled * (255 / np.maximum(alpha, 1))).clip(0, 255).astype(np.uint8)
        scaled = np.concatenate([scaled, alpha], axis=-1)
    image = Image.fromarray(np.ascontiguousarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled))
    if not turned and (orientation := page.tags.valueof(_ORIENTATION)) is not None:
        image.getexif()[_ORIENTATION] = int(orientation)
    _add_profile(image, page)
    return image, [note] if note else []


def _add_profile(image: Image.Image, page: TiffPage) -> None:
    if profile := page.tags.valueof(_PROFILE):
        image.info["icc_profile"] = bytes(profile)


def _largest(page: TiffPage) -> int:
    """The largest sample that a page declares, 0 if it says nothing."""
    largest = 0
    for tag in (_MAX, _SIGNED_MAX):
        declared = page.tags.valueof(tag)
        declared = max(declared) if isinstance(declared, tuple) and declared else declared
        if isinstance(declared, int) and 255 <= declared <= 65535:
            largest = max(largest, declared)
    return (1 << page.bitspersample) - 1 if 8 < page.bitspersample < 16 else largest


def _scaled(values: Samples, page: TiffPage) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], str]:
    """The colours of a page in 8 bits, by the largest sample and the no-data value that it declares."""
    try:
        no_data = float(str(page.tags.valueof(_NO_DATA)).strip("\0 "))
    except ValueError:
        no_data = None
    return to_8_bits(values, largest=_largest(page), no_data=no_data, inverted=page.photometric == 0)


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
            if page.parent.byteorder == ">" and page.dtype != np.uint16:  # Pillow leaves their bytes as they are
                raise _not_read(page, f"{page.dtype} in big-endian order, compression {_named(page.compression)}")
            values = np.asarray(opened)
            return _image(values.astype(page.dtype or values.dtype), page, turned=True)
        # Pillow kept the high bytes alone; samples that use fewer bits are scaled by what is left of them.
        high = np.asarray(opened).astype(np.uint16) << 8
        colours = high.shape[2] - (opened.mode in ("RGBA", "LA"))
        if not high[..., :colours].any():  # whatever there is, is in the low bytes
            raise _not_read(page, f"{page.dtype} that uses 8 bits, compression {_named(page.compression)}")
        scaled, note = to_8_bits(high[..., :colours], largest=_largest(page))
        if colours < high.shape[2]:
            scaled = np.concatenate([scaled, alpha_to_8_bits(high[..., colours:], high[..., :colours])], axis=-1)
        image = Image.fromarray(scaled)
        _add_profile(image, page)
        return image, [note]


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
