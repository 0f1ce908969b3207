"""Other classifiers on cached features: those that are linear heads, and nearest neighbours, trees and forests.

Every function takes the features of single-label images and their folds, and predicts each image by a classifier that
was fitted without its fold. scikit-learn, the extra `sklearn`, fits all of them but naive Bayes.

Linear heads are stored as the weights of a linear layer, so that engines and exports stay as they are:
- svm: one linear support vector machine for each class against the others.
- bayes: Gaussian naive Bayes with variances that all classes share, which is linear (Dudoit et al. 2002).
The others are stored as arrays: see `striate.inference.classifiers`. Neither's scores are probabilities: one factor,
fitted to the out-of-fold scores, makes them so (temperature scaling, Guo et al. 2017, arXiv:1706.04599).
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
from striate.inference.classifiers import Classifier, ClassifierHead, NearestNeighbours, Tree, Trees, log_shares
from striate.recipe.keys import LINEAR_HEADS as LINEAR
from striate.recipe.keys import VOTING_HEADS as VOTING
from striate.tasks import Task
from striate.tasks.values import softmax
from striate.transfer.head import AnyHead, FittedHead, Folds, Head, HeadData, fit_with_folds

CS = (1e-2, 1e-1, 1.0, 1e1, 1e2)  # of the support vector machines, on standardised features of mean square length 1
TREES = 200
ABSENT = -5.0  # the score of a class without an image; the others are about -1 to 1
SMOOTHED = 1e-2  # of the mean variance, added to every variance of naive Bayes

Doubles = NDArray[np.float64]
Rows = NDArray[np.bool_]
Linear = tuple[Doubles, Doubles]  # weight [classes, D] and bias [classes]
OnTry = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Compared:
    """A kind of classifier and its head, with out-of-fold predictions [N, classes]."""

    kind: str
    fitted: FittedHead[AnyHead]

    @property
    def out_of_fold(self) -> NDArray[np.float32]:
        """Predictions of its images by heads fitted without their fold; NaN without one."""
        return self.fitted.out_of_fold


def check_head(task: Task, kind: str) -> None:
    """Raise RequestError for a head that does not go with the task, or needs scikit-learn."""
    if kind == "logistic":
        return
    if not task.one_class:
        raise RequestError(f"--head {kind} needs single-label classification; the task here is {task.kind!r}")
    if kind not in ("bayes", "knn"):
        _require_sklearn(kind)


def fit_kind(kind: str, data: HeadData, fold: Folds, seed: int, on_try: OnTry = lambda c: None) -> FittedHead[AnyHead]:
    """A head of that kind, its hyperparameter chosen over the folds, and its out-of-fold predictions."""
    if kind in VOTING:
        return _fit_voting(kind, data, fold, seed)
    if kind == "logistic":
        return fit_with_folds(data, fold=fold, on_try=on_try)
    return _fit_bayes(data, fold) if kind == "bayes" else _fit_svm(data, fold, seed, on_try)


def compare(
    data: HeadData, fold: Folds, seed: int, on_kind: Callable[[str], object] = lambda kind: None
) -> list[Compared]:
    """Every kind of classifier, fitted over the same folds; the most accurate first, of equal ones the more linear."""
    found = []
    for kind in (*LINEAR, *VOTING):
        on_kind(kind)
        found.append(Compared(kind, fit_kind(kind, data, fold, seed)))
    return sorted(found, key=lambda one: -accuracy(one, data))


def accuracy(one: Compared, data: HeadData) -> float:
    """The weighted share of images whose out-of-fold prediction is right; 0 without any."""
    known = np.isfinite(one.out_of_fold).all(axis=1)
    weights = _weights(data)[known]
    right = one.out_of_fold[known].argmax(axis=1) == data.targets[known]
    return float(right @ weights / weights.sum()) if weights.sum() else 0.0


def _fit_svm(data: HeadData, fold: Folds, seed: int, on_try: OnTry) -> FittedHead[Head]:
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


def _fit_bayes(data: HeadData, fold: Folds) -> FittedHead[Head]:
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


def _fit_voting(kind: str, data: HeadData, fold: Folds, seed: int) -> FittedHead[ClassifierHead]:
    """A classifier that votes, and its calibrated out-of-fold predictions."""

    def fitted(rows: Rows) -> Callable[[NDArray[np.float32]], Doubles]:
        return _voting(kind, data, seed, rows).shares

    values = log_shares(_by_fold(data, fold, fitted))
    known = np.isfinite(values).all(axis=1)
    factor = _factor(values[known], data.targets[known], _weights(data)[known])
    out_of_fold = np.full(values.shape, np.nan, np.float32)
    out_of_fold[known] = softmax((factor * values[known]).astype(np.float32))
    whole = _voting(kind, data, seed, np.ones(len(fold), bool))
    return FittedHead(ClassifierHead(whole, factor), out_of_fold)


def _voting(kind: str, data: HeadData, seed: int, rows: Rows) -> Classifier:
    """The classifier, fitted to the images of `rows` whose weight is not 0."""
    weights = _weights(data)
    rows = rows & (weights > 0)
    features, targets, outputs = data.features[rows], data.targets[rows], data.task.outputs
    if kind == "knn":
        return NearestNeighbours.fit(features, targets, outputs)
    _require_sklearn(kind)
    if kind == "tree":
        from sklearn.tree import DecisionTreeClassifier

        classifier = DecisionTreeClassifier(random_state=seed).fit(features, targets, weights[rows])
        return _arrays(Tree, [classifier.tree_], classifier.classes_, outputs)
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(TREES, random_state=seed).fit(features, targets, weights[rows])
    return _arrays(Trees, [one.tree_ for one in forest.estimators_], forest.classes_, outputs)


def _arrays(kind: type[Trees], trees: list[Any], classes: NDArray[np.int64], outputs: int) -> Trees:
    """scikit-learn's trees, in whose arrays a child comes after its parent, as one row of nodes."""
    counts = [one.node_count for one in trees]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    inner = np.concatenate([one.children_left >= 0 for one in trees])
    shift = np.repeat(starts, counts)

    def row(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, name) for one in trees])

    shares = np.concatenate([one.value[:, 0, :] for one in trees])
    value = np.zeros((len(inner), outputs), np.float32)
    value[:, classes] = shares / shares.sum(axis=1, keepdims=True)
    left, right = (np.where(inner, row(f"children_{side}") + shift, 0).astype(np.int32) for side in ("left", "right"))
    feature = np.where(inner, row("feature"), -1).astype(np.int32)
    return kind(feature, np.asarray(row("threshold"), np.float64), left, right, value, starts)


def _scaled(
    data: HeadData, whole: Linear, values: Doubles, c: float | None, scores: tuple[tuple[float, float], ...]
) -> FittedHead[Head]:
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
