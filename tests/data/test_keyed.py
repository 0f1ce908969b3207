"""Keyed draws: even, reproducible, and the same however the samples are cut into batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.augment.keyed import Stream, bits, integers, permutation, uniform
from striate.errors import RequestError

SEEDS = st.integers(-(2**63), 2**64 - 1)
EPOCHS = st.integers(0, 2**40)
SAMPLES = st.lists(st.integers(0, 2**62), max_size=50)


def test_agrees_with_splitmix64_as_published() -> None:
    # The first outputs of splitmix64.c from state 0; our innermost step is that function of the state.
    mask, words, state = 2**64 - 1, [], 0
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        words.append(z ^ (z >> 31))
    assert words == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]

    def mixed(word: int) -> int:
        z = (word + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    assert int(bits(1, 2, 4, 3)) == mixed(mixed(mixed(mixed(1) ^ 2) ^ 3) ^ 4)


def test_draws_never_change_between_releases() -> None:
    assert bits(0, 0, [0, 1], 0).tolist() == [2391539541053276776, 3048674281419798293]
    assert permutation(7, 3, 8).tolist() == [4, 7, 0, 6, 2, 1, 3, 5]


@pytest.mark.parametrize("stream", Stream)
def test_uniform_is_even_in_every_part_of_the_key(stream: Stream) -> None:
    n = 20_000
    across_samples = uniform(5, 1, np.arange(n), stream)
    across_epochs = np.concatenate([uniform(5, epoch, [3], stream) for epoch in range(n // 20)])
    across_seeds = np.concatenate([uniform(seed, 1, [3], stream) for seed in range(n // 20)])
    for draws in (across_samples, across_epochs, across_seeds):
        assert draws.min() >= 0
        assert draws.max() < 1
        counts = np.histogram(draws, bins=10, range=(0, 1))[0]
        expected = len(draws) / 10
        # Chi-squared with 9 degrees of freedom is above 27.9 once in a thousand times; the draws never change.
        assert ((counts - expected) ** 2 / expected).sum() < 27.9
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / len(draws) ** 0.5


def test_streams_epochs_and_seeds_are_unrelated() -> None:
    keys = itertools.product((0, 1), (0, 1), (0, 1, 2))
    draws = np.stack([uniform(seed, epoch, np.arange(5_000), stream) for seed, epoch, stream in keys])
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 4 / 5_000**0.5


@given(SEEDS, EPOCHS, SAMPLES, st.integers(0, 100), st.integers(0, 50))
def test_a_draw_does_not_depend_on_the_batch(seed: int, epoch: int, samples: list[int], stream: int, cut: int) -> None:
    names = np.array(samples, np.int64)
    whole = uniform(seed, epoch, names, stream)
    parts = [uniform(seed, epoch, part, stream) for part in (names[:cut], names[cut:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole[::-1], uniform(seed, epoch, names[::-1], stream))
    np.testing.assert_array_equal(whole, [uniform(seed, epoch, name, stream) for name in names])


@given(SEEDS, EPOCHS, st.integers(-(2**40), 2**40), st.integers(1, 2**32))
def test_integers_stay_in_range(seed: int, epoch: int, low: int, span: int) -> None:
    draws = integers(seed, epoch, np.arange(50), 1, low, low + span)
    assert draws.dtype == np.int64
    assert low <= draws.min()
    assert draws.max() < low + span


def test_integers_reach_both_ends_evenly() -> None:
    counts = np.bincount(integers(0, 0, np.arange(50_000), 1, -2, 3) + 2)
    assert len(counts) == 5
    assert abs(counts - 10_000).max() < 400


def test_the_largest_draw_does_not_reach_the_end() -> None:
    # floor(u * span) could round up to span for the largest u below 1: it does not, whatever the span.
    spans = np.concatenate([np.arange(1, 100_000), 2**32 - np.arange(100_000)])
    assert (np.floor((1 - 2.0**-53) * spans) < spans).all()


@given(SEEDS, EPOCHS, st.integers(0, 300))
def test_permutation_has_every_number_once(seed: int, epoch: int, n: int) -> None:
    order = permutation(seed, epoch, n)
    assert sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(order, permutation(seed, epoch, n))


def test_permutation_differs_by_epoch_and_seed_and_is_even() -> None:
    assert not np.array_equal(permutation(0, 0, 100), permutation(0, 1, 100))
    assert not np.array_equal(permutation(0, 0, 100), permutation(1, 0, 100))
    firsts = np.bincount([permutation(0, epoch, 5)[0] for epoch in range(5_000)])
    assert abs(firsts - 1_000).max() < 120


def test_shape_is_kept_and_bad_requests_are_refused() -> None:
    assert uniform(0, 0, np.zeros((2, 3), np.int32), 0).shape == (2, 3)
    assert uniform(0, 0, 5, 0).shape == ()
    assert uniform(0, 0, np.arange(0), 0).shape == (0,)
    with pytest.raises(RequestError, match=r"samples must be integers.*float64"):
        uniform(0, 0, [0.5], 0)
    with pytest.raises(RequestError, match="not from 3 to 2"):
        integers(0, 0, [0], 0, 3, 3)
    with pytest.raises(RequestError, match="not -1"):
        permutation(0, 0, -1)
