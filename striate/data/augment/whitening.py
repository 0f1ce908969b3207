"""Global contrast normalisation and ZCA whitening of small images: fitted in NumPy, stored as a linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.augment.statistics import blocks
from striate.errors import RequestError
from striate.pixels import FLAT_NORM, Images

CONTRAST = 55.0  # the scale of global contrast normalisation, of Coates' code and of the maxout networks
EPSILON = 0.1  # added to the eigenvalues, of the maxout networks
LARGEST = 4096  # values of an image whose matrix is 64 MiB


class Whitening(NamedTuple):
    """y = weight x + bias, for x the values of an image [D] by channel, row and column. float32 [D, D] and [D]."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def check_whitening(height: int, width: int, channels: int) -> None:
    """Raise RequestError for images whose matrix would be too large."""
    values = height * width * channels
    if values > LARGEST:
        raise RequestError(
            f"input.normalise 'zca' takes images of at most {LARGEST:,} values (their matrix is 64 MiB), and "
            f"{channels} x {height} x {width} are {values:,}: use 'gcn', or a network for smaller images"
        )


def contrast_normalised(images: Images, scale: float = CONTRAST) -> NDArray[np.float64]:
    """uint8 [N, H, W, C] -> float64 [N, C * H * W]: minus the image's mean, divided by its norm, times `scale`.

    An image of one colour is all zeros. The norm is the root of the sum of squares, with nothing added to it.
    Source: Goodfellow et al. 2013, arXiv:1302.4389, section 5.2, and the authors' code (pylearn2).
    """
    values = images.transpose(0, 3, 1, 2).reshape(len(images), -1).astype(np.float64)
    values -= values.mean(1, keepdims=True)
    norms = np.sqrt(np.square(values).sum(1, keepdims=True))
    return values * (scale / np.where(norms < FLAT_NORM, np.inf, norms))


def fit_zca(
    images: Images,
    rows: Sequence[int] | NDArray[np.integer] | None = None,
    *,
    contrast: float = CONTRAST,
    epsilon: float = EPSILON,
) -> Whitening:
    """The ZCA whitening of uint8 `images` [N, H, W, C], or those of `rows`, after global contrast normalisation.

    With the mean m and the covariance C = E diag(l) E' of the D values, y = E diag(1 / sqrt(l + epsilon)) E' (x - m):
    of all matrices that make C the identity, but for epsilon, the one that changes the images least. Images are read a
    block at a time. Raises RequestError for more than LARGEST values an image.
    Source: Bell, Sejnowski 1997; Krizhevsky 2009, appendix A; Goodfellow et al. 2013, arXiv:1302.4389, section 5.2.
    """
    check_whitening(*images.shape[1:])
    count, size = len(images) if rows is None else len(rows), images[0].size
    total, products = np.zeros(size), np.zeros((size, size))
    for block in blocks(images, rows):
        values = contrast_normalised(block, contrast)
        total += values.sum(0)
        products += values.T @ values
    mean = total / count
    found, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    weight = (axes / np.sqrt(found.clip(0) + epsilon)) @ axes.T
    return Whitening(weight.astype(np.float32), (-weight @ mean).astype(np.float32))
