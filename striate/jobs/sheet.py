"""Rows of pictures with captions above them, as one Pillow image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 224  # maximum size of a picture in pixels; a smaller one is enlarged by an integer factor
_GAP, _MARGIN, _LINE = 8, 28, 24
_PAPER, _INK, _MUTED = "#fbfaf7", "#1d1d1b", "#6b6a66"


@dataclass(frozen=True)
class Row:
    """Pictures uint8 [B, H, W, C], the plain one first; `name` and `words` are above them."""

    name: str
    words: str
    pictures: NDArray[np.uint8]


def drawn(rows: list[Row], title: str) -> Image.Image:
    """The sheet, RGB: the title, the column heads, and every row under its caption."""
    fonts = {size: ImageFont.load_default(size) for size in (15, 17, 24)}
    columns = len(rows[0].pictures)
    cell = _shown_at(rows[0].pictures[0]).size
    width = 2 * _MARGIN + columns * cell[0] + (columns - 1) * _GAP
    heads = [_lines(f"{row.name}   {row.words}", fonts[17], width - 2 * _MARGIN) for row in rows]
    titles = _lines(title, fonts[24], width - 2 * _MARGIN)
    top = _MARGIN + 34 * len(titles) + 2 * _LINE
    height = top + sum(_LINE * len(lines) + cell[1] + 26 for lines in heads)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(titles):
        pen.text((_MARGIN, _MARGIN + 34 * number), line, _INK, fonts[24])
    for column in range(columns):
        words = "original" if column == 0 else f"epoch {column}"
        pen.text((_MARGIN + column * (cell[0] + _GAP), top - _LINE - 8), words, _MUTED, fonts[15])
    for row, lines in zip(rows, heads, strict=True):
        for line in lines:
            name = row.name if line is lines[0] and line.startswith(row.name) else ""
            pen.text((_MARGIN, top), name, _INK, fonts[17])
            pen.text((_MARGIN + fonts[17].getlength(name), top), line[len(name) :], _MUTED, fonts[17])
            top += _LINE
        for column, picture in enumerate(row.pictures):
            sheet.paste(_shown_at(picture), (_MARGIN + column * (cell[0] + _GAP), top + 2))
        top += cell[1] + 26
    return sheet


def _shown_at(picture: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(picture if picture.shape[2] == 3 else picture[..., 0]).convert("RGB")
    longest = max(image.size)
    if longest > CELL:
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        return image
    # Nearest-neighbour, so that the pixels stay visible.
    times = max(1, CELL * 3 // 4 // longest)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """`text` wrapped at spaces so that each line fits, where possible."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
