"""A line as the classifier takes it: bright ink on black, one height of ink, an empty margin on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from striate.errors import RequestError
from striate.pixels import Images

INK = 20  # pixels: the height of the ink in a window of 32, as MNIST's digits have it
WINDOW = 32
_WEAK = 0.35  # of the contrast: fainter pixels are noise, not ink
_MOST_WIDTHS = 200  # windows in one line


@dataclass(frozen=True, eq=False)
class PreparedLine:
    """image: uint8 [WINDOW, W]. scale: its pixels for one of the original. left: where the original begins in it."""

    image: Images
    scale: float
    left: int

    def original_x(self, x: float) -> float:
        """The column of the original image for one of the prepared line."""
        return (x - self.left) / self.scale


def prepare_line(grey: Images) -> PreparedLine:
    """A grey picture [H, W] of one line of digits, dark on bright or bright on dark, prepared for reading.

    The brightness is stretched from the background (the median) to the ink, rows and columns without ink are cut off,
    and the ink is scaled to 20 of 32 pixels. Raises RequestError for a picture without ink, and for a line that is over
    200 times as wide as it is high.
    """
    values = grey.astype(np.float32)
    values = 255 - values if np.median(values) > 127 else values
    dark, bright = np.median(values), np.percentile(values, 99.5)
    if bright - dark < 16:
        raise RequestError("the picture has no digits: nothing in it differs from the background")
    level = np.clip((values - dark) / (bright - dark), 0, 1)
    # Noise is told from ink by the mean of 3 x 3 pixels, because strokes are wider than one.
    blurred = np.asarray(Image.fromarray((255 * level).astype(np.uint8)).filter(ImageFilter.BoxBlur(1))) / 255
    ink = blurred > _WEAK
    rows, columns = (_extent(ink.sum(axis)) for axis in (1, 0))
    if rows is None or columns is None:
        raise RequestError("the picture has no digits: only single pixels differ from the background")
    cut = np.where(blurred > _WEAK / 2, level, 0)[rows[0] : rows[1], columns[0] : columns[1]]
    scale = INK / len(cut)
    width = max(1, round(cut.shape[1] * scale))
    if width > _MOST_WIDTHS * WINDOW:
        raise RequestError(f"the line is {width // WINDOW} times as wide as it is high; at most {_MOST_WIDTHS} is read")
    scaled = Image.fromarray((255 * cut).astype(np.uint8)).resize((width, INK), Image.Resampling.BILINEAR)
    image = np.zeros((WINDOW, width + 2 * WINDOW), np.uint8)
    top = (WINDOW - INK) // 2
    image[top : top + INK, WINDOW : WINDOW + width] = scaled
    return PreparedLine(image, scale, WINDOW - round(columns[0] * scale))


def _extent(counts: np.ndarray) -> tuple[int, int] | None:
    """The first and one past the last place with at least two pixels of ink; None without."""
    places = np.flatnonzero(counts >= 2)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else None
