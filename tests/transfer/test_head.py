"""The linear head: converged, as good as scikit-learn's, and robust for unusual data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from striate.errors import RequestError
from striate.tasks import Classification, Multilabel, Regression, Task
from striate.tasks.losses import CrossEntropy
from striate.transfer.head import CS, HeadData, fit_head, fit_with_folds, fold_of
from striate.transfer.solver import EXACT, Design, minimise


def classes(count: int) -> Task:
    return Classification(tuple(map(str, range(count))))


def minimum(
    x: NDArray[np.float32], y: NDArray[np.int64], weights: NDArray[np.float64], c: float, outputs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight and bias at the minimum of the cross entropy."""
    design = Design.of(x)
    heads = minimise(design, y, weights[None], CrossEntropy(), c, [design.zero(outputs)], [1e-12])
    return design.original(heads[0])


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    data = load_digits()
    return data.data[:600].astype(np.float32) / 16, data.target[:600].astype(np.int64)


def test_fit_reaches_scikit_learns_minimum(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    weight, bias = minimum(x, y, np.ones(len(x)), 0.1, 10)
    theirs = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000).fit(x, y)
    ours, reference = x @ weight.T + bias, theirs.decision_function(x)
    # Only differences between classes are determined.
    ours -= ours.mean(axis=1, keepdims=True)
    reference -= reference.mean(axis=1, keepdims=True)
    assert np.abs(ours - reference).max() < 2e-3 * np.abs(reference).max()


def test_head_generalises_as_well_as_scikit_learn(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    head = fit_head(HeadData(x[:400], y[:400], classes(10)), seed=1)
    right = (np.argmax(x[400:] @ head.weight.T + head.bias, axis=1) == y[400:]).mean()
    theirs = LogisticRegression(C=head.C, max_iter=2000).fit(x[:400], y[:400]).score(x[400:], y[400:])
    assert right >= theirs - 0.01
    tried = [c for c, _ in head.scores]
    assert tried == [c for c in CS if tried[0] <= c <= tried[-1]]
    least = min(head.scores, key=lambda row: row[1])[0]
    assert least / 10**0.25 <= head.C <= least * 10**0.25  # within half a step of the best one tried


def test_heads_of_many_images_are_as_good_as_scikit_learns() -> None:
    generator = np.random.default_rng(4)
    centres = 0.15 * generator.normal(size=(12, 160))
    y = generator.integers(0, 12, 9000)
    x = (centres[y] + generator.normal(size=(9000, 160)) * generator.uniform(0.1, 6, 160) + 5).astype(np.float32)
    assert x[:7000].size > EXACT  # in float32, and only as near to the minimum as matters
    fitted = fit_with_folds(HeadData(x[:7000], y[:7000], classes(12)), seed=1)
    theirs = LogisticRegression(C=fitted.head.C, max_iter=2000).fit(x[:7000] - x.mean(axis=0), y[:7000])
    reference = theirs.predict_proba(x[7000:] - x.mean(axis=0))
    ours = classes(12).predictions(x[7000:] @ fitted.head.weight.T + fitted.head.bias)
    held_out, rows = y[7000:], np.arange(2000)
    assert (ours.argmax(1) == held_out).mean() >= (reference.argmax(1) == held_out).mean() - 0.002
    assert -np.log(ours[rows, held_out]).mean() <= 1.002 * -np.log(reference[rows, held_out]).mean()
    # Predicted without their fold, the training images are about as hard as new ones.
    out_of_fold = -np.log(fitted.out_of_fold[np.arange(7000), y[:7000]]).mean()
    assert out_of_fold == pytest.approx(-np.log(ours[rows, held_out]).mean(), rel=0.1)


def test_fewer_images_than_features_gives_the_same_minimum() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 200)).astype(np.float32) + 3
    y = (np.arange(30) % 3).astype(np.int64)
    head = fit_head(HeadData(x, y, classes(3)))
    assert head.weight.shape == (3, 200) and head.bias.shape == (3,)
    theirs = LogisticRegression(C=head.C, tol=1e-10, max_iter=5000).fit(x.astype(np.float64), y)
    direct = theirs.decision_function(x.astype(np.float64))
    ours = x @ head.weight.T + head.bias
    shift = (direct - ours).mean(axis=1, keepdims=True)
    assert np.abs(direct - ours - shift).max() < 1e-2


def test_same_seed_same_head(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    data_ = HeadData(x[:200], y[:200], classes(10))
    first, second = fit_head(data_, seed=3), fit_head(data_, seed=3)
    assert np.array_equal(first.weight, second.weight) and np.array_equal(first.bias, second.bias)


def test_constant_features_and_a_class_of_one_do_not_fail() -> None:
    x = np.ones((9, 5), np.float32)
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2], np.int64)
    head = fit_head(HeadData(x, y, classes(3)))
    assert np.isfinite(head.weight).all() and np.isfinite(head.bias).all()


def test_folds_are_stratified() -> None:
    labels = np.repeat(np.arange(4), [23, 10, 7, 2])
    fold = fold_of(labels, 5, seed=0)
    for label in range(4):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(fold, minlength=5)
    assert sizes.max() - sizes.min() <= 2


# Multilabel, regression, sample weights


def test_labels_are_fitted_independently(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    table = np.stack([y == 0, y >= 8, y == 7], axis=1).astype(np.float32)
    task = Multilabel(("nought", "large", "seven"))
    head = fit_head(HeadData(x[:400], table[:400], task), seed=0)
    given = task.predictions(x[400:] @ head.weight.T + head.bias) >= 0.5
    assert ((given == table[400:]).mean(axis=0) >= 0.92).all()
    one = fit_head(HeadData(x[:400], table[:400, :1], Multilabel(("nought",))), seed=0)
    alone = LogisticRegression(C=one.C, tol=1e-8, max_iter=5000).fit(x[:400], table[:400, 0])
    assert np.allclose(one.weight, alone.coef_, atol=5e-3 * np.abs(alone.coef_).max())


def test_regression_is_in_the_targets_units() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 12)).astype(np.float32)
    truth = 1000 + 250 * x[:, 0] - 40 * x[:, 3]
    head = fit_head(HeadData(x, truth.astype(np.float64), Regression(("grams",))))
    said = x @ head.weight.T + head.bias
    assert np.abs(said[:, 0] - truth).max() < 5


def test_huber_is_robust_to_a_few_outliers() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(200, 3)).astype(np.float32)
    clean = 5 + 2 * x[:, 0].astype(np.float64)
    wild = clean.copy()
    wild[:10] += 500
    task = Regression(("n",))
    errors = {}
    for loss in ("mse", "huber"):
        head = fit_head(HeadData(x, wild, task, loss=loss))
        errors[loss] = np.abs(x @ head.weight.T + head.bias - clean[:, None])[10:].mean()
    assert errors["huber"] < 0.5 < 10 < errors["mse"]


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_images_of_weight_zero_have_no_part_in_the_head(kind: str) -> None:
    """What is held out stays among the features where a copy of the others would double the memory."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(900, 30)).astype(np.float32)
    slopes = generator.normal(size=30)
    noise = generator.normal(size=900)
    task: Task = classes(2) if kind == "classes" else Regression(("size",))
    targets = (x @ slopes + noise > 0).astype(np.int64) if kind == "classes" else 50 * (x @ slopes + noise) + 300
    if kind == "numbers":
        targets = task.collate(float(value) for value in targets)
    rows = np.flatnonzero(generator.random(900) < 0.8)
    wild = x.copy()
    wild[np.setdiff1d(np.arange(900), rows)] += 4
    fold = fold_of(targets[rows], 5, 0)
    among = np.full(900, -1, np.int64)
    among[rows] = fold
    weights = np.zeros(900)
    weights[rows] = 1.0
    alone = fit_with_folds(HeadData(x[rows], targets[rows], task), fold=fold)
    together = fit_with_folds(HeadData(wild, targets, task, weights), fold=among)
    assert np.isclose(together.head.C, alone.head.C, rtol=0.1)
    assert np.allclose(together.head.weight, alone.head.weight, atol=0.02 * np.abs(alone.head.weight).max())
    assert np.allclose(together.out_of_fold[rows], alone.out_of_fold, atol=0.02 * np.ptp(alone.out_of_fold))
    assert np.isnan(together.out_of_fold[among < 0]).all()


def test_a_sample_weight_of_two_equals_the_image_twice() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(40, 6)).astype(np.float32)
    y = (x[:, 0] + generator.normal(size=40) > 0).astype(np.int64)
    weights = np.where(np.arange(40) < 20, 2.0, 1.0)
    twice = np.concatenate([np.arange(40), np.arange(20)])
    one = minimum(x, y, weights, 1.0, 2)
    two = minimum(x[twice], y[twice], np.ones(60), 1.0, 2)
    assert np.allclose(one[0], two[0], atol=1e-3)


def test_out_of_fold_predictions_are_by_heads_not_fitted_to_the_image() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(60, 80)).astype(np.float32)  # more features than images: a head can overfit them
    y = generator.integers(0, 2, 60)
    fold = fold_of(y, 5, seed=0)
    fold[:5] = -1
    predictions = fit_with_folds(HeadData(x, y, classes(2)), fold=fold).out_of_fold
    assert np.isnan(predictions[:5]).all() and np.isfinite(predictions[5:]).all()
    assert (predictions[5:].argmax(axis=1) == y[5:]).mean() < 0.75  # chance level; a head fitted to them would be right
    weight, bias = minimum(x, y, np.ones(60), 10.0, 2)
    assert ((x @ weight.T + bias).argmax(axis=1) == y).mean() > 0.9


def test_a_loss_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown loss of the task 'classification' 'huber'"):
        HeadData(np.zeros((2, 2), np.float32), np.array([0, 1]), classes(2), loss="huber")
