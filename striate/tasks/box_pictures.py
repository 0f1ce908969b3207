"""Boxes drawn over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Of the classes in turn: Okabe and Ito's colours that can be told apart by most people, without black.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


class Drawn(NamedTuple):
    """A box to draw: x1, y1, x2, y2 in pixels, the index of its class, and its label, which may be empty."""

    box: tuple[float, float, float, float]
    place: int
    label: str = ""


def draw_boxes(image: NDArray[np.uint8], boxes: Sequence[Drawn]) -> NDArray[np.uint8]:
    """An image [H, W, 3] or [H, W] with boxes and labels over it, in a colour for each class: uint8 [H, W, 3]."""
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    draw = ImageDraw.Draw(picture)
    shorter = min(picture.size)
    line, font = max(1, round(shorter / 160)), ImageFont.load_default(max(9, round(shorter / 26)))
    for one in boxes:
        x1, y1, x2, y2 = one.box
        draw.rectangle(
            (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=COLOURS[one.place % len(COLOURS)], width=line
        )
    for one in boxes:  # labels over all lines
        if one.label:
            _label(draw, one, font, picture.size)
    return np.asarray(picture)


def _label(
    draw: ImageDraw.ImageDraw, one: Drawn, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, size: tuple[int, int]
) -> None:
    colour = COLOURS[one.place % len(COLOURS)]
    left, top, right, bottom = draw.textbbox((0, 0), one.label, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(one.box[0], size[0] - width))
    y = one.box[1] - height if one.box[1] >= height else one.box[1]
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 110
    draw.text((x + 2 - left, y + 2 - top), one.label, fill=(255, 255, 255) if dark else (0, 0, 0), font=font)
