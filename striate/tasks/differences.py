"""The difference of two networks' scores, by paired bootstrap over test images and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS, AT_ONCE = 4000, 200
ERROR = 0.05  # of all comparisons together

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The first one's score less the second's: on average, and its interval. apart: the interval does not hold 0."""

    mean: float
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart."""
        return self.low > 0 or self.high < 0


def difference(one: ArrayLike, other: ArrayLike, *, comparisons: int = 1, draws: int = DRAWS) -> Difference:
    """The difference of two nets' scores, from those of each seed and test image, [seeds, images].

    Bootstrap: images are drawn with replacement, the same for both nets; and for each net n - 1 of its n seeds, which
    gives the variance of the mean over few seeds without bias (Rao, Wu 1988). The interval is of 95 %, or wider, so
    that all of so many comparisons together err in 5 % (Bonferroni). The same scores give the same interval.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if np.array_equal(first, second):
        return Difference(0.0, 0.0, 0.0)
    generator, drawn = np.random.default_rng(0), list[Floats]()
    for _ in range(-(-draws // AT_ONCE)):
        weights = _image_weights(generator, first.shape[1], AT_ONCE)
        means = [_drawn_seeds(generator, values @ weights.T) for values in (first, second)]
        drawn.append(means[0] - means[1])
    low, high = np.quantile(np.concatenate(drawn), [ERROR / comparisons / 2, 1 - ERROR / comparisons / 2])
    # A bound of 0 is summed to some 1e-17, which would lie on one side of it. Adding 0 makes -0 a 0.
    mean, low, high = np.round([first.mean() - second.mean(), low, high], 12) + 0.0
    return Difference(float(mean), float(low), float(high))


def _image_weights(generator: np.random.Generator, images: int, draws: int) -> Floats:
    """How often each image is drawn, as shares [draws, images]."""
    return generator.multinomial(images, np.full(images, 1 / images), size=draws) / images


def _drawn_seeds(generator: np.random.Generator, scores: Floats) -> Floats:
    """Means over seeds drawn with replacement: from the scores of each seed and draw [seeds, draws] -> [draws]."""
    seeds, draws = scores.shape
    chosen = generator.integers(0, seeds, (max(1, seeds - 1), draws))
    return np.asarray(np.take_along_axis(scores, chosen, axis=0).mean(axis=0))
