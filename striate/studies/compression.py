"""Small files of weights: magnitude pruning, shared values by k-means, and Huffman codes.

Source: Han, Mao, Dally 2015, arXiv:1510.00149.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]


class Shared(NamedTuple):
    """Weights of a few values. codes: which value each weight has, of the weights' shape. values: float32 [count]."""

    codes: Codes
    values: Floats

    @property
    def weights(self) -> Floats:
        """The weights themselves."""
        return self.values[self.codes]


def pruned(weights: Floats, share: float) -> Floats:
    """The weights with that share of them set to 0: those of the smallest magnitude.

    Raises RequestError for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise RequestError(f"the share to prune is at least 0 and below 1, not {share}")
    flat = weights.flatten()
    flat[np.argsort(np.abs(flat), kind="stable")[: int(share * flat.size)]] = 0
    return flat.reshape(weights.shape)


def shared(weights: Floats, count: int, *, seed: int = 0, rounds: int = 50) -> Shared:
    """`count` values for the weights, by k-means in one dimension; weights that are 0 stay 0, with code 0.

    The start is drawn by `seed` from the weights, evenly over their order. Weights of no more values than that keep
    them. Raises RequestError for a count outside 2 to 256.
    """
    if not 2 <= count <= 256:
        raise RequestError(f"weights share 2 to 256 values, not {count}")
    flat = weights.ravel()
    own, places = np.unique(flat, return_inverse=True)
    if len(own) <= count:
        order = np.argsort(own != 0, kind="stable")  # 0 first
        return Shared(np.argsort(order)[places].astype(np.uint8).reshape(weights.shape), own[order].astype(np.float32))
    kept = np.sort(flat[flat != 0].astype(np.float64))
    zeros = int(kept.size < flat.size)
    wanted = count - zeros
    starts = (np.arange(wanted) + np.random.default_rng(seed).random(wanted)) / wanted
    values = kept[(starts * kept.size).astype(int)]
    sums = np.concatenate([[0.0], np.cumsum(kept)])
    for _ in range(rounds):
        edges = [0, *np.searchsorted(kept, (values[1:] + values[:-1]) / 2), kept.size]
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        values = np.where(counts > 0, means, values)
    codes = np.searchsorted((values[1:] + values[:-1]) / 2, flat)
    if zeros:
        values, codes = np.concatenate([[0.0], values]), np.where(flat == 0, 0, codes + 1)
    return Shared(codes.astype(np.uint8).reshape(weights.shape), values.astype(np.float32))


class Sparse(NamedTuple):
    """Symbols without most of their zeros. gaps: how many zeros are before each of `codes`, at most 255.

    A longer gap is interrupted by symbols 0. Source: section 2 (there with at most 8 or 32).
    """

    gaps: Codes
    codes: Codes


def sparse(codes: Codes) -> Sparse:
    """Symbols, in order, as gaps and the symbols after them."""
    flat = codes.ravel()
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    more = gaps // 256
    last = np.arange(len(places)) + np.cumsum(more)
    found = Sparse(np.full(len(places) + more.sum(), 255, np.uint8), np.zeros(len(places) + more.sum(), np.uint8))
    found.gaps[last], found.codes[last] = gaps % 256, flat[places]
    return found


def dense(found: Sparse, count: int) -> Codes:
    """The `count` symbols that `sparse` was given."""
    flat = np.zeros(count, np.uint8)
    flat[np.cumsum(found.gaps.astype(np.int64) + 1) - 1] = found.codes
    return flat


def coded_bytes(codes: Codes) -> int:
    """Bytes of the symbols in Huffman codes with the codes' lengths: as they are, or sparse, whichever is less."""
    return 1 + min(_coded(codes), sum(map(_coded, sparse(codes))))


def _coded(codes: Codes) -> int:
    if not codes.size:
        return 0
    lengths = code_lengths(np.bincount(codes.ravel()).tolist())
    return len(encoded(codes, lengths)) + len(lengths)


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Bits of each symbol in a Huffman code for these counts; 0 for symbols that do not occur. Of one symbol: 1 bit."""
    numbers = itertools.count()
    heap = [(count, next(numbers), [symbol]) for symbol, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    if len(heap) == 1:
        lengths[heap[0][2][0]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, _, one), (b, _, other) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in (*one, *other):
            lengths[symbol] += 1
        heapq.heappush(heap, (a + b, next(numbers), one + other))
    return lengths


def _words(lengths: Sequence[int]) -> dict[int, str]:
    """The canonical code of these lengths: each symbol's bits."""
    words, word, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        word <<= length - before
        words[symbol] = f"{word:0{length}b}"
        word, before = word + 1, length
    return words


def encoded(codes: Codes, lengths: Sequence[int]) -> bytes:
    """Symbols as the bits of the canonical code of these lengths, filled up to whole bytes."""
    words = _words(lengths)
    longest = max(lengths)
    bits = np.zeros((len(lengths), longest), np.uint8)
    for symbol, word in words.items():
        bits[symbol, : len(word)] = [int(bit) for bit in word]
    flat = codes.ravel()
    used = np.arange(longest) < np.asarray(lengths)[flat][:, None]
    return np.packbits(bits[flat][used]).tobytes()


def decoded(content: bytes, lengths: Sequence[int], count: int) -> Codes:
    """The first `count` symbols that `encoded` made these bytes of."""
    symbols = {word: symbol for symbol, word in _words(lengths).items()}
    found, word = list[int](), ""
    for bit in np.unpackbits(np.frombuffer(content, np.uint8)):
        if len(found) == count:
            break
        word += str(bit)
        if word in symbols:
            found.append(symbols[word])
            word = ""
    return np.array(found, np.uint8)
