"""What a linear head makes smallest: one loss a task, the squared weights beside it, and the way down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from striate.task import softmax

Floats = NDArray[np.float64]
Loss = Callable[
    [Floats, Floats], tuple[Floats, Floats]
]  # scores and truth [N, outputs] -> losses [N], slope [N, outputs]

HUBER = 1.345  # deviations: 95 % as efficient as squares where errors are normal (Huber 1964)


def cross_entropy(scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Minus the log-probability of the right class under a softmax; `truth` holds a one a row."""
    top = scores.max(axis=1, keepdims=True)
    sums = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return sums - (scores * truth).sum(axis=1), np.asarray(softmax(scores) - truth)  # type: ignore[arg-type]


def binary_cross_entropy(scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Each label by itself under a sigmoid, summed over the labels."""
    losses = np.logaddexp(0, scores) - scores * truth
    return losses.sum(axis=1), np.exp(-np.logaddexp(0, -scores)) - truth


def squared(scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Half the squared error."""
    error = scores - truth
    return 0.5 * (error * error).sum(axis=1), error


def huber(scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Half the squared error up to `HUBER`, straight beyond: a few wild targets do not bend the rest (Huber 1964)."""
    error = scores - truth
    slope = error.clip(-HUBER, HUBER)
    return (slope * (error - 0.5 * slope)).sum(axis=1), slope


def minimum(
    x: Floats,
    truth: Floats,
    weights: Floats,
    loss: Loss,
    strength: float,
    start: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Weight [outputs, D] and bias [outputs] of the least weighted sum of losses plus |W|^2 / (2 strength).

    `x` [N, D], `truth` [N, outputs], `weights` [N]; the way down begins at `start`, or at zero.
    """
    from scipy.optimize import minimize

    samples, width = x.shape
    outputs = truth.shape[1]

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[: outputs * width].reshape(outputs, width), flat[outputs * width :]
        losses, slope = loss(x @ weight.T + bias, truth)
        slope *= weights[:, None]
        value = float(losses @ weights) + float((weight * weight).sum()) / (2 * strength)
        gradient = np.concatenate([(slope.T @ x + weight / strength).ravel(), slope.sum(axis=0)])
        return value / samples, gradient / samples

    first = np.zeros(outputs * (width + 1)) if start is None else np.concatenate([start[0].ravel(), start[1]])
    found = minimize(
        objective, first, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6, "ftol": 1e-10}
    )
    return found.x[: outputs * width].reshape(outputs, width), found.x[outputs * width :]
