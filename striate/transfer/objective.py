"""The objective of a linear head, its task's loss plus an L2 penalty on the weights, and the minimiser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.tasks import Loss, Targets

Floats = NDArray[np.float64]


def minimum(
    x: Floats,
    targets: Targets,
    weights: Floats,
    loss: Loss,
    c: float,
    start: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:
    """Weight [outputs, D] and bias [outputs] that minimise the weighted sum of losses plus |W|^2 / (2 C).

    `x` [N, D], `targets` as the loss takes them, `weights` [N]; the minimiser starts at `start`. With a loss that is
    the mean over independent outputs the penalty is a mean too, so that C means the same for one output as for many.
    """
    from scipy.optimize import minimize

    (outputs, width), samples = start[0].shape, len(x)
    penalty = 1 / (c * outputs) if loss.averages_outputs else 1 / c

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[: outputs * width].reshape(outputs, width), flat[outputs * width :]
        losses, slope = loss.numpy(x @ weight.T + bias, targets)
        slope = slope * weights[:, None]
        value = float(losses @ weights) + 0.5 * penalty * float((weight * weight).sum())
        gradient = np.concatenate([(slope.T @ x + penalty * weight).ravel(), slope.sum(axis=0)])
        return value / samples, gradient / samples

    first = np.concatenate([start[0].ravel(), start[1]])
    found = minimize(
        objective, first, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6, "ftol": 1e-10}
    )
    return found.x[: outputs * width].reshape(outputs, width), found.x[outputs * width :]
