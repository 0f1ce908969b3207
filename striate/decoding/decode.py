"""The door: the bytes of an image file to an upright 8-bit RGB image, or the reason why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.decoding import jpeg, png, tiff
from striate.decoding.budget import LIMIT, reduction_of, reserved, stored_bytes
from striate.decoding.colour import to_rgb
from striate.decoding.formats import brand, open_image, refuse
from striate.decoding.problems import UnreadableImage
from striate.decoding.wide import alpha_to_8_bits, depth_of, to_8_bits
from striate.reading import IMAGE, open_file

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Decoded:
    """An upright RGB image and what decoding found.

    image: Pillow image, mode RGB. size: width and height as stored in the file. format: Pillow's name of the true
    format. notes: keys of POLICIES, each a conversion that was made. mask: of a source with masks, the class of each
    pixel in a Pillow image of mode L, upright as the image is.
    """

    image: Image.Image
    size: tuple[int, int]
    format: str
    notes: tuple[str, ...]
    mask: Image.Image | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright image at its full size: `image` may be decoded at a reduced one."""
        (width, height), shown = self.size, self.image.size
        return (width, height) if (shown[0] >= shown[1]) == (width >= height) else (height, width)


def decode(content: bytes, *, at_least: int = 0) -> Decoded:
    """Decode image bytes to upright 8-bit RGB. Raises UnreadableImage with the reason.

    at_least: where above zero, a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as its shorter side stays at least
    twice this many pixels (the network's size), which costs no visible detail and saves most of the time.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of invalid EXIF, palettes and sizes; what matters of these is checked and reported here.
            warnings.simplefilter("ignore")
            return _decode(content, at_least)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage("bomb", str(error).split(", could")[0]) from None
    except UnidentifiedImageError:
        raise UnreadableImage("not-an-image", "the content is no known image format") from None
    except MemoryError:
        raise UnreadableImage("bomb", "does not fit into memory") from None
    except Exception as error:  # Pillow's decoders raise anything on damaged files: OSError, SyntaxError, struct.error
        kind = "truncated" if "truncat" in str(error).lower() else "damaged"
        raise UnreadableImage(kind, str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def peek(path: Path) -> tuple[int, int, int] | None:
    """Width, height and channels (1 for grey) from a file's header; None if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_file(path, IMAGE) as file, open_image(file) as opened:
                return *opened.size, 1 if opened.mode in ("L", "1", "I", "F") or opened.mode.startswith("I;16") else 3
    except Exception:  # as in decode: a decoder may raise anything; the error is reported when the file is decoded
        return None


def upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A Pillow image as upright 8-bit RGB, and the conversions that were made, keys of POLICIES."""
    image.load()  # first: a PNG's EXIF may come after its pixels, and an error in those must not pass for one in it
    try:
        orientation, broken = image.getexif().get(_ORIENTATION, 1), []
    except Exception:  # EXIF is foreign data, and the pixels do not depend on it
        orientation, broken = 1, ["metadata"]
    rgb, notes = to_rgb(image)
    notes = [*broken, *(note for note in notes if note not in broken)]
    if not (isinstance(orientation, int) and 2 <= orientation <= 8):
        return rgb, notes
    rgb.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(rgb), ["exif-rotated", *notes]


def _decode(content: bytes, at_least: int) -> Decoded:
    if brand(content) == "HEIC" and _reads_heif():
        return _by_pillow(content, [])
    refuse(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content, at_least)
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(content)
    try:
        return _by_pillow(content, [])
    except (UnreadableImage, MemoryError, Image.DecompressionBombError):
        raise
    except Exception:
        bare = png.without_metadata(content)
        if bare is None or bare == content:
            raise
        return _by_pillow(bare, ["metadata"])


def _by_pillow(content: bytes, notes: list[str]) -> Decoded:
    """Decode by Pillow alone: every format but JPEG and TIFF."""
    with open_image(content) as opened:
        size, form = _checked_size(opened), opened.format or "unknown"
        if form != "HEIF" and getattr(opened, "n_frames", 1) > 1:
            notes = ["animated", *notes]
        with reserved(size, stored_bytes(opened.mode, form)):
            image: Image.Image = opened
            more: list[str] = []
            # Pillow reads 16-bit colour as 8-bit; only the stored layout shows it, until it is loaded.
            deep = any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ()))
            if form == "PNG" and png.is_short(content, opened):
                raise UnreadableImage("truncated", "its data end before its last row")
            if deep and not opened.mode.startswith("I"):
                image, more = _wide_png(content, opened)
            return _finished(image, size, form, [*notes, *more])


def _wide_png(content: bytes, opened: Image.Image) -> tuple[Image.Image, list[str]]:
    """16-bit colour: the high bytes, as Pillow has them, unless so few bits are used that the low ones count."""
    opened.load()
    bands = len(opened.getbands())
    transparent = opened.mode in ("RGBA", "LA")
    tops = [int(opened.getchannel(number).getextrema()[1]) for number in range(bands)]  # type: ignore[arg-type]
    if max(tops[: bands - transparent]) >= 64:
        return opened, ["16-bit"]
    # The whole samples take 32 bytes a pixel: of large images the high bytes have to do.
    if opened.format == "PNG" and png.can_be_wide(content) and 32 * opened.width * opened.height < LIMIT // 4:
        image, note = _of_samples(png.wide_samples(content), transparent)
    else:
        image, note = _of_high_bytes(opened, tops, transparent)
    image.info.update({name: opened.info[name] for name in ("icc_profile", "exif") if name in opened.info})
    return image, [note]


def _of_samples(samples: NDArray[np.uint16], transparent: bool) -> tuple[Image.Image, str]:
    colour = samples[..., :-1] if transparent else samples
    scaled, note = to_8_bits(colour)
    if transparent:
        scaled = np.concatenate([scaled, alpha_to_8_bits(samples[..., -1:], colour)], axis=-1)
    return Image.fromarray(scaled[..., 0] if scaled.shape[2] == 1 else scaled), note


def _of_high_bytes(opened: Image.Image, tops: list[int], transparent: bool) -> tuple[Image.Image, str]:
    """The high bytes, as if they were the highest of the bits that are used."""
    colours = tops[: len(tops) - transparent]
    shift = 16 - depth_of(np.array([max(colours) << 8], np.uint16))
    if not shift:
        return opened, "16-bit"
    shifts = [shift] * len(colours) + ([shift if tops[-1] < 256 >> shift else 0] if transparent else [])
    return opened.point([min(255, value << by) for by in shifts for value in range(256)]), "few-bits"


def _jpeg(content: bytes, at_least: int) -> Decoded:
    structure = jpeg.examine(content)
    notes: list[str] = []
    try:
        opened = open_image(content)
    except Exception:
        content, notes = jpeg.without_metadata(content), ["metadata"]
        structure, opened = jpeg.examine(content), open_image(content)
    with opened:
        size, form = _checked_size(opened), opened.format or "JPEG"
        large = reduction_of(size)
        reduction = max((r for r in (8, 4, 2) if at_least and min(size) // r >= 2 * at_least), default=1)
        if large > reduction:
            reduction = next(r for r in (2, 4, 8) if r >= min(large, 8))
            notes = [*notes, "reduced"]
        with reserved(size, structure.stored(reduction)):
            image, more = jpeg.decode(content, structure, opened.mode, reduction)
            image.info.update(opened.info)
            try:
                image.getexif()[_ORIENTATION] = opened.getexif().get(_ORIENTATION, 1)
            except Exception:  # as in `upright`
                more = [*more, "metadata"]
            return _finished(image, size, form, [*notes, *more])


def _tiff(content: bytes) -> Decoded:
    page = tiff.choose(content)
    try:
        return _plain_tiff(content, page) if page.plain else _wide_tiff(content, page)
    except (UnreadableImage, MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:  # what one of the two libraries does not read, the other may
        try:
            return _wide_tiff(content, page) if page.plain else _plain_tiff(content, page)
        except UnreadableImage:
            raise
        except Exception:
            raise error from None


def _wide_tiff(content: bytes, page: tiff.Page) -> Decoded:
    image, notes = tiff.read_wide(content, page.place)
    return _finished(image, image.size, "TIFF", [*page.notes, *notes])


def _plain_tiff(content: bytes, page: tiff.Page) -> Decoded:
    with open_image(content) as opened:
        opened.seek(page.place)
        size = _checked_size(opened)
        notes = [*page.notes, *(["exif-rotated"] if opened.getexif().get(_ORIENTATION, 1) in range(2, 9) else [])]
        with reserved(size, stored_bytes(opened.mode, "TIFF")):  # Pillow turns a TIFF upright as it loads it
            return _finished(opened, size, "TIFF", notes)


def _finished(image: Image.Image, size: tuple[int, int], form: str, notes: list[str]) -> Decoded:
    rgb, more = upright(image)
    return Decoded(rgb, size, form, tuple(dict.fromkeys([*notes, *more])))


def _checked_size(opened: Image.Image) -> tuple[int, int]:
    if min(opened.size) < 1:
        raise UnreadableImage("damaged", f"declares {opened.size[0]} x {opened.size[1]} pixels")
    return opened.size


@lru_cache(maxsize=1)
def _reads_heif() -> bool:
    """Whether pillow-heif, the extra `heif`, is installed; Pillow then knows the format."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
