"""The error over the number of training images, as a power law with an offset: error(n) = a + b n^-c.

a is what no further image removes. Sources: Hestness et al. 2017, arXiv:1712.00409; the weights of the sizes as in
Hoiem et al. 2021, arXiv:2010.11029 (the variance of a fitted model's error falls as 1/n), and so is what is usual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

EXPONENTS = np.linspace(0.05, 2.0, 79)  # c: tried one after another, because for each of them a and b are linear
USUAL = 0.5  # of classifiers on features (Hoiem et al.)


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """Fitted laws, one of each row: offset a [B], factor b [B] and exponent c [B]; n in multiples of `unit`."""

    offset: Doubles
    factor: Doubles
    exponent: Doubles
    unit: float

    def __call__(self, sizes: Doubles) -> Doubles:
        """Errors [B, P] at these numbers of images [P]."""
        powers = (np.asarray(sizes, np.float64)[None] / self.unit) ** -self.exponent[:, None]
        return np.asarray(self.offset[:, None] + self.factor[:, None] * powers)


def fit_power_law(
    sizes: Doubles, errors: Doubles, weights: Doubles, prior: float = 0.0, usual: Doubles | float = USUAL
) -> PowerLaw:
    """The law of least weighted squares for each row of `errors` [B, P] at `sizes` [P], with a >= 0 and b >= 0.

    prior: how strongly c is drawn to `usual`, of all rows or of each [B], in squares of the mean error: a few sizes
    hardly determine three numbers.
    """
    unit, share = float(sizes.max()), weights / weights.sum()
    best = np.full(len(errors), np.inf)
    found = np.zeros((3, len(errors)))
    for exponent in EXPONENTS:
        powers = (sizes / unit) ** -exponent
        offset, factor = _offset_and_factor(powers, errors, share)
        loss = ((errors - offset[:, None] - factor[:, None] * powers) ** 2) @ share
        loss = loss + prior * (exponent - usual) ** 2 * (errors @ share) ** 2
        better = loss < best
        best = np.where(better, loss, best)
        found = np.where(better, np.stack([offset, factor, np.full_like(offset, exponent)]), found)
    return PowerLaw(found[0], found[1], found[2], unit)


def _offset_and_factor(powers: Doubles, errors: Doubles, share: Doubles) -> tuple[Doubles, Doubles]:
    """Non-negative a and b of least weighted squares, for each row. share [P]: the weights, which sum to 1."""
    mean, middle = errors @ share, float(powers @ share)
    spread = float(((powers - middle) ** 2) @ share)
    factor = ((errors - mean[:, None]) * (powers - middle)) @ share / spread
    offset = mean - factor * middle
    # Two unknowns: where one would be negative it is 0, and the other is fitted alone.
    through = (errors * powers) @ share / float(powers**2 @ share)
    factor = np.where(offset < 0, through, factor)
    offset = np.where(offset < 0, 0.0, offset)
    flat = factor < 0
    return np.where(flat, mean, offset), np.where(flat, 0.0, factor)
