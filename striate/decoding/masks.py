"""Mask files: the value or the colour of each pixel as stored, without the conversions that pictures go through."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from striate.decoding.budget import reserved
from striate.decoding.formats import open_image, refuse
from striate.decoding.problems import UnreadableImage

BAD = "bad-mask"  # the kind of the finding of a mask that cannot be used
_ORIENTATION = 0x0112
_LOSSY = ("JPEG", "MPO", "HEIF", "AVIF")
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Values = NDArray[np.uint8]


def stored_mask(content: bytes) -> Values:
    """The values of a mask file: uint8 [H, W], or [H, W, 3] where it is of colours. Raises UnreadableImage.

    Of an indexed (palette) file the values are the indices, not the palette's colours. A file of three equal channels
    is grey. Its own EXIF orientation is applied.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            refuse(content)
            with open_image(content) as opened:
                if opened.format in _LOSSY:
                    raise UnreadableImage(
                        BAD, f"the mask is saved as {opened.format}, which changes values: save it as PNG"
                    )
                with reserved(opened.size, 8):
                    return _values(ImageOps.exif_transpose(opened))
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableImage(BAD, f"the mask cannot be read: {why}") from None


def _values(image: Image.Image) -> Values:
    if image.mode in ("RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"):
        colours = np.asarray(image.convert("RGB"), np.uint8)
        same = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all()
        return colours[..., 0] if same else colours
    if image.mode in ("LA", "PA"):
        return np.asarray(image.getchannel(0), np.uint8)
    if image.mode == "1":
        return np.asarray(image.convert("L"), np.uint8)
    found: NDArray[Any] = np.asarray(image)
    if found.size and (found.min() < 0 or found.max() > 255 or (found != found.astype(np.int64)).any()):
        raise UnreadableImage(
            BAD, f"the mask has values up to {found.max():g}: class indices are whole numbers up to 255"
        )
    return found.astype(np.uint8)


def orientation(content: bytes) -> int:
    """The EXIF orientation of an image file, 1 to 8; 1 where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(content) as opened:
                found = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is foreign data
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(mask: Values, size: tuple[int, int], turn: int) -> Values:
    """A mask [H, W] as upright as its image, whose stored width and height is `size` and EXIF orientation `turn`.

    A mask of the upright image's size is upright already; one of the stored image's is turned with it.
    Raises UnreadableImage for any other size.
    """
    upright = size[::-1] if turn >= 5 else size
    given = (mask.shape[1], mask.shape[0])
    if given == upright:
        return mask
    if given != size:
        wanted = " x ".join(map(str, upright))
        raise UnreadableImage(BAD, f"the mask has {given[0]} x {given[1]} pixels and its image {wanted}")
    return np.asarray(Image.fromarray(mask).transpose(_TRANSPOSED[turn]), np.uint8)
