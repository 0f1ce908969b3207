"""Which nets can be told apart, and which are on the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.benchmarking.comparing import pareto, ranked, times_on_front
from striate.tasks.differences import difference


def answers(rates: list[float], images: int, seed: int) -> NDArray[np.float64]:
    """Right and wrong answers of a net, [seeds, images], with the accuracy of each seed."""
    hard = np.random.default_rng(99).random(images)  # the same images are hard for all
    generator = np.random.default_rng(seed)
    return np.stack([(hard + 0.3 * generator.standard_normal(images) < rate) * 1.0 for rate in rates])


def test_the_same_net_twice_ties() -> None:
    one = answers([0.9, 0.91, 0.92], 500, 1)
    found = ranked([one, one], higher=True)
    assert found.winner is None and len(found.tied) == 1
    assert found.differences[found.order[1]].mean == 0


def test_a_clear_difference_wins_and_a_small_one_does_not() -> None:
    good, close, poor = (
        answers([0.8, 0.81, 0.82], 500, 1),
        answers([0.81, 0.79, 0.82], 500, 2),
        answers([0.5] * 3, 500, 3),
    )
    assert ranked([poor, good], higher=True).winner == 1
    assert ranked([poor, good], higher=False).winner == 0
    three = ranked([poor, good, close], higher=True)
    assert three.winner is None and len(three.tied) == 1 and three.order[2] == 0


def test_pairing_images_separates_what_unpaired_intervals_do_not() -> None:
    generator = np.random.default_rng(5)
    hard = generator.random(400) < 0.4
    one = np.stack([~hard * 1.0] * 3)
    better = one.copy()
    better[:, np.flatnonzero(hard)[:12]] = 1  # three points more, on twelve images that the other has wrong
    assert abs(better.mean() - one.mean() - 0.03) < 1e-9
    assert difference(better, one).apart


def test_seeds_that_differ_widen_the_interval() -> None:
    steady = difference(answers([0.6] * 3, 2000, 1), answers([0.56] * 3, 2000, 2))
    moving = difference(answers([0.5, 0.6, 0.7], 2000, 1), answers([0.46, 0.56, 0.66], 2000, 2))
    assert steady.apart and not moving.apart
    assert moving.high - moving.low > 2 * (steady.high - steady.low)


def test_nets_of_one_quality_are_seldom_told_apart() -> None:
    generator, apart = np.random.default_rng(0), 0
    for trial in range(100):
        rates = generator.normal(0.6, 0.02, (2, 5)).tolist()
        one, other = (answers(row, 300, 1000 + 2 * trial + place) for place, row in enumerate(rates))
        apart += difference(one, other, draws=400).apart
    assert apart <= 15


def test_the_front() -> None:
    costs, scores = [1.0, 2.0, 3.0, 3.0], [0.5, 0.7, 0.6, 0.7]
    assert pareto(costs, scores, higher=True) == (True, True, False, False)
    assert pareto(costs, [-one for one in scores], higher=False) == (True, True, False, False)
    assert pareto([1.0, 1.0], [0.5, 0.5], higher=True) == (True, True)
    assert times_on_front([1.0, 2.0], [[0.5, 0.6, 0.5], [0.6, 0.5, 0.6]], higher=True) == (3, 2)
