"""Queries: image files, or a region of one, as the network's input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from striate.data.audit.likeness import sketch
from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.pixels import Decoded, Images, Pixels

SHOWN = 240  # pixels that a picture on a page keeps at least

Region = tuple[int, int, int, int]  # x, y, width and height, in pixels of the upright picture


@dataclass(frozen=True)
class Query:
    """A query. print: as of a photograph in the index; b"" for a region, which is no whole picture."""

    path: str
    print: bytes = b""


def parse_region(text: str) -> Region:
    """`x,y,w,h`, in pixels of the upright picture, from its upper left corner. Raises RequestError."""
    try:
        x, y, width, height = (int(word) for word in text.split(","))
    except ValueError:
        raise RequestError(f"a region is x,y,w,h in whole pixels, such as 40,60,120,80, not {text!r}") from None
    return x, y, width, height


def open_query(path: str, pixels: Pixels, region: Region | None = None) -> tuple[Query, Images]:
    """Read a query; with it the network's input, uint8 [H, W, C].

    Raises RequestError for a file that cannot be used, and for a region that is not in the picture.
    """
    if region is not None:
        return Query(path), pixels.apply(_inside(path, region))
    found, crop = seen(decoded_file(Path(path), pixels.at_least), pixels)
    return Query(path, found), crop


def seen(decoded: Decoded, pixels: Pixels) -> tuple[bytes, Images]:
    """The print of a whole picture, and the network's input, uint8 [H, W, C]."""
    return sketch(decoded.image, decoded.size)[1], pixels.apply(decoded.image)


def picture(path: str, region: Region | None = None) -> Images:
    """The picture, or its region, for a page: uint8 [H, W, 3], of at most 480 pixels. Raises RequestError."""
    image = decoded_file(Path(path), SHOWN).image if region is None else _inside(path, region)
    image.thumbnail((2 * SHOWN, 2 * SHOWN))
    return np.asarray(image)


def _inside(path: str, region: Region) -> Image:
    image = decoded_file(Path(path), 0).image  # in full: the region is in its pixels
    x, y, width, height = region
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > image.width or y + height > image.height:
        raise RequestError(
            f"the region {x},{y},{width},{height} is not inside {path!r}, which has {image.width} x {image.height} "
            "pixels; give x,y,w,h"
        )
    return image.crop((x, y, x + width, y + height))
