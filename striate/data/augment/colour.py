"""Augmentation of pixel values: colour shifts, cutout and pixel dropout."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation, pixels_of
from striate.data.augment.keyed import Stream, grain, normal, several
from striate.data.augment.warp import Draws
from striate.errors import RequestError

# The principal components of ImageNet's RGB values on the scale 0 .. 1, a column each, times their eigenvalues; as
# published with fb.resnet.torch (datasets/transforms.lua), after Krizhevsky et al. 2012, section 4.1.
_VALUES = np.array([0.2175, 0.0188, 0.0045])
_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
IMAGENET_LIGHTING = 255 * _VECTORS * _VALUES


def recoloured(images: Tensor, chosen: Augmentation, draws: Draws, lighting: NDArray[np.float64] | None) -> Tensor:
    """`images` [B, C, H, W] with levels added to each channel and clipped to 0 .. 255; both sums are clipped once.

    `lighting` [C, C] holds in its columns the directions of PCA lighting, in levels; None: ImageNet's.
    """
    channels = images.shape[1]
    levels = np.zeros((len(images), channels), np.int64)
    if chosen.colour:
        draw = several(draws.seed, draws.epoch, draws.samples, Stream.COLOUR, channels)
        levels += (draw * (2 * chosen.colour + 1)).astype(np.int64) - chosen.colour
    if chosen.lighting:
        basis = IMAGENET_LIGHTING if lighting is None else lighting
        if basis.shape != (channels, channels):
            raise RequestError(f"lighting of {channels} channels takes as many components, not {list(basis.shape)}")
        amounts = chosen.lighting * normal(draws.seed, draws.epoch, draws.samples, Stream.LIGHTING, channels)
        levels += np.rint((amounts[:, None, :] * basis).sum(-1)).astype(np.int64)
    added = torch.from_numpy(levels.clip(-255, 255)).view(len(images), channels, 1, 1)
    wide = torch.int16 if images.dtype == torch.uint8 else images.dtype
    return (images.to(wide) + added.to(images.device, wide)).clamp_(0, 255).to(images.dtype)


def cut_out(images: Tensor, length: float, draws: Draws, blank: Tensor) -> Tensor:
    """`images` [B, C, H, W] with a square of `length` (see `pixels_of`) blanked, its centre anywhere."""
    height, width = images.shape[2:]
    side = pixels_of(length, min(height, width))
    hidden = []
    for stream, across in ((Stream.CUTOUT_DOWN, height), (Stream.CUTOUT_RIGHT, width)):
        start = draws.whole(stream, 0, across - 1)[:, None] - side // 2
        at = np.arange(across)
        hidden.append(torch.from_numpy((at >= start) & (at < start + side)).to(images.device))
    square = hidden[0][:, None, :, None] & hidden[1][:, None, None, :]
    return torch.where(square, blank, images)


def dropped(images: Tensor, share: float, draws: Draws, blank: Tensor) -> Tensor:
    """`images` [B, C, H, W] with `share` of their values, drawn independently, blanked."""
    noise = grain(draws.seed, draws.epoch, draws.samples, Stream.DROP, images[:1].numel() if len(images) else 0)
    gone = torch.from_numpy(noise < round(share * 65536)).view(images.shape)
    return torch.where(gone.to(images.device), blank, images)
