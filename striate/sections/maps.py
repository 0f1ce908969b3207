"""Blocks that show maps: values over a picture on one scale for all of them, and the strongest maps of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.sections.blocks import Block, Words


@dataclass(frozen=True)
class ColourScale:
    """How values become colours: zero has none, `limit` and what is above has all of it.

    unit: of the values. above, below: what positive and negative values mean; below "": there are no negative ones.
    """

    limit: float
    unit: str
    above: str
    below: str = ""


@dataclass(frozen=True, eq=False)
class MapPicture:
    """An image (uint8, HxWx3 or HxW), the values [h, w] over it and their scale (None: the image alone), a caption.

    box: (left, top, right, bottom) in pixels, which is outlined.
    """

    image: NDArray[np.uint8]
    caption: Words = ""
    values: NDArray[np.float32] | None = None
    scale: ColourScale | None = None
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class MapPictures(Block):
    """Large pictures side by side, each with its caption and the scale of its values in numbers."""

    pictures: tuple[MapPicture, ...]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Small maps [T, h, w] of one layer, on one grey scale from their lowest value to their highest."""

    name: str
    words: Words
    maps: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileRows(Block):
    """Layers with some of their maps, one row a layer."""

    rows: tuple[Tiles, ...]
