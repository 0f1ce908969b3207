"""The linear head: converged, as good as scikit-learn's, and steady where the data are odd."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from striate.transfer.head import STRENGTHS, _fit, fit_head, fold_of


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    data = load_digits()
    return data.data[:600].astype(np.float32) / 16, data.target[:600].astype(np.int64)


def test_fit_is_scikit_learns_minimum(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits[0].astype(np.float64), digits[1]
    weight, bias = _fit(x, y, 10, 0.1)
    theirs = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000).fit(x, y)
    ours, reference = x @ weight.T + bias, theirs.decision_function(x)
    # Only differences between classes have a meaning.
    ours -= ours.mean(axis=1, keepdims=True)
    reference -= reference.mean(axis=1, keepdims=True)
    assert np.abs(ours - reference).max() < 2e-3 * np.abs(reference).max()


def test_head_generalises_as_well_as_scikit_learn(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    head = fit_head(x[:400], y[:400], 10, seed=1)
    right = (np.argmax(x[400:] @ head.weight.T + head.bias, axis=1) == y[400:]).mean()
    theirs = LogisticRegression(C=head.strength, max_iter=2000).fit(x[:400], y[:400]).score(x[400:], y[400:])
    assert right >= theirs - 0.01
    assert head.strength in STRENGTHS
    assert min(loss for _, loss, _ in head.scores) == next(loss for c, loss, _ in head.scores if c == head.strength)


def test_fewer_images_than_features_gives_the_same_minimum() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 200)).astype(np.float32) + 3
    y = (np.arange(30) % 3).astype(np.int64)
    head = fit_head(x, y, 3)
    assert head.weight.shape == (3, 200) and head.bias.shape == (3,)
    weight, bias = _fit((x - x.mean(axis=0)).astype(np.float64), y, 3, head.strength)
    direct = (x - x.mean(axis=0)) @ weight.T + bias
    ours = x @ head.weight.T + head.bias
    shift = (direct - ours).mean(axis=1, keepdims=True)
    assert np.abs(direct - ours - shift).max() < 1e-2


def test_same_seed_same_head(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    x, y = digits
    first, second = fit_head(x[:200], y[:200], 10, seed=3), fit_head(x[:200], y[:200], 10, seed=3)
    assert np.array_equal(first.weight, second.weight) and np.array_equal(first.bias, second.bias)


def test_constant_features_and_a_class_of_one_do_not_fail() -> None:
    x = np.ones((9, 5), np.float32)
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2], np.int64)
    head = fit_head(x, y, 3)
    assert np.isfinite(head.weight).all() and np.isfinite(head.bias).all()


def test_folds_are_stratified() -> None:
    labels = np.repeat(np.arange(4), [23, 10, 7, 2])
    fold = fold_of(labels, 5, seed=0)
    for label in range(4):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(fold, minlength=5)
    assert sizes.max() - sizes.min() <= 2
