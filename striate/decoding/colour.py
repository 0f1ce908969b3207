"""Any Pillow image as 8-bit RGB: palettes, transparency, CMYK, grey, more bits, and colour profiles to sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from striate.decoding.budget import reduction_of
from striate.decoding.wide import to_8_bits

_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_STRIP = 4_000_000  # pixels
_SRGB = ((0.436, 0.222, 0.014), (0.385, 0.717, 0.097), (0.143, 0.061, 0.714))  # XYZ of red, green and blue under D50


def to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A loaded image as RGB, and the conversions, keys of POLICIES. A very large one is reduced."""
    notes = []
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image, note = _narrow(image)
        notes.append(note)
    factor = reduction_of(image.size)
    if factor > 1:
        notes.append("reduced")
        image = _reduced(image, factor)
    profile = image.info.get("icc_profile")
    if profile:
        converted = _by_profile(image, profile)
        if converted is not None:
            return converted[0], [*notes, *converted[1]]
    rgb, more = _plain_rgb(image)
    return rgb, [*notes, *more]


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """The image at 1 / factor of its sides; one without shades, such as a palette's, takes every n-th pixel."""
    if image.mode == "1":
        return _in_strips(image, factor)
    if image.mode in ("P", "PA"):
        return image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
    return image.reduce(factor)


def _in_strips(image: Image.Image, factor: int) -> Image.Image:
    """A one-bit image in shades of grey, reduced, a strip at a time."""
    rows = max(1, _STRIP // image.width // factor) * factor
    strips = [
        image.crop((0, top, image.width, min(top + rows, image.height))).convert("L").reduce(factor)
        for top in range(0, image.height, rows)
    ]
    whole = Image.new("L", (strips[0].width, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        whole.paste(strip, (0, top))
        top += strip.height
    return whole


def _plain_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Without regard to profiles."""
    if image.mode in ("La", "RGBa"):  # the colours are multiplied by the transparency
        image = image.convert(image.mode.upper())
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image.copy(), []
    notes = []
    if mode in ("P", "PA"):
        notes.append("palette")
    if mode in _ALPHA or "transparency" in image.info:
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


def _narrow(image: Image.Image) -> tuple[Image.Image, str]:
    """A grey image of 16 or 32 bits in 8."""
    values = np.asarray(image)
    # Pillow scales the samples of a PGM to 16 bits, in the mode of 32.
    wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    grey, note = to_8_bits(values.astype(np.uint16, copy=False) if wide else values)
    return Image.fromarray(grey), note


def _by_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]] | None:
    """The image in sRGB by its profile; None if that is sRGB already, or of another kind of colours."""
    base = image.mode if image.mode in ("CMYK", "L") else "RGB"
    transform = _transform(profile, base)
    if transform is None:
        return None
    if transform == "damaged":
        rgb, notes = _plain_rgb(image)
        return rgb, ["metadata", *notes]
    from PIL import ImageCms

    source, notes = (image, []) if base == image.mode else _plain_rgb(image)
    named = {"CMYK": ["cmyk"], "L": ["grey"]}.get(image.mode, notes)
    return ImageCms.applyTransform(source, transform), ["profile", *named]  # type: ignore[return-value]


def _has_srgb_primaries(profile: Any) -> bool:
    """Whether a profile's red, green and blue are those of sRGB: a name alone proves nothing."""
    found = [getattr(profile, f"{name}_colorant", None) for name in ("red", "green", "blue")]
    return all(
        colour is not None and max(abs(one - other) for one, other in zip(colour[0], right, strict=True)) < 0.02
        for colour, right in zip(found, _SRGB, strict=True)
    )


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> Any:
    """The conversion from a profile to sRGB for one mode; None if none is needed; "damaged"."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        if opened.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        if "srgb" in ImageCms.getProfileDescription(opened).lower() and _has_srgb_primaries(opened.profile):
            return None
        return ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            flags=ImageCms.Flags.NOCACHE,  # many threads use it
        )
    except Exception:  # the profile is foreign data; LittleCMS refuses it in many words
        return "damaged"
