"""The preprocessing: from a file's bytes to the network input, the same in every verb and engine.

Two steps. `decode` (in `striate.decoding`) turns any image file into upright 8-bit RGB and lists the conversions.
`Pixels`, which is stored in the model file, crops and resizes to the input size and holds the normalisation.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.decoding.decode import Decoded, decode, peek, upright
from striate.decoding.problems import DECODING, POLICIES, UnreadableImage
from striate.errors import RequestError, unknown

__all__ = [
    "DECODING", "FILTERS", "POLICIES", "RULES",
    "Decoded", "Images", "Pixels", "UnreadableImage", "decode", "peek", "upright",
]  # fmt: skip

Images = NDArray[np.uint8]

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
RULES = ("crop", "squash", "centre")

FLAT_NORM = 0.5  # no 8-bit image with two different values has so small a norm around its mean: it is of one colour
LUMA = (19595, 38470, 7471)  # Pillow's integer weights of red, green and blue (ITU-R 601), over 65536


@dataclass(frozen=True)
class Pixels:
    """The preprocessing of an RGB image to the network's input; part of the model file.

    height, width: of the input, in pixels. channels: 3, or 1 for grey (ITU-R 601 luma, Pillow's integer rule).
    rule: "crop" takes the centred square of `fraction` of the shorter side and resizes it; "squash" resizes all of the
    image, ignoring the aspect; "centre" never enlarges: larger images are shrunk to fit, then padded with `fill`.
    filter: Pillow's resize filter, on uint8. mean, std: per channel on the 0..255 scale: input = (pixel - mean) / std.
    contrast: 0, or the scale of global contrast normalisation, which then takes the place of mean and std.
    """

    height: int
    width: int
    channels: int = 3
    rule: str = "crop"
    fraction: float = 1.0
    filter: str = "bilinear"
    fill: int = 0
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (127.5, 127.5, 127.5)
    contrast: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown("pixel rule", str(self.rule), RULES)
        if self.filter not in FILTERS:
            raise unknown("resize filter", str(self.filter), FILTERS)
        for name in ("height", "width"):
            if not (type(getattr(self, name)) is int and 1 <= getattr(self, name) <= 8192):
                raise RequestError(f"pixels.{name} must be an integer from 1 to 8192, not {getattr(self, name)!r}")
        whole = type(self.channels) is int and type(self.fill) is int
        if not whole or self.channels not in (1, 3) or not 0.001 <= self.fraction <= 1 or not 0 <= self.fill <= 255:
            raise RequestError("pixels takes 1 or 3 channels, a fraction from 0.001 to 1 and a fill in 0..255")
        finite = all(math.isfinite(value) for value in (*self.mean, *self.std))
        if (
            not len(self.mean) == len(self.std) == self.channels
            or not finite
            or not all(value > 0 for value in self.std)
        ):
            raise RequestError(f"pixels needs a finite mean and a positive std for each of {self.channels} channels")
        if not (isinstance(self.contrast, int | float) and 0 <= self.contrast <= 1e6):
            raise RequestError(f"pixels.contrast must be from 0 to 1e6, not {self.contrast!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Pixels:
        """The inverse of `as_dict`. Raises RequestError for anything else."""
        names = {item.name for item in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not {"height", "width"} <= values.keys() <= names:
            raise RequestError(f"pixels takes the keys {', '.join(sorted(names))}")
        try:
            lists: dict[str, Any] = {n: tuple(float(v) for v in values[n]) for n in ("mean", "std") if n in values}
            return cls(**{**values, **lists})
        except RequestError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestError(f"pixels holds a value of the wrong type: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what `apply` returns: height, width, channels."""
        return self.height, self.width, self.channels

    @property
    def at_least(self) -> int:
        """The argument of `decode`, so that a reduced decoding keeps twice the size needed after cropping."""
        longer = max(self.height, self.width)
        return round(longer / self.fraction) if self.rule == "crop" else longer

    def decode(self, content: bytes) -> Decoded:
        """`decode` at the size that this preprocessing needs."""
        return decode(content, at_least=self.at_least)

    def apply(self, image: Image.Image) -> Images:
        """Crop and resize an RGB image: uint8 [height, width, channels], not yet normalised.

        All sizes are computed in integers, so that exported graphs can reproduce them exactly.
        """
        source = image if self.channels == 3 else image.convert("L")
        placed = self._placed(source, FILTERS[self.filter], (self.fill,) * 3 if self.channels == 3 else self.fill)
        return np.asarray(placed, dtype=np.uint8).reshape(self.height, self.width, self.channels)

    def apply_mask(self, mask: Image.Image, void: int) -> Images:
        """Crop and resize the mask of an image as `apply` does the image, without mixing values: uint8 [height, width].

        void: the value of what lies outside the image.
        """
        return np.asarray(self._placed(mask, Image.Resampling.NEAREST, void), np.uint8)

    def _placed(self, source: Image.Image, resample: Image.Resampling, fill: int | tuple[int, ...]) -> Image.Image:
        """The image cropped and resized to height and width by the rule; `fill` is what lies outside it."""
        width, height = source.size
        if self.rule == "crop":
            side = crop_side(min(width, height), self.fraction)
            left, top = (width - side) // 2, (height - side) // 2
            source = source.crop((left, top, left + side, top + side))
        if self.rule == "centre":
            fitted = fitted_size(width, height, self.width, self.height)
            if fitted != source.size:
                source = source.resize(fitted, resample)
            canvas = Image.new(source.mode, (self.width, self.height), fill)
            canvas.paste(source, ((self.width - fitted[0]) // 2, (self.height - fitted[1]) // 2))
            return canvas
        size = (self.width, self.height)
        return source if source.size == size else source.resize(size, resample)


def crop_side(shorter: int, fraction: float) -> int:
    """The side of the centre crop: `fraction` (rounded to thousandths) of the shorter side, half up, at least 1."""
    return max(1, (shorter * round(fraction * 1000) * 2 + 1000) // 2000)


def fitted_size(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int]:
    """Width and height shrunk, never enlarged, to fit into to_width x to_height, same aspect, rounded half up."""
    if width <= to_width and height <= to_height:
        return width, height
    # The limiting side is the one with the larger ratio: width / to_width or height / to_height.
    over, under = (width, to_width) if width * to_height >= height * to_width else (height, to_height)
    shrunk = [max(1, (2 * side * under + over) // (2 * over)) for side in (width, height)]
    return min(shrunk[0], to_width), min(shrunk[1], to_height)
