"""Small pictures inside the page itself, so that the report stays one file."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 112


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
