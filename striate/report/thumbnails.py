"""Small pictures inside the page itself, so that a page stays one file, and within a budget, so that it stays small."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 112
SMALL_SIDE = 96
TINY_SIDE = 56
LARGE_SIDE = 240  # of a picture that opens to more than the page shows of it
LARGE_ROOM = 1_000_000  # bytes: the first pictures of a page, its weightiest, are large ones
ROOM = 2_000_000  # bytes of pictures in one page, of the three million it may have
MOST = 250  # pictures in one page

CSS = """
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.2rem, 1fr)); gap: 1.3rem 1.1rem }
.photos figure { margin: 0; min-width: 0 } .photos figcaption { font-size: .9rem; line-height: 1.35 }
.frame { height: 130px; display: flex; align-items: center; justify-content: center; background: var(--well);
  border-radius: 9px; margin-bottom: .5rem }
.frame img { max-width: 112px; max-height: 112px; border-radius: 3px; display: block }
.frame img.tiny { width: 84px; image-rendering: pixelated }
.photos small { color: var(--muted); display: block; margin-top: .2rem; font: .74rem/1.35 var(--mono) }
.photos.small { grid-template-columns: repeat(auto-fill, minmax(7.4rem, 1fr)); gap: 1rem .9rem }
.photos.small .frame { height: 108px } .photos.small .frame img { max-width: 96px; max-height: 96px }
.photos + .quiet { margin-top: .9rem }
.strip { display: flex; flex-wrap: wrap; gap: .5rem }
.strip .frame { margin: 0; width: 128px } .strip .first { box-shadow: inset 0 0 0 2px rgb(var(--good) / .55) }
@media (max-width: 46rem) { .photos { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.1rem .8rem }
  .photos.small { grid-template-columns: repeat(2, minmax(0, 1fr)) }
  .strip .frame { width: calc(50% - .25rem) } }
.frame { cursor: zoom-in; outline-offset: 2px } .frame:focus { cursor: zoom-out }
.frame:focus img, .photos.small .frame:focus img, .frame:focus img.tiny { position: fixed; inset: 0; margin: auto;
  z-index: 9; width: min(92vmin, 36rem); height: min(92vmin, 36rem); max-width: none; max-height: none;
  object-fit: contain; pointer-events: none; background: #111; box-shadow: 0 0 0 100vmax rgb(0 0 0 / .72) }
"""


def data_uri(image: NDArray[np.uint8], longest: int = LONGEST_SIDE) -> str:
    """`image` (uint8, HxWx3 or HxW) as a JPEG in a `data:` address, shrunk to `longest` pixels, never enlarged.

    Raises ValueError naming the shape and type of anything else.
    """
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not fits or 0 in image.shape:
        raise ValueError(f"a thumbnail needs a uint8 array HxWx3 or HxW; got {image.dtype} {image.shape}")
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if longest != LONGEST_SIDE:  # one of many, or a large one: a little less fine, and half the bytes
        picture.save(buffer, "JPEG", quality=78, optimize=True)
    else:
        # Full chroma: at this size the usual halved colour smears exactly the detail the reader is looking for.
        picture.save(buffer, "JPEG", quality=86, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class Album:
    """The pictures of one page: hands out at most MOST of them, and of ROOM bytes; after that, none.

    A picture opens when it is chosen, without a script; the first ones, of LARGE_ROOM bytes, are stored larger than the
    page shows them.
    The sections of a page take from it in the order of their weight, so that a page too full loses the lesser pictures.
    """

    def __init__(self, room: int = ROOM, most: int = MOST) -> None:
        self.room, self.most, self._large = room, most, room * LARGE_ROOM // ROOM

    def frame(self, image: NDArray[np.uint8] | None, alt: str, small: bool = False, mark: str = "") -> str:
        """One framed picture (`alt` and `mark`, a class of the frame, are HTML already); empty where none fits."""
        if image is None or self.most < 1 or self.room <= 0:
            return ""
        address = data_uri(image, SMALL_SIDE if small else LONGEST_SIDE)
        if max(image.shape[:2]) > LONGEST_SIDE and self._large > 0:
            large = data_uri(image, LARGE_SIDE)
            address = large if len(large) <= self._large else address
            self._large -= len(large)
        if len(address) > self.room:
            return ""
        self.room, self.most = self.room - len(address), self.most - 1
        # A handwritten digit of 28 pixels is shown larger, its pixels square: blurring would show what is not there.
        tiny = ' class="tiny"' if max(image.shape[:2]) <= TINY_SIDE else ""
        return f'<div class="frame{mark and " " + mark}" tabindex="0"><img{tiny} alt="{alt}" src="{address}"></div>'

    def address(self, image: NDArray[np.uint8], longest: int) -> str:
        """One picture as a `data:` address, shrunk to `longest` pixels; empty where none fits any more."""
        found = data_uri(image, longest) if self.most >= 1 else ""
        if not found or len(found) > self.room:
            return ""
        self.room, self.most = self.room - len(found), self.most - 1
        return found

    def photo(self, image: NDArray[np.uint8] | None, alt: str, caption: str, path: str, small: bool = False) -> str:
        """A framed picture with its caption and file name, all three HTML already; empty where none fits any more."""
        framed = self.frame(image, alt, small)
        return framed and f"<figure>{framed}<figcaption>{caption}<small>{path}</small></figcaption></figure>"
