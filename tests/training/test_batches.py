"""Every image once, or in proportion to its sampling weight, in a different order every epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.augment.keyed import permutation
from striate.errors import RequestError
from striate.training.batches import batches, count, micro_batches, sample_order


def test_batches_have_every_image_once_and_another_order_in_each_epoch() -> None:
    epochs = [sample_order(65, seed=0, epoch=epoch) for epoch in (0, 1)]
    orders = [np.concatenate([some.rows for some in batches(epoch, 32)]) for epoch in epochs]
    assert all(sorted(order.tolist()) == list(range(65)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], permutation(0, 0, 65))
    np.testing.assert_array_equal(epochs[0].rows, epochs[0].keys)
    sizes = [
        (65, 32, 2, 2),
        (65, 32, 1, 3),
        (64, 32, 2, 2),
        (1, 32, 2, 1),
        (3, 1, 2, 3),
        (66, 32, 2, 3),
        (67, 32, 4, 2),
    ]
    for samples, batch, least, expected in sizes:
        made = list(batches(sample_order(samples, seed=0, epoch=0), batch, min_batch=least))
        assert len(made) == count(samples, batch, min_batch=least) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(any), st.integers(0, 1000), st.integers(0, 1000))
def test_sampling_weights_are_met_up_to_rounding(weights: list[float], seed: int, epoch: int) -> None:
    n = len(weights)
    made = sample_order(n, seed=seed, epoch=epoch, weights=np.array(weights))
    expected = n * np.array(weights) / sum(weights)
    counts = np.bincount(made.rows, minlength=n)
    assert len(made) == n
    assert (counts >= np.floor(expected - 1e-6)).all()
    assert (counts <= np.ceil(expected + 1e-6)).all()
    # No two samples have the same key, and the first of each image has its usual one.
    assert len(set(made.keys.tolist())) == n
    np.testing.assert_array_equal(made.keys % n, made.rows)
    assert all(made.keys[made.rows == row].min() == row for row in set(made.rows.tolist()))
    assert sorted(made.partners.tolist()) == list(range(n))


def test_over_epochs_sampling_is_proportional() -> None:
    weights = np.array([1.0, 2.0, 3.0, 0.0, 0.5, 0.7, 0.8, 0.1])
    seen = np.zeros(8)
    for epoch in range(2000):
        seen += np.bincount(sample_order(8, seed=1, epoch=epoch, weights=weights).rows, minlength=8)
    np.testing.assert_allclose(seen / 2000, 8 * weights / weights.sum(), atol=0.04)
    assert seen[3] == 0
    orders = [sample_order(8, seed=1, epoch=epoch, weights=weights).rows.tolist() for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_equal_sampling_weights_are_every_image_once() -> None:
    made = sample_order(40, seed=0, epoch=3, weights=np.full(40, 0.2))
    assert sorted(made.rows.tolist()) == list(range(40))


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_invalid_sampling_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(RequestError, match="needs 2 weights, 0 or more and not all 0"):
        sample_order(2, seed=0, epoch=0, weights=np.array(weights))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3))
def test_micro_batches_partition_the_batch(images: int, parts: int, least: int) -> None:
    epoch = sample_order(images, seed=0, epoch=0)
    dealt = micro_batches(epoch, parts, min_batch=least)
    assert len(dealt) == max(1, min(parts, images // least))
    assert min(map(len, dealt)) >= min(least, images)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert sorted(np.concatenate([piece.rows for piece in dealt]).tolist()) == list(range(images))
