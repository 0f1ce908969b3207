"""A number an image: how far off the answers are, against always giving the usual one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.tasks.metrics import mean_interval


@dataclass(frozen=True, eq=False)
class NumberMistake:
    """An image whose number was missed by far."""

    path: str
    image: NDArray[np.uint8]
    truth: float
    predicted: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers:
    """A number an image: `name` (its unit may stand in it), truth [N] and predicted [N] of the held-out images.

    `usual` is the mean of the training images, the answer to beat; without it, the held-out images' own mean is taken.
    Raises ValueError when the two are not of one length.
    """

    name: str
    truth: ArrayLike
    predicted: ArrayLike
    usual: float | None = None
    mistakes: tuple[NumberMistake, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays that cannot be held against each other."""
        if self.true.shape != self.said.shape:
            raise ValueError(f"{self.true.shape[0]} true numbers cannot be compared with {self.said.shape[0]} answers")

    @cached_property
    def true(self) -> NDArray[np.float64]:
        """The true numbers, [N]."""
        return np.asarray(self.truth, np.float64).ravel()

    @cached_property
    def said(self) -> NDArray[np.float64]:
        """The network's numbers, [N]."""
        return np.asarray(self.predicted, np.float64).ravel()

    @property
    def errors(self) -> NDArray[np.float64]:
        """How far too high each answer is, [N]; negative: too low."""
        return self.said - self.true

    @property
    def mean_absolute_error(self) -> float:
        """How far off the answers are on average, in the number's own unit; NaN without images."""
        return float(np.abs(self.errors).mean()) if len(self.true) else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean absolute error."""
        return mean_absolute_error_interval(self.true, self.said)

    @property
    def median_error(self) -> float:
        """Half of the answers are no further off than this."""
        return float(np.median(np.abs(self.errors))) if len(self.true) else math.nan

    @property
    def root_mean_square_error(self) -> float:
        """The error in which large misses weigh more."""
        return float(np.sqrt(np.square(self.errors).mean())) if len(self.true) else math.nan

    @property
    def r2(self) -> float:
        """The share of the numbers' variance that is explained; NaN where they do not vary."""
        spread = float(np.square(self.true - self.true.mean()).sum()) if len(self.true) else 0.0
        return 1 - float(np.square(self.errors).sum()) / spread if spread > 0 else math.nan

    @property
    def usual_error(self) -> float:
        """The mean absolute error of always answering the usual number."""
        if not len(self.true):
            return math.nan
        return float(np.abs(self.true - (self.true.mean() if self.usual is None else self.usual)).mean())


def mean_absolute_error_interval(truth: ArrayLike, predicted: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the mean absolute error by Student's t, never below 0; (0, inf) for fewer than two."""
    low, high = mean_interval(np.abs(np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)))
    return max(0.0, low), high
