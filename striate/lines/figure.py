"""A picture of a reading: the line as the classifier saw it, above the probability of each class at each place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from striate.lines.decoding import Character
from striate.lines.preparing import WINDOW
from striate.lines.sliding import LineScores
from striate.pixels import Images

SCALE = 5  # pixels of the picture for one of the line
ROW = 14  # pixels of a class's row
_NAMES, _GAP, _SIZE = 56, 8, 13  # pixels left for the names, between parts, and of letters
_PAPER, _INK, _MARK = (255, 255, 255), (28, 33, 38), (200, 78, 24)


def reading_figure(scores: LineScores, characters: Sequence[Character], classes: Sequence[str]) -> Images:
    """uint8 [H, W, 3]: darker is more probable; each character is marked where it is most probable.

    Without the empty margins of the prepared line.
    """
    line = scores.line.image[:, WINDOW // 2 : -WINDOW // 2]
    width, top = line.shape[1] * SCALE, _SIZE + 2 * _GAP
    under = top + WINDOW * SCALE + _GAP
    picture = Image.new("RGB", (_NAMES + width + _GAP, under + ROW * len(classes) + _GAP), _PAPER)
    picture.paste(Image.fromarray(255 - line).resize((width, WINDOW * SCALE), Image.Resampling.NEAREST), (_NAMES, top))
    step = int(np.diff(scores.columns).min()) if len(scores.columns) > 1 else 1
    grey = np.round(255 * (1 - np.exp(scores.log_probabilities.T))).astype(np.uint8)  # [classes, P]
    heat = Image.fromarray(grey).resize((grey.shape[1] * step * SCALE, ROW * len(classes)), Image.Resampling.NEAREST)
    start = _NAMES + round((scores.columns[0] - WINDOW // 2 - step / 2) * SCALE)
    picture.paste(heat, (start, under))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, under, _NAMES - 1, picture.height), fill=_PAPER)
    for place, name in enumerate(classes):
        pen.text((_GAP, under + place * ROW), name[:7], fill=_INK, font_size=_SIZE - 1)
    for one in characters:
        x = _NAMES + (int(scores.columns[one.place]) - WINDOW // 2) * SCALE
        pen.line((x, top, x, under + ROW * len(classes)), fill=_MARK)
        pen.text((x - 4, _GAP), classes[one.label], fill=_MARK, font_size=_SIZE + 2)
    return np.asarray(picture)


def stacked(figures: Sequence[Images]) -> Images:
    """Figures one below the other, on white."""
    width = max(figure.shape[1] for figure in figures)
    return np.concatenate(
        [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in figures]
    )
