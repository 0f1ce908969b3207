"""Figures against hand counts and against scikit-learn and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from striate.tasks.metrics import (
    auroc,
    average_precision,
    best_threshold,
    calibration,
    mean_interval,
    precision_recall,
    wilson,
)

SCORED = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(truth for _, truth in rows) < len(rows)
)


@given(SCORED)
@settings(deadline=None)
def test_ranking_figures_are_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([row[0] / 8 for row in rows]), np.array([row[1] for row in rows])
    assert math.isclose(average_precision(scores, truth), peer.average_precision_score(truth, scores))
    assert math.isclose(auroc(scores[truth], scores[~truth]), peer.roc_auc_score(truth, scores))


@given(SCORED)
@settings(deadline=None)
def test_the_best_threshold_has_the_best_f1(rows: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([row[0] / 8 for row in rows]), np.array([row[1] for row in rows])
    chosen = peer.f1_score(truth, scores >= best_threshold(scores, truth), zero_division=0)
    assert chosen >= max(peer.f1_score(truth, scores >= cut, zero_division=0) for cut in np.arange(17) / 16) - 1e-12


def test_nothing_to_rank() -> None:
    assert math.isnan(auroc([], [1.0])) and math.isnan(average_precision([0.2], [0]))
    assert best_threshold([0.2, 0.4], [0, 0]) == 0.5
    assert len(precision_recall([0.3], [0])[0]) == 0


def test_wilson_by_hand() -> None:
    low, high = wilson(144, 153)
    assert (round(low, 3), round(high, 3)) == (0.892, 0.969)
    assert wilson(0, 0) == (0.0, 1.0) and wilson(5, 5)[1] == 1.0 and wilson(0, 5)[0] == 0.0


def test_calibration_by_hand() -> None:
    found = calibration([0.95, 0.95, 0.65, 1.0], [1, 0, 1, 1])
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0, 3]
    assert np.isclose(found.accuracy[9], 2 / 3) and np.isclose(found.confidence[9], 2.9 / 3)
    assert np.isclose(found.error, (0.35 + abs(2 - 2.9)) / 4)
    assert np.isnan(found.accuracy[0])


@pytest.mark.parametrize("count", [2, 3, 5, 10, 40])
def test_the_interval_of_a_mean_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    right = scipy.stats.t.interval(0.95, count - 1, values.mean(), scipy.stats.sem(values))
    assert np.allclose(mean_interval(values), right, rtol=0, atol=0.01 * (right[1] - right[0]))
    assert mean_interval(values[:1]) == (-math.inf, math.inf)
