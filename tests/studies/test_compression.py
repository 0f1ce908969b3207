"""Small files of weights: what is pruned, which values are shared, and codes that are read back."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from striate.errors import RequestError
from striate.studies.compression import code_lengths, coded_bytes, decoded, dense, encoded, pruned, shared, sparse


def test_the_smallest_weights_are_pruned() -> None:
    weights = np.array([[0.5, -0.1], [-2.0, 0.2]], np.float32)
    assert pruned(weights, 0.5).tolist() == [[0.5, 0.0], [-2.0, 0.0]]
    assert np.array_equal(pruned(weights, 0.0), weights)
    with pytest.raises(RequestError, match="at least 0 and below 1, not 1"):
        pruned(weights, 1.0)


def test_weights_share_the_nearest_of_a_few_values() -> None:
    random = np.random.default_rng(0)
    groups = np.array([-1.0, -0.25, 0.5, 2.0], np.float32)
    weights = (random.choice(groups, (40, 50)) + random.normal(0, 0.01, (40, 50))).astype(np.float32)
    found = shared(weights, 4, seed=1)
    assert np.allclose(found.values, groups, atol=5e-3) and found.codes.shape == weights.shape
    assert np.abs(found.weights - weights).max() < 0.06
    thinned = shared(pruned(weights, 0.25), 4)
    assert np.array_equal(thinned.codes == 0, pruned(weights, 0.25) == 0) and thinned.values[0] == 0
    few = np.array([[0.5, 0.0], [-3.0, 0.5]], np.float32)
    assert np.array_equal(shared(few, 4).weights, few) and shared(few, 4).values.tolist() == [0.0, -3.0, 0.5]
    with pytest.raises(RequestError, match="2 to 256 values, not 1"):
        shared(weights, 1)


def test_codes_are_as_short_as_huffmans_and_are_read_back() -> None:
    random = np.random.default_rng(2)
    codes = random.choice(6, 5000, p=[0.5, 0.2, 0.15, 0.1, 0.05, 0.0]).astype(np.uint8)
    counts = np.bincount(codes, minlength=6).tolist()
    lengths = code_lengths(counts)
    content = encoded(codes, lengths)
    assert np.array_equal(decoded(content, lengths, codes.size), codes) and lengths[5] == 0
    heap, total = [count for count in counts if count], 0  # the cost of Huffman's tree is the sum of its inner nodes
    heapq.heapify(heap)
    while len(heap) > 1:
        total += (merged := heapq.heappop(heap) + heapq.heappop(heap))
        heapq.heappush(heap, merged)
    assert len(content) == -(-total // 8)
    assert code_lengths([0, 7]) == [0, 1]


def test_zeros_are_left_out_where_that_is_shorter() -> None:
    codes = np.zeros((60, 50), np.uint8)
    codes.flat[[0, 3, 4, 300, 2000, 2999]] = [7, 1, 255, 2, 3, 4]
    found = sparse(codes)
    assert found.gaps[:4].tolist() == [0, 2, 0, 255] and found.codes[:5].tolist() == [7, 1, 255, 0, 2]
    assert np.array_equal(dense(found, codes.size), codes.ravel())
    assert len(found.gaps) == 6 + 1 + 6 + 3 and not sparse(np.zeros(9, np.uint8)).gaps.size
    lengths = code_lengths(np.bincount(codes.ravel()).tolist())
    assert coded_bytes(codes) < len(encoded(codes, lengths)) + 256
    full = np.random.default_rng(3).integers(0, 4, 4000).astype(np.uint8)
    assert coded_bytes(full) <= 1 + 1000 + 4 + 32  # two bits each
