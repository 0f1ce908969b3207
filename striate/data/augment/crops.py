"""Several views of one image, for predictions averaged over them: mirrored, ten crops, any others.

NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np
from PIL import Image

from striate.pixels import FILTERS, Images, Pixels

_AROUND = 256, 224  # the paper's side of the image, and of the crop


def ten_crops(image: Image.Image, pixels: Pixels) -> Images:
    """The four corners and the centre of an upright RGB `image`, then the mirror image of each: uint8 [10, H, W, C].

    The image is resized, with its aspect, so that the crop of `pixels`' size is 224/256 of it along the limiting side
    (the shorter one, for a square crop). In order: top left, top right, bottom left, bottom right, centre.
    Source: Krizhevsky et al. 2012, section 4.1. The rule and fraction of `pixels` are not used.
    """
    source = image if pixels.channels == 3 else image.convert("L")
    needed = [-(-side * _AROUND[0] // _AROUND[1]) for side in (pixels.width, pixels.height)]
    # The limiting side is the one with the larger ratio; the other one is scaled with it, rounded half up.
    over, under = (0, 1) if needed[0] * source.size[1] >= needed[1] * source.size[0] else (1, 0)
    sides = [0, 0]
    sides[over] = needed[over]
    sides[under] = (2 * source.size[under] * needed[over] + source.size[over]) // (2 * source.size[over])
    width, height = sides[0], sides[1]
    array = np.asarray(source.resize((width, height), FILTERS[pixels.filter]), np.uint8)
    array = array.reshape(height, width, pixels.channels)
    down, right = height - pixels.height, width - pixels.width
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    five = np.stack([array[y : y + pixels.height, x : x + pixels.width] for y, x in places])
    return np.concatenate([five, five[:, :, ::-1]])


class View(Protocol):
    """A replacement of `Pixels`: from an image to what a network sees of it."""

    @property
    def at_least(self) -> int:
        """The minimum size, of which a reduced decoding must keep twice."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what `apply` returns."""
        ...

    def apply(self, image: Image.Image) -> Images:
        """From an RGB image: uint8 [..., H, W, C]."""
        ...


@dataclass(frozen=True)
class Mirrored:
    """The crop of `pixels`, mirrored left to right: uint8 [H, W, C]."""

    pixels: Pixels

    @property
    def at_least(self) -> int:
        """As of `pixels`."""
        return self.pixels.at_least

    @property
    def shape(self) -> tuple[int, ...]:
        """As of `pixels`."""
        return self.pixels.shape

    def apply(self, image: Image.Image) -> Images:
        """The mirrored crop of an RGB image."""
        return self.pixels.apply(image)[:, ::-1]


@dataclass(frozen=True)
class Several:
    """Views of different shapes, in one row for each image: uint8 [bytes], which `parts` takes apart again."""

    views: tuple[View, ...]

    @classmethod
    def of(cls, views: Iterable[View]) -> Several:
        """Each view once."""
        return cls(tuple(dict.fromkeys(views)))

    @property
    def at_least(self) -> int:
        """The largest of the views'."""
        return max(view.at_least for view in self.views)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The bytes of all views."""
        return (sum(prod(view.shape) for view in self.views),)

    def apply(self, image: Image.Image) -> Images:
        """All views of an RGB image."""
        return np.concatenate([view.apply(image).reshape(-1) for view in self.views])

    def parts(self, rows: Images) -> dict[View, Images]:
        """Each view of N images, [N, *shape], from rows [N, bytes]."""
        found, start = {}, 0
        for view in self.views:
            end = start + prod(view.shape)
            found[view] = rows[:, start:end].reshape(len(rows), *view.shape)
            start = end
        return found


@dataclass(frozen=True)
class TenCrops:
    """Ten crops per image: uint8 [10, H, W, C]."""

    pixels: Pixels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the ten crops."""
        return (10, *self.pixels.shape)

    @property
    def at_least(self) -> int:
        """The minimum size, of which a reduced decoding must keep twice: the whole image's, not the crop's."""
        longer = max(self.pixels.height, self.pixels.width)
        return -(-longer * _AROUND[0] // _AROUND[1])

    def apply(self, image: Image.Image) -> Images:
        """`ten_crops` of an RGB image."""
        return ten_crops(image, self.pixels)
