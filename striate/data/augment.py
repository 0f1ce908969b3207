"""Light augmentation of a batch: random shifts with zero padding, and horizontal flips.

What is done to an image is keyed by (seed, epoch, sample): it is the same whatever batch the image comes in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.data.keyed import Stream, integers, uniform
from striate.errors import RequestError, unknown


@dataclass(frozen=True)
class Policy:
    """What may happen to an image."""

    shift: bool = False
    flip: bool = False


# Flips suit photographs; a mirrored digit or letter is another one, or none.
POLICIES = {
    "none": Policy(),
    "shift": Policy(shift=True),
    "shift+flip": Policy(shift=True, flip=True),
}


@dataclass(frozen=True)
class Moves:
    """What happens to each image of a batch, as three arrays [B]: int64, int64 and bool.

    It is mirrored if `flip`, then shifted `down` and `right` by so many pixels; either may be negative.
    """

    down: NDArray[np.int64]
    right: NDArray[np.int64]
    flip: NDArray[np.bool_]


def augment(
    images: Tensor, samples: NDArray[np.integer], *, policy: str = "shift", pad: int = 4, seed: int, epoch: int
) -> Tensor:
    """`images` [B, C, H, W], any dtype, augmented: same shape, dtype and device; the input is left as it was.

    `samples` [B] are the images' indices in the data set. Shifts are up to `pad` pixels each way, all equally likely,
    and zeros come in; a flip has one chance in two. Policy "none" returns `images` itself.
    Source: with pad 4, He et al. 2015, arXiv:1512.03385, section 4.2.
    Raises RequestError for an unknown policy, a negative pad, or shapes that do not go together.
    """
    if policy not in POLICIES:
        raise unknown("augmentation policy", policy, POLICIES)
    if pad < 0:
        raise RequestError(f"augmentation shifts by up to 0 or more pixels, not {pad}")
    if images.ndim != 4 or samples.shape != images.shape[:1]:
        shapes = f"{list(images.shape)} and {list(samples.shape)}"
        raise RequestError(f"augmentation takes images [B, C, H, W] and samples [B], not {shapes}")
    chosen = POLICIES[policy]
    if chosen == Policy():
        return images
    return moved(images, draw(samples, policy=chosen, pad=pad, seed=seed, epoch=epoch), pad=pad)


def draw(samples: NDArray[np.integer], *, policy: Policy, pad: int, seed: int, epoch: int) -> Moves:
    """What happens to each of `samples` in this epoch."""
    still = np.zeros(samples.shape, np.int64)
    down = integers(seed, epoch, samples, Stream.SHIFT_DOWN, -pad, pad + 1) if policy.shift else still
    right = integers(seed, epoch, samples, Stream.SHIFT_RIGHT, -pad, pad + 1) if policy.shift else still
    flip = uniform(seed, epoch, samples, Stream.FLIP) < 0.5 if policy.flip else still.astype(bool)
    return Moves(down, right, flip)


def moved(images: Tensor, moves: Moves, *, pad: int) -> Tensor:
    """`images` [B, C, H, W] after `moves`, all of them within `pad` pixels; zeros come in."""
    batch, channels, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))
    rows = torch.from_numpy(pad - moves.down[:, None] + np.arange(height))
    across = np.arange(width) - moves.right[:, None]
    columns = torch.from_numpy(pad + np.where(moves.flip[:, None], width - 1 - across, across))
    # Where in its padded image each pixel comes from, the same in every channel: one gather does shift and flip.
    source = rows[:, :, None] * padded.shape[-1] + columns[:, None, :]
    index = source.to(images.device).view(batch, 1, height * width).expand(batch, channels, height * width)
    return padded.flatten(2).gather(2, index).view(images.shape)
