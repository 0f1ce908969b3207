"""Masks as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from striate.tasks.pixel_losses import VOID
from striate.tasks.segmentation_evaluation import colours


def indexed(mask: np.ndarray[Any, Any]) -> Image.Image:
    """A mask [H, W] as a picture with a palette: a pixel's value is the index of its class."""
    picture = Image.fromarray(np.asarray(mask, np.uint8), "P")
    picture.putpalette(colours(VOID + 1).tobytes())
    return picture
