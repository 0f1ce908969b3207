"""Other classifiers on cached features: those that are linear heads, and those that are only compared with them.

Every function takes the features of single-label images and their folds, and predicts each image by a classifier that
was fitted without its fold. scikit-learn, the extra `sklearn`, fits all of them but naive Bayes.

A head is stored as the weights of a linear layer, so that a model file, its engines and its exports stay as they are:
- svm: one linear support vector machine for each class against the others.
- bayes: Gaussian naive Bayes with variances that all classes share, which is linear (Dudoit et al. 2002).
Their scores are no probabilities: one factor, fitted to the out-of-fold scores, makes them so (temperature scaling, Guo
et al. 2017, arXiv:1706.04599). Nearest neighbours, trees and forests have no such form, and are not stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.recipe.keys import COMPARED_HEADS as COMPARED
from striate.recipe.keys import LINEAR_HEADS as LINEAR
from striate.tasks import Task
from striate.tasks.values import softmax
from striate.transfer.head import FittedHead, Folds, Head, HeadData, fit_with_folds

CS = (1e-2, 1e-1, 1.0, 1e1, 1e2)  # of the support vector machines, on standardised features of mean square length 1
NEIGHBOURS, TREES = 5, 200
ABSENT = -5.0  # the score of a class without an image; the others are about -1 to 1
SMOOTHED = 1e-2  # of the mean variance, added to every variance of naive Bayes

Doubles = NDArray[np.float64]
Rows = NDArray[np.bool_]
Linear = tuple[Doubles, Doubles]  # weight [classes, D] and bias [classes]
OnTry = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Compared:
    """A kind of classifier: its out-of-fold predictions [N, classes], and its head, for those that are linear."""

    kind: str
    out_of_fold: NDArray[np.float32]
    head: Head | None = None


def check_head(task: Task, kind: str) -> None:
    """Raise RequestError for a head that does not go with the task, cannot be stored, or needs scikit-learn."""
    if kind == "logistic":
        return
    if kind in COMPARED:
        raise RequestError(
            f"--head {kind}: {_NAMES[kind]} cannot be stored in a model file, which holds linear heads: --head auto "
            f"compares it with {', '.join(LINEAR)}, and keeps the best of these"
        )
    if not task.one_class:
        raise RequestError(f"--head {kind} needs single-label classification; the task here is {task.kind!r}")
    if kind != "bayes":
        _require_sklearn(kind)


_NAMES = {"knn": "the nearest neighbours", "tree": "a decision tree", "forest": "a random forest"}


def fit_kind(kind: str, data: HeadData, fold: Folds, seed: int, on_try: OnTry = lambda c: None) -> FittedHead:
    """A linear head of that kind, its hyperparameter chosen over the folds, and its out-of-fold predictions."""
    if kind == "logistic":
        return fit_with_folds(data, fold=fold, on_try=on_try)
    return _fit_bayes(data, fold) if kind == "bayes" else _fit_svm(data, fold, seed, on_try)


def compare(
    data: HeadData, fold: Folds, seed: int, on_kind: Callable[[str], object] = lambda kind: None
) -> list[Compared]:
    """Every kind of classifier, fitted over the same folds; the most accurate first, of equal ones the more linear."""
    found = []
    for kind in (*LINEAR, *COMPARED):
        on_kind(kind)
        if kind in LINEAR:
            fitted = fit_kind(kind, data, fold, seed)
            found.append(Compared(kind, fitted.out_of_fold, fitted.head))
        else:
            found.append(Compared(kind, _only_compared(kind, data, fold, seed)))
    return sorted(found, key=lambda one: -accuracy(one, data))


def accuracy(one: Compared, data: HeadData) -> float:
    """The weighted share of images whose out-of-fold prediction is right; 0 without any."""
    known = np.isfinite(one.out_of_fold).all(axis=1)
    weights = _weights(data)[known]
    right = one.out_of_fold[known].argmax(axis=1) == data.targets[known]
    return float(right @ weights / weights.sum()) if weights.sum() else 0.0


def _fit_svm(data: HeadData, fold: Folds, seed: int, on_try: OnTry) -> FittedHead:
    """C has the fewest out-of-fold errors; of equal ones the smallest, which is the strongest regularisation."""
    best: tuple[float, float, Doubles] | None = None
    scores = []
    for c in CS if fold.max(initial=0) > 0 else CS[2:3]:
        on_try(c)
        values = _out_of_fold(data, fold, partial(_svm, data, c, seed))
        known = np.isfinite(values).all(axis=1)
        wrong = float((values[known].argmax(axis=1) != data.targets[known]) @ _weights(data)[known])
        scores.append((c, wrong / max(1, int(known.sum()))))
        if best is None or wrong < best[0]:
            best = wrong, c, values
    assert best is not None
    on_try(best[1])
    whole = _svm(data, best[1], seed, np.ones(len(fold), bool))
    return _scaled(data, whole, best[2], best[1], tuple(scores))


def _svm(data: HeadData, c: float, seed: int, rows: Rows) -> Linear:
    _require_sklearn("svm")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    x, targets = np.asarray(data.features[rows], np.float64), data.targets[rows]
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1) * np.sqrt(x.shape[1])
    present = np.unique(targets)
    weight, bias = np.zeros((data.task.outputs, x.shape[1])), np.full(data.task.outputs, ABSENT)
    if len(present) == 1:
        bias[present] = 1.0
        return weight, bias
    machine = LinearSVC(C=c, random_state=seed)
    with warnings.catch_warnings():
        # Not quite converged for a large C, of which the folds then find no better errors.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit((x - centre) / scale, targets, sample_weight=_weights(data)[rows])
    slopes, starts = machine.coef_, machine.intercept_
    if len(present) == 2:  # one machine tells them apart
        slopes, starts = np.concatenate([-slopes, slopes]), np.concatenate([-starts, starts])
    weight[present] = slopes / scale
    bias[present] = starts - weight[present] @ centre
    return weight, bias


def _fit_bayes(data: HeadData, fold: Folds) -> FittedHead:
    whole = _bayes(data, np.ones(len(fold), bool))
    return _scaled(data, whole, _out_of_fold(data, fold, partial(_bayes, data)), None, ())


def _bayes(data: HeadData, rows: Rows) -> Linear:
    """The logarithm of prior times density, less what is the same for all classes."""
    x, targets, weights = np.asarray(data.features[rows], np.float64), data.targets[rows], _weights(data)[rows]
    marks = np.eye(data.task.outputs)[targets] * weights[:, None]
    totals = marks.sum(axis=0)[:, None]
    # A class without an image has the mean of all.
    means = np.where(totals > 0, (marks.T @ x) / np.where(totals > 0, totals, 1), weights @ x / weights.sum())
    variances = weights @ (x - means[targets]) ** 2 / weights.sum()
    variances = variances + SMOOTHED * max(float(variances.mean()), 1e-12)
    weight = means / variances
    priors = (totals[:, 0] + 1) / (totals + 1).sum()  # one image more each, so that none is 0
    bias = np.log(priors) - 0.5 * (means * weight).sum(axis=1)
    return weight - weight.mean(axis=0), bias - bias.mean()  # small numbers, of the same probabilities


def _only_compared(kind: str, data: HeadData, fold: Folds, seed: int) -> NDArray[np.float32]:
    _require_sklearn(kind)
    weights = _weights(data)

    def fitted(rows: Rows) -> Callable[[NDArray[np.float32]], Doubles]:
        classifier, weighted = _classifier(kind, int(rows.sum()), seed)
        more = {"sample_weight": weights[rows]} if weighted else {}
        classifier.fit(data.features[rows], data.targets[rows], **more)

        def probabilities(features: NDArray[np.float32]) -> Doubles:
            found = np.zeros((len(features), data.task.outputs))
            found[:, classifier.classes_] = classifier.predict_proba(features)
            return found

        return probabilities

    return _by_fold(data, fold, fitted).astype(np.float32)


def _classifier(kind: str, images: int, seed: int) -> tuple[Any, bool]:
    """The classifier, and whether it takes the images' weights."""
    if kind == "knn":
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        # By the cosine of the angle, as features of networks are compared.
        return make_pipeline(Normalizer(), KNeighborsClassifier(min(NEIGHBOURS, images))), False
    if kind == "tree":
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(random_state=seed), True
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=seed), True


def _scaled(
    data: HeadData, whole: Linear, values: Doubles, c: float | None, scores: tuple[tuple[float, float], ...]
) -> FittedHead:
    """The head whose scores are multiplied by the factor of least log loss out of fold, and the predictions with it."""
    known = np.isfinite(values).all(axis=1)
    factor = _factor(values[known], data.targets[known], _weights(data)[known])
    out_of_fold = np.full(values.shape, np.nan, np.float32)
    out_of_fold[known] = softmax((factor * values[known]).astype(np.float32))
    weight, bias = ((factor * one).astype(np.float32) for one in whole)
    return FittedHead(Head(weight, bias, c, scores), out_of_fold)


def _factor(values: Doubles, targets: NDArray[Any], weights: Doubles) -> float:
    """By which scores are multiplied for the least log loss; 1 without any."""
    if not len(values):
        return 1.0
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    own = values[np.arange(len(values)), targets]

    def loss(power: float) -> float:
        factor = np.exp(power)
        return float((logsumexp(factor * values, axis=1) - factor * own) @ weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-10, 5), method="bounded").x))


def _out_of_fold(data: HeadData, fold: Folds, fit: Callable[[Rows], Linear]) -> Doubles:
    """Scores [N, classes] by heads fitted without the image's fold; NaN without one."""

    def fitted(rows: Rows) -> Callable[[NDArray[np.float32]], Doubles]:
        weight, bias = fit(rows)
        return lambda features: np.asarray(features @ weight.T + bias)

    return _by_fold(data, fold, fitted)


def _by_fold(data: HeadData, fold: Folds, fit: Callable[[Rows], Callable[[NDArray[np.float32]], Doubles]]) -> Doubles:
    values = np.full((len(fold), data.task.outputs), np.nan)
    for number in range(int(fold.max(initial=-1)) + 1):
        inside = fold == number
        if inside.any() and not inside.all():
            values[inside] = fit(~inside)(data.features[inside])
    return values


def _weights(data: HeadData) -> Doubles:
    return np.ones(len(data.features)) if data.weights is None else np.asarray(data.weights, np.float64)


def _require_sklearn(kind: str) -> None:
    import importlib.util

    if importlib.util.find_spec("sklearn") is None:
        raise RequestError(f"--head {kind} needs scikit-learn: pip install 'striate[sklearn]'")
