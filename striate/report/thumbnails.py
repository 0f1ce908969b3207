"""Small pictures inside the page itself, so that the report stays one file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 112
TINY_SIDE = 56

CSS = """
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.2rem, 1fr)); gap: 1.3rem 1.1rem }
.photos figure { margin: 0 } .photos figcaption { font-size: .9rem; line-height: 1.35 }
.photos .frame { height: 130px; display: flex; align-items: center; justify-content: center; background: var(--well);
  border-radius: 9px; margin-bottom: .5rem }
.photos img { max-width: 112px; max-height: 112px; border-radius: 3px; display: block }
.photos img.tiny { width: 84px; image-rendering: pixelated }
.photos small { color: var(--muted); display: block; margin-top: .2rem; font: .74rem/1.35 var(--mono) }
@media (max-width: 46rem) { .photos { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.1rem .8rem } }
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
    # Full chroma: at this size the usual halved colour smears exactly the detail the reader is looking for.
    picture.save(buffer, "JPEG", quality=86, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def photo(image: NDArray[np.uint8], alt: str, caption: str, path: str) -> str:
    """One framed picture with its caption and file name; `alt`, `caption` and `path` are HTML already."""
    # A handwritten digit of 28 pixels is shown larger, its pixels square: blurring would show what is not there.
    tiny = ' class="tiny"' if max(image.shape[:2]) <= TINY_SIDE else ""
    return (
        f'<figure><div class="frame"><img{tiny} alt="{alt}" src="{data_uri(image)}"></div>'
        f"<figcaption>{caption}<small>{path}</small></figcaption></figure>"
    )
