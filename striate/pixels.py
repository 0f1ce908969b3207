"""The preprocessing: from a file's bytes to the network input, the same in every verb and engine.

Two steps. `decode` turns any image file into upright 8-bit RGB and lists the conversions. `Pixels`, which is stored in
the model file, crops and resizes to the input size and holds the normalisation. NumPy and Pillow only.
"""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.errors import RequestError, unknown

Images = NDArray[np.uint8]

MAX_PIXELS = 178_956_970  # larger images are not decoded: Pillow's limit for a decompression bomb
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
RULES = ("crop", "squash", "centre")

LUMA = (19595, 38470, 7471)  # Pillow's integer weights of red, green and blue (ITU-R 601), over 65536

POLICIES = {
    "exif-rotated": "rotated by the EXIF orientation",
    "cmyk": "converted from CMYK to RGB",
    "16-bit": "converted from 16 to 8 bits by dropping the low byte",
    "high-range": "32-bit values, scaled to 8 bits by the minimum and maximum of the image",
    "palette": "palette converted to RGB",
    "alpha": "transparency composited over white",
    "animated": "first frame used",
    "grey": "greyscale converted to RGB",
    "other-mode": "converted to RGB",
}


class UnreadableImage(Exception):  # noqa: N818  (the file is at fault, not the program)
    """An image that cannot be used; `kind` is the kind of its finding, the text is the reason."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True)
class Decoded:
    """An upright RGB image and what decoding found.

    image: Pillow image, mode RGB. size: width and height as stored in the file. format: Pillow's name of the true
    format. notes: keys of POLICIES, each a conversion that was made.
    """

    image: Image.Image
    size: tuple[int, int]
    format: str
    notes: tuple[str, ...]


def decode(content: bytes, *, at_least: int = 0) -> Decoded:
    """Decode image bytes to upright 8-bit RGB. Raises UnreadableImage with the reason.

    at_least: where above zero, a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as its shorter side stays at least
    twice this many pixels (the network's size), which costs no visible detail and saves most of the time.
    """
    if not content:
        raise UnreadableImage("empty", "zero bytes")
    try:
        with warnings.catch_warnings():
            # Pillow warns of invalid EXIF, palettes and sizes; what matters of these is checked and reported here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as opened:
                return _decode_opened(opened, at_least)
    except Image.DecompressionBombError:
        raise UnreadableImage("bomb", f"declares more than {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise UnreadableImage("not-an-image", "the content is no known image format") from None
    except UnreadableImage:
        raise
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
            with Image.open(path) as opened:
                return *opened.size, 1 if opened.mode in ("L", "1", "I", "F") or opened.mode.startswith("I;16") else 3
    except Exception:  # as in decode: a decoder may raise anything; the error is reported when the file is decoded
        return None


def _decode_opened(opened: Image.Image, at_least: int) -> Decoded:
    size, form = opened.size, opened.format or "unknown"
    if size[0] * size[1] > MAX_PIXELS:
        raise UnreadableImage("bomb", f"declares {size[0]} x {size[1]} pixels; the limit is {MAX_PIXELS:,}")
    if min(size) < 1:
        raise UnreadableImage("damaged", f"declares {size[0]} x {size[1]} pixels")
    if at_least and form == "JPEG":
        reduction = max((r for r in (8, 4, 2) if min(size) // r >= 2 * at_least), default=1)
        if reduction > 1:
            opened.draft(opened.mode, (size[0] // reduction, size[1] // reduction))
    # An MPO's further frames are a camera's previews.
    notes = ["animated"] if form != "MPO" and getattr(opened, "n_frames", 1) > 1 else []
    # Pillow reads 16-bit colour as 8-bit; only the stored layout shows it.
    if any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ())) and not opened.mode.startswith("I"):
        notes.append("16-bit")
    image, conversions = upright(opened)
    return Decoded(image, size, form, (*notes, *conversions))


def upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A Pillow image as upright 8-bit RGB, and the conversions that were made, keys of POLICIES."""
    orientation = image.getexif().get(0x0112, 1)
    image.load()
    rgb, notes = _to_rgb(image)
    if not (isinstance(orientation, int) and 2 <= orientation <= 8):
        return rgb, notes
    return ImageOps.exif_transpose(_with_orientation(rgb, orientation)), ["exif-rotated", *notes]


def _with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[0x0112] = orientation
    return image


def _to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image.copy(), []
    if mode.startswith("I;16"):
        wide = np.asarray(image.convert("I"), dtype=np.int64)
        return Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8)).convert("RGB"), ["16-bit", "grey"]
    if mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) * (255 / (high - low) if high > low else 0)
        return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB"), ["high-range", "grey"]
    notes = []
    if mode in ("P", "PA"):
        notes.append("palette")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        notes.append("alpha")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"), notes
    if mode in ("L", "1"):
        notes.append("grey")
    elif mode == "CMYK":
        notes.append("cmyk")
    elif mode != "P":
        notes.append("other-mode")
    return image.convert("RGB"), notes


@dataclass(frozen=True)
class Pixels:
    """The preprocessing of an RGB image to the network's input; part of the model file.

    height, width: of the input, in pixels. channels: 3, or 1 for grey (ITU-R 601 luma, Pillow's integer rule).
    rule: "crop" takes the centred square of `fraction` of the shorter side and resizes it; "squash" resizes all of the
    image, ignoring the aspect; "centre" never enlarges: larger images are shrunk to fit, then padded with `fill`.
    filter: Pillow's resize filter, on uint8. mean, std: per channel on the 0..255 scale: input = (pixel - mean) / std.
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
        resample = FILTERS[self.filter]
        width, height = source.size
        if self.rule == "crop":
            side = crop_side(min(width, height), self.fraction)
            left, top = (width - side) // 2, (height - side) // 2
            source = source.crop((left, top, left + side, top + side))
        if self.rule == "centre":
            fitted = fitted_size(width, height, self.width, self.height)
            if fitted != source.size:
                source = source.resize(fitted, resample)
            canvas = Image.new(
                source.mode, (self.width, self.height), (self.fill,) * 3 if self.channels == 3 else self.fill
            )
            canvas.paste(source, ((self.width - fitted[0]) // 2, (self.height - fitted[1]) // 2))
            source = canvas
        elif source.size != (self.width, self.height):
            source = source.resize((self.width, self.height), resample)
        return np.asarray(source, dtype=np.uint8).reshape(self.height, self.width, self.channels)


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
