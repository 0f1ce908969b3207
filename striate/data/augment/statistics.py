"""Statistics of images: means, standard deviations and colour axes, accumulated exactly in integers. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, unknown
from striate.pixels import Images

NORMALISATIONS = {
    "channel": "mean and standard deviation per channel",
    "mean-pixel": "mean per channel, one standard deviation",
    "mean-image": "mean per position and channel, one standard deviation",
}
_BLOCK = 2**22  # values read at a time
_LEAST = 1.0  # level: the minimum standard deviation, for images of one colour


@dataclass(frozen=True)
class Statistics:
    """Of the images measured, on the scale 0 .. 255.

    count: images. mean_image: float64 [H, W, C]. mean: a mean pixel [C]. covariance: of a pixel's channels [C, C],
    over all pixels, divided by their number. deviation: from the mean image, over all places and channels.
    """

    count: int
    mean_image: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    deviation: float

    @property
    def std(self) -> NDArray[np.float64]:
        """The deviation of each channel [C]."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def components(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The covariance's eigenvalues [C], largest first, and its eigenvectors as the columns of [C, C].

        An eigenvector and its opposite are the same axis: the one whose largest part is positive is given.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        values, vectors = values[::-1].clip(0), vectors[:, ::-1]
        largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0)
        return values, vectors * np.where(largest < 0, -1, 1)

    @property
    def lighting(self) -> NDArray[np.float64]:
        """The directions of PCA lighting [C, C], in levels: a column an eigenvector, times its eigenvalue.

        The paper's product grows with the square of the scale of the pixels; it is taken where they lie in 0 .. 1, as
        ImageNet's published values were. Source: Krizhevsky et al. 2012, section 4.1.
        """
        values, vectors = self.components
        return np.asarray(vectors * values / 255)

    def normalisation(self, how: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation for `how`, one of NORMALISATIONS: the network sees (pixel - mean) / deviation.

        The mean is [C], or [H, W, C] for "mean-image"; the deviation is [C], and all of it one number except for
        "channel"; below 1 it is 1. Raises RequestError for another `how`.
        """
        if how not in NORMALISATIONS:
            raise unknown("normalisation", how, NORMALISATIONS)
        if how == "channel":
            return self.mean, np.maximum(self.std, _LEAST)
        image = how == "mean-image"
        common = self.deviation if image else math.sqrt(float(np.diag(self.covariance).mean()))
        return self.mean_image if image else self.mean, np.full(len(self.mean), max(common, _LEAST))


def measure(images: Images, rows: Sequence[int] | NDArray[np.integer] | None = None) -> Statistics:
    """Measure uint8 `images` [N, H, W, C], or those of `rows`, a block at a time: a memory map is not read whole.

    Sums are integers, so the result does not depend on the order of the images. Raises RequestError for other arrays.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape[1:]:
        raise RequestError(f"statistics take uint8 images [N, H, W, C], not {images.dtype} {list(images.shape)}")
    count = len(images) if rows is None else len(rows)
    if not count:
        raise RequestError("there are no images to measure")
    channels = images.shape[3]
    sums = np.zeros(images.shape[1:], np.int64)
    products = np.zeros((channels, channels), np.int64)
    for block in blocks(images, rows):
        sums += block.sum(0, dtype=np.int64)
        pixels = block.reshape(-1, channels).astype(np.float64)
        products += (pixels.T @ pixels).astype(np.int64)  # integers far below 2^53: exact in any order
    places = sums[..., 0].size
    n = count * places
    totals = [int(total) for total in sums.sum((0, 1))]
    covariance = [
        [(n * int(products[i, j]) - totals[i] * totals[j]) / n**2 for j in range(channels)] for i in range(channels)
    ]
    squares = sum(int(products[i, i]) for i in range(channels))
    # Python's integers: a sum of squares of sums may exceed 2^63.
    spread = count * squares - sum(value * value for value in sums.ravel().tolist())
    return Statistics(
        count,
        sums / count,
        np.array([total / n for total in totals]),
        np.array(covariance),
        math.sqrt(spread / (count * count * places * channels)),
    )


def blocks(images: Images, rows: Sequence[int] | NDArray[np.integer] | None) -> Iterator[Images]:
    """The images [N, H, W, C], or those at `rows`, a few million values at a time."""
    step = max(1, _BLOCK // math.prod(images.shape[1:]))
    count = len(images) if rows is None else len(rows)
    for start in range(0, count, step):
        yield images[start : start + step] if rows is None else images[np.asarray(rows[start : start + step])]
