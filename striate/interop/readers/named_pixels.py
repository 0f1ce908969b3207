"""The pixels that an imported network was trained with, as the user names them: most files do not say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from striate.errors import RequestError, shown, unknown
from striate.pixels import FILTERS, RULES, Pixels

# Name -> mean and deviation of red, green and blue (or of grey) on the scale 0..255.
SCALES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = MappingProxyType(
    {
        "0..255": ((0.0,), (1.0,)),
        "0..1": ((0.0,), (255.0,)),
        "-1..1": ((127.5,), (127.5,)),
        "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        "caffe": ((123.68, 116.779, 103.939), (1.0,)),
    }
)
_BLUE_FIRST = ("caffe",)
HOW = (
    f"name them: --pixels {', '.join(SCALES)}, or mean=... and std=... on the scale 0..255, and with it bgr, "
    f"{', '.join(RULES)} or bicubic where needed"
)


@dataclass(frozen=True)
class NamedPixels:
    """pixels: the preprocessing. blue_first: whether the network takes blue, green and red."""

    pixels: Pixels
    blue_first: bool


def named_pixels(text: str, shape: tuple[int, int, int]) -> NamedPixels:
    """The preprocessing that words name, for images of a shape (channels, height, width).

    Words: a scale of `SCALES`; mean and std, one number or three with commas, in the network's own order of channels;
    "bgr"; how an image of another shape is fitted, "crop" (as unless told otherwise), "squash" or "centre"; "bicubic".
    Raises RequestError for other words, and where no scale is named.
    """
    channels, height, width = shape
    values: dict[str, Any] = {}
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    blue_first = False
    for word in text.split():
        key, _, value = word.partition("=")
        if word in SCALES:
            mean, std = SCALES[word]
            blue_first |= word in _BLUE_FIRST
        elif key in ("mean", "std") and value:
            found = _numbers(value, key, channels)
            mean, std = (found, std) if key == "mean" else (mean, found)
        elif word == "bgr":
            blue_first, mean, std = True, mean and mean[::-1], std and std[::-1]
        elif word in RULES:
            values["rule"] = word
        elif word in FILTERS:
            values["filter"] = word
        else:
            raise unknown("word of --pixels", word, (*SCALES, "mean=...", "std=...", "bgr", *RULES, *FILTERS))
    if mean is None and std is None:
        raise RequestError(f"--pixels {text!r} names no scale; {HOW}")
    if channels not in (1, 3):
        raise RequestError(f"the network takes {channels} channels; images have 1 or 3")
    if blue_first and channels != 3:
        raise RequestError("bgr is for networks of three channels")
    wide = [_wide(one, channels) for one in (mean or (0.0,), std or (1.0,))]
    return NamedPixels(Pixels(height, width, channels, mean=wide[0], std=wide[1], **values), blue_first)


def _wide(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise RequestError(f"the network takes {channels} channels, and the pixels named have {len(values)}")
    return values * channels if len(values) == 1 else values


def _numbers(text: str, key: str, channels: int) -> tuple[float, ...]:
    parts = text.split(",")
    if not all(re.fullmatch(r"-?\d{1,6}(\.\d{1,9})?", part, re.ASCII) for part in parts) or len(parts) not in (
        1,
        channels,
    ):
        raise RequestError(f"{key} is one number or {channels} with commas, not {shown(text)}")
    found = tuple(float(part) for part in parts)
    if not all(map(math.isfinite, found)):
        raise RequestError(f"{key} is {shown(text)}")
    return found
