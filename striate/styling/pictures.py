"""Pictures for style transfer: sizes in proportion, brightness apart from colours, tensors and back."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from striate.errors import RequestError
from striate.pixels import Images

NARROWEST = 16  # longer side over shorter


def resized(picture: Images, longer: int, least: int) -> Images:
    """A picture with a longer side of so many pixels, in proportion. Raises RequestError if the shorter is < least."""
    rows, columns = picture.shape[:2]
    scale = longer / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    if min(height, width) < least:
        raise RequestError(
            f"a picture of {columns} x {rows} pixels becomes {width} x {height} at size {longer}, and its shorter side "
            f"must have at least {least}; give a larger size, or cut it"
        )
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def covering(picture: Images, longer: int, least: int) -> Images:
    """A picture with a longer side of so many pixels, or of more, so that the shorter has at least `least`.

    Raises RequestError for one that is more than 16 times as long as wide.
    """
    rows, columns = picture.shape[:2]
    share = max(rows, columns) / min(rows, columns)
    if share > NARROWEST:
        raise RequestError(f"a picture of {columns} x {rows} pixels is too narrow to learn from; cut it")
    return resized(picture, max(longer, math.ceil(least * share)), least)


def brightness(picture: Images) -> Images:
    """The luma of a picture, three times: a grey picture."""
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    return np.repeat(grey[..., None], 3, axis=2)


def as_bright(painting: Images, photograph: Images) -> Images:
    """A grey painting with the mean and spread of a grey photograph (Gatys et al. 2016, Preserving Color)."""
    values, like = painting.astype(np.float64), photograph.astype(np.float64)
    spread = like.std() / max(values.std(), 1.0)
    matched: Images = np.clip((values - values.mean()) * spread + like.mean(), 0, 255).round().astype(np.uint8)
    return matched


def with_colours_of(picture: Images, photograph: Images) -> Images:
    """The brightness of a picture with the colours of a photograph of the same size."""
    luma = Image.fromarray(picture).convert("YCbCr").getchannel("Y")
    _, blue, red = Image.fromarray(photograph).convert("YCbCr").split()
    return np.asarray(Image.merge("YCbCr", (luma, blue, red)).convert("RGB"))


def to_tensor(picture: Images) -> Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] of 0 to 255."""
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32))


def to_picture(tensor: Tensor) -> Images:
    """float32 [1, 3, H, W] -> uint8 [H, W, 3], rounded and clipped."""
    picture: Images = tensor[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    return picture
