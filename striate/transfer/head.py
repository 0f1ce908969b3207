"""A linear head fitted to convergence: multinomial logistic regression, its strength chosen by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

STRENGTHS = tuple(float(10.0**power) for power in np.arange(-4.0, 1.01, 0.5))  # C: the inverse of the L2 penalty
SEARCH_LIMIT = 4000  # images the search for C looks at: beyond, the choice hardly moves and the time does


@dataclass(frozen=True)
class Head:
    """weight [classes, D] and bias [classes], float32. strength: the C chosen.

    scores: for each C tried, the cross-validated (C, mean log loss, accuracy).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    scores: tuple[tuple[float, float, float], ...]


def fit_head(features: NDArray[np.float32], labels: Labels, classes: int, *, folds: int = 5, seed: int = 0) -> Head:
    """Fit the head to features [N, D] and labels [N].

    Minimises the summed cross-entropy plus |W|^2 / (2 C), biases free. C has the least log loss over stratified folds:
    on few images accuracy moves in steps and is alike over decades of C, log loss has one smooth minimum.
    """
    # Imported here, where a head is fitted, because it takes a third of a second; and before the limit, which only
    # reaches libraries that are loaded: SciPy brings a BLAS of its own.
    import scipy.optimize  # noqa: F401
    from threadpoolctl import threadpool_limits

    # Products this small run slower on several threads, and many times slower when other work holds a core.
    with threadpool_limits(1 if features.size < 2**24 else None, user_api="blas"):
        return _fit_head(features, labels, classes, folds, seed)


def _fit_head(features: NDArray[np.float32], labels: Labels, classes: int, folds: int, seed: int) -> Head:
    centre = features.mean(axis=0, dtype=np.float64)
    x = features - centre
    basis = None
    if len(x) < x.shape[1]:
        # Fewer images than features: rotated into the span of the images, which changes neither fit nor penalty, the
        # problem has N unknowns a class instead of D.
        _, _, basis = np.linalg.svd(x.astype(np.float64), full_matrices=False)
        x = x @ basis.T
    x = x.astype(np.float64)
    strength, scores = _choose(x, labels, classes, folds, seed)
    weight, bias = _fit(x, labels, classes, strength)
    full = weight if basis is None else weight @ basis
    return Head(full.astype(np.float32), (bias - full @ centre).astype(np.float32), strength, scores)


def fold_of(labels: Labels, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each sample, stratified: within a class the fold sizes differ by at most one."""
    generator = np.random.default_rng(seed)
    fold = np.empty(len(labels), np.int64)
    offset = 0
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        fold[members] = (np.arange(len(members)) + offset) % folds
        offset += len(members)  # so that small classes do not all fill the first folds
    return fold


def _choose(
    x: Floats, labels: Labels, classes: int, folds: int, seed: int
) -> tuple[float, tuple[tuple[float, float, float], ...]]:
    if len(x) > SEARCH_LIMIT:
        chosen = np.random.default_rng(seed).permutation(len(x))[:SEARCH_LIMIT]
        x, labels = x[chosen], labels[chosen]
    folds = min(folds, len(x))
    fold = fold_of(labels, folds, seed)
    loss, right = np.zeros(len(STRENGTHS)), np.zeros(len(STRENGTHS))
    for held in range(folds):
        inside, outside = fold != held, fold == held
        start = None
        for place, strength in enumerate(STRENGTHS):  # from strong to weak: each fit starts at the one before
            weight, bias = start = _fit(x[inside], labels[inside], classes, strength, start)
            scores = x[outside] @ weight.T + bias
            loss[place] += _cross_entropy(scores, labels[outside])
            right[place] += (scores.argmax(axis=1) == labels[outside]).sum()
    table = tuple(
        (strength, float(loss[place] / len(x)), float(right[place] / len(x)))
        for place, strength in enumerate(STRENGTHS)
    )
    return STRENGTHS[int(loss.argmin())], table


def _cross_entropy(scores: Floats, labels: Labels) -> float:
    top = scores.max(axis=1, keepdims=True)
    sums = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return float((sums - scores[np.arange(len(labels)), labels]).sum())


def _fit(
    x: Floats, labels: Labels, classes: int, strength: float, start: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """Weight [classes, D] and bias [classes] at the minimum."""
    from scipy.optimize import minimize

    samples, width = x.shape
    truth = np.zeros((samples, classes))
    truth[np.arange(samples), labels] = 1

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight, bias = flat[: classes * width].reshape(classes, width), flat[classes * width :]
        scores = x @ weight.T + bias
        scores -= scores.max(axis=1, keepdims=True)
        powers = np.exp(scores)
        sums = powers.sum(axis=1, keepdims=True)
        loss = np.log(sums).sum() - (scores * truth).sum() + (weight * weight).sum() / (2 * strength)
        slope = powers / sums - truth
        gradient = np.concatenate([(slope.T @ x + weight / strength).ravel(), slope.sum(axis=0)])
        return float(loss) / samples, gradient / samples

    first = np.zeros(classes * (width + 1)) if start is None else np.concatenate([start[0].ravel(), start[1]])
    found = minimize(
        objective, first, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6, "ftol": 1e-10}
    )
    return found.x[: classes * width].reshape(classes, width), found.x[classes * width :]
