"""Metrics of predictions: shares with their intervals, ranking, calibration, errors. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959964  # two-sided 95 % of the normal distribution


def wilson(correct: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share, at 95 % unless `z` says otherwise (Wilson 1927); (0, 1) for no samples."""
    if total == 0:
        return 0.0, 1.0
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def percent(share: float) -> str:
    """0.9412 -> "94.1 %"."""
    return f"{100 * share:.1f} %"


def auroc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """The probability that a positive's score is above a negative's, ties counted half; NaN where either has none.

    The area under the receiver operating characteristic, as the Mann-Whitney statistic (Hanley, McNeil 1982).
    """
    high, low = np.asarray(positives, np.float64).ravel(), np.sort(np.asarray(negatives, np.float64).ravel())
    if not len(high) or not len(low):
        return math.nan
    below, upto = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((below + upto).sum() / (2 * len(high) * len(low)))


def precision_recall(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall at each distinct score as the threshold, highest first; empty without a positive."""
    values, true = np.asarray(scores, np.float64).ravel(), np.asarray(truth).ravel().astype(bool)
    if not true.any():
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-values, kind="stable")
    values, true = values[order], true[order]
    last = np.append(values[1:] != values[:-1], True)  # equal scores are taken together
    hits = np.cumsum(true)[last]
    return hits / (np.flatnonzero(last) + 1), hits / true.sum()


def average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """The mean of the precision over the recall it is reached at, in steps; NaN without a positive."""
    precision, recall = precision_recall(scores, truth)
    return float((precision * np.diff(recall, prepend=0.0)).sum()) if len(recall) else math.nan


def best_threshold(scores: ArrayLike, truth: ArrayLike) -> float:
    """The threshold with the greatest F1; a half without a positive.

    Midway between the lowest score above it and the highest below, not to depend on one image's last digit.
    """
    values, true = np.asarray(scores, np.float64).ravel(), np.asarray(truth).ravel().astype(bool)
    if not true.any():
        return 0.5
    precision, recall = precision_recall(values, true)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    distinct = np.unique(values)[::-1]
    best = int(f1.argmax())
    return float((distinct[best] + distinct[best + 1]) / 2 if best + 1 < len(distinct) else distinct[best] / 2)


@dataclass(frozen=True)
class Calibration:
    """Predictions in ten equal bins of confidence. error: the expected calibration error (Naeini et al. 2015).

    counts [10], confidence [10] and accuracy [10]: images, mean confidence and accuracy of each; NaN where empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


def calibration(confidence: ArrayLike, right: ArrayLike) -> Calibration:
    """Confidence [N], from 0 to 1, against which predictions were right [N]."""
    confident, true = np.asarray(confidence, np.float64).ravel(), np.asarray(right, np.float64).ravel()
    place = np.minimum((confident * 10).astype(np.int64), 9)
    counts = np.bincount(place, minlength=10)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confident, 10) / counts
        mean_right = np.bincount(place, true, 10) / counts
    error = float(np.nansum(counts * np.abs(mean_confidence - mean_right)) / max(1, len(confident)))
    return Calibration(counts, mean_confidence, mean_right, error)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the mean of a few independent values, by Student's t; (-inf, inf) for fewer than two."""
    found = np.asarray(values, np.float64).ravel()
    if len(found) < 2:
        return -math.inf, math.inf
    half = _student_t95(len(found) - 1) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()) - half, float(found.mean()) + half


def difference_interval(differences: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences, one an image; (-inf, inf) for fewer than two."""
    found = np.asarray(differences, np.float64).ravel()
    if len(found) < 2:
        return -math.inf, math.inf
    half = Z95 * float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()) - half, float(found.mean()) + half


def bootstrap_interval(
    score: Callable[[NDArray[np.int64]], float], count: int, draws: int = 200
) -> tuple[float, float]:
    """The 95 % interval of a score of `count` images over samples of them with replacement (Efron 1979).

    score: from the rows drawn. The same images give the same interval. Draws whose score is NaN are left out; (-inf,
    inf) where all are.
    """
    generator = np.random.default_rng(0)
    return quantile_interval([score(generator.integers(0, count, count)) for _ in range(draws)] if count else [])


def quantile_interval(samples: ArrayLike) -> tuple[float, float]:
    """The middle 95 % of samples; those that are not finite are left out; (-inf, inf) where all are."""
    found = np.asarray(samples, np.float64)
    found = found[np.isfinite(found)]
    if not len(found):
        return -math.inf, math.inf
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _student_t95(freedom: int) -> float:
    """Two-sided 95 % of Student's t, by Hill's expansion about the normal (1970): within 0.5 % from 3 degrees on."""
    exact = {1: 12.706205, 2: 4.302653}
    if freedom in exact:
        return exact[freedom]
    z, n = Z95, freedom
    one = (z**3 + z) / 4
    two = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    three = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    four = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + one / n + two / n**2 + three / n**3 + four / n**4
