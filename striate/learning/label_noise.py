"""How many labels are wrong, estimated from predictions by models that were not trained on the image.

A confident model errs rarely, and more rarely the more confident it is; a wrong label disagrees with the model at any
confidence. So the rate at which labels disagree with predictions is fitted as a function of the margin between the two
most probable classes: a logistic curve, the model's own errors, above a floor, the share of wrong labels. It is the
psychometric function with a lapse rate: Wichmann and Hill 2001, doi:10.3758/BF03194544. Confident learning (Northcutt
et al. 2021, arXiv:1911.00068) counts the confident disagreements without a curve: as good where the classes are easy,
but on harder ones it takes the model's errors for wrong labels (see benchmarks/label_noise.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 300  # of the margin: the fit takes the same time for any number of images
TELLING = 0.5  # share of agreeing labels from which on the model can tell
# A weak prior on where the curve falls, and one on how steeply: a curve too flat would pass for a floor of its own. In
# standard deviations of the margin; measured by planting wrong labels in four sets of images.
_FALLS, _SURE = (2.0, 3.0), (1.1, 0.25)
_STARTS = (-6.0, -3.0, -1.4)  # logits of the share of wrong labels


def wrong_labels(predictions: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The expected number of wrong labels among those that disagree with the predicted class.

    predictions [N, classes]: probabilities by models that were not trained on the image. 0 where fewer than half of
    the labels agree: such a model cannot tell.
    """
    if not len(labels) or predictions.shape[1] < 2:
        return 0.0
    apart = predictions.argmax(axis=1) != labels
    if not apart.any() or 1 - apart.mean() < TELLING:
        return 0.0
    margin, count, disagree = _binned(_margins(predictions), apart)
    floor, errors = _fitted(margin, count, disagree)
    rate = errors + floor * (1 - errors)
    return float((disagree * floor / rate).sum())


def _margins(predictions: NDArray[np.floating]) -> Floats:
    """The logarithm of how many times likelier the first class is than the second, standardised."""
    two = np.partition(predictions.astype(np.float64), -2, axis=1)[:, -2:]
    margin = np.log(np.clip(two[:, 1], 1e-6, 1)) - np.log(np.clip(two[:, 0], 1e-9, 1))
    return np.asarray((margin - margin.mean()) / (margin.std() + 1e-9))


def _binned(margin: Floats, apart: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Mean margin, images and disagreements of bins with equally many images."""
    order = np.argsort(margin, kind="stable")
    parts = np.array_split(order, min(BINS, len(order)))
    count = np.array([len(part) for part in parts], np.float64)
    return np.array([margin[p].mean() for p in parts]), count, np.array([float(apart[p].sum()) for p in parts])


def _curve(values: Floats, margin: Floats) -> tuple[float, Floats]:
    """The floor, and the model's own rate of errors at each margin."""
    slope = np.exp(np.clip(values[2], -5, 5))
    errors = 1 / (1 + np.exp(np.clip(values[1] + slope * margin, -50, 50)))
    return float(1 / (1 + np.exp(-values[0]))), errors


def _fitted(margin: Floats, count: Floats, disagree: Floats) -> tuple[float, Floats]:
    from scipy.optimize import minimize  # here because it takes a third of a second

    def objective(values: Floats) -> float:
        floor, errors = _curve(values, margin)
        rate = np.clip(errors + floor * (1 - errors), 1e-9, 1 - 1e-9)
        prior = ((values[1] - _FALLS[0]) / _FALLS[1]) ** 2 + ((values[2] - _SURE[0]) / _SURE[1]) ** 2
        return float(prior / 2 - disagree @ np.log(rate) - (count - disagree) @ np.log(1 - rate))

    options = {"maxiter": 2000, "xatol": 1e-3, "fatol": 1e-4}
    tried = [
        minimize(objective, [start, _FALLS[0], _SURE[0]], method="Nelder-Mead", options=options) for start in _STARTS
    ]
    return _curve(min(tried, key=lambda found: float(found.fun)).x, margin)
