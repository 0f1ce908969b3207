"""Augmentation of a batch: the transforms are drawn for each image and applied, on the images' device.

The draws are keyed by (seed, epoch, sample): they do not depend on the batch. Geometric transforms come first, composed
into one resampling (`warp`), then transforms of the values (`colour`); `mixing` draws the mixup weights, which the loss
uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.colour import cut_out, dropped, recoloured
from striate.data.augment.keyed import Stream, uniform
from striate.data.augment.warp import MASKS, Draws, Size, draw_flips, moved_and_resampled
from striate.errors import RequestError

_AT_ONCE = 2**20  # values of the images worked on at once on a CPU: 4 MiB in float32


def augment(
    images: Tensor,
    samples: NDArray[np.integer],
    chosen: Augmentation,
    *,
    seed: int,
    epoch: int,
    size: Size | None = None,
    fraction: float = 1.0,
    blank: Sequence[float] | Tensor = (0.0,),
    lighting: NDArray[np.float64] | None = None,
) -> Tensor:
    """`images` [B, C, Hs, Ws] augmented: [B, C, H, W] with `size` = (H, W), by default the size they have.

    dtype (uint8, or floating point on the scale 0 .. 255) and device are retained, and the input is not modified.
    `samples` [B], integers, identify the images, such as their indices in the data set. Without any transform the
    result is `warp.plain(images, size, fraction)`, which may be the images themselves.
    `blank` is the fill of cutout and pixel dropout: one value per channel, or a tensor [C, H, W]. `lighting` [C, C]:
    the directions of PCA lighting in columns, as `statistics` measures them; None: ImageNet's published ones.
    Mixup is not applied here. There is no anti-aliasing: of images of more than twice the size, some pixels are unused.
    Raises RequestError for shapes that do not fit, or a window that does not fit.
    """
    if images.ndim != 4 or samples.shape != images.shape[:1]:
        shapes = f"{list(images.shape)} and {list(samples.shape)}"
        raise RequestError(f"augmentation takes images [B, C, H, W] and samples [B], not {shapes}")
    size = size or (images.shape[2], images.shape[3])
    if min(size) < 1 or not 0 < fraction <= 1:
        raise RequestError(f"augmentation needs a size of at least 1x1 and a fraction above 0, not {size}, {fraction}")
    still = chosen.transforms in ([], ["mixup"]) and fraction == 1 and size == tuple(images.shape[2:])
    if still or not len(images):
        return images if still else images.new_empty(0, images.shape[1], *size)
    blanks = _blank(blank, images)

    def done(some: Tensor, names: NDArray[np.integer]) -> Tensor:
        draws = Draws(seed, epoch, names)
        some = moved_and_resampled(some, chosen, draws, size, fraction)
        some = recoloured(some, chosen, draws, lighting) if chosen.colour or chosen.lighting else some
        some = cut_out(some, chosen.cutout, draws, blanks) if chosen.cutout else some
        return dropped(some, chosen.pixel_dropout, draws, blanks) if chosen.pixel_dropout else some

    # On a CPU a few images at a time, so that intermediate results stay in the cache.
    step = max(1, _AT_ONCE // images[0].numel()) if images.device.type == "cpu" else len(images)
    parts = [done(images[start : start + step], samples[start : start + step]) for start in range(0, len(images), step)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def augment_masks(
    masks: Tensor,
    samples: NDArray[np.integer],
    chosen: Augmentation,
    *,
    seed: int,
    epoch: int,
    size: Size,
    fraction: float = 1.0,
) -> Tensor:
    """Masks uint8 [B, Hs, Ws] moved as `augment` moves the images of the same samples: [B, *size].

    Each pixel is the nearest one of the source, and void outside it; what changes only an image's values is left out.
    """
    draws = Draws(seed, epoch, samples)
    return moved_and_resampled(masks[:, None], chosen, draws, size, fraction, MASKS)[:, 0]


def mirrors(samples: NDArray[np.integer], chosen: Augmentation, *, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which of `samples` [B] the augmentation mirrors."""
    return draw_flips(Draws(seed, epoch, samples), chosen)


def mixing(samples: NDArray[np.integer], alpha: float, *, seed: int, epoch: int) -> NDArray[np.float64]:
    """The mixup weight of each of `samples` [B], 0 to 1, from Beta(alpha, alpha); the rest is its partner's.

    Source: Zhang et al. 2017, arXiv:1710.09412, equation 2. Raises RequestError for an alpha not above 0, or above 10.
    """
    if not 0 < alpha <= 10:
        raise RequestError(f"mixup takes an alpha above 0, at most 10, not {alpha}")
    draw = uniform(seed, epoch, samples, Stream.MIX)
    below = draw <= 0.5
    half = _lower_half_of_beta(np.where(below, draw, 1 - draw), alpha)
    return np.where(below, half, 1 - half)


def _lower_half_of_beta(draw: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Where the distribution function of Beta(alpha, alpha) reaches `draw`, at most 0.5.

    Substituting s = x^alpha takes the pole at 0 out of the integrand, which leaves (1 - s^(1 / alpha))^(alpha - 1).
    """
    s = np.linspace(0, 0.5**alpha, 4097)
    height = (1 - s ** (1 / alpha)) ** (alpha - 1)
    area = np.concatenate([[0.0], np.cumsum(height[1:] + height[:-1])])
    reached = np.interp(draw, 0.5 * area / area[-1], s)
    return np.asarray(reached ** (1 / alpha))


def _blank(blank: Sequence[float] | Tensor, images: Tensor) -> Tensor:
    """The fill of blanked values, in the images' dtype: [C, 1, 1] or [C, H, W]."""
    values = torch.as_tensor(blank, dtype=torch.float32, device=images.device)
    values = values.view(-1, 1, 1) if values.ndim == 1 else values
    values = values.round().clamp(0, 255) if images.dtype == torch.uint8 else values
    return values.to(images.dtype)
