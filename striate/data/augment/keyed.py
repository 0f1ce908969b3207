"""Randomness keyed by (seed, epoch, sample, stream): a counter-based generator without state.

So the draws of a sample do not depend on its batch, on the worker that loads it, on earlier draws, or on the machine.
The key is hashed by SplitMix64's output function, whose steps are all invertible: keys that differ in one part never
collide. Source: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators"; the constants
are those of Vigna's splitmix64.c (public domain).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.errors import RequestError

_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Stream(IntEnum):
    """The purpose of a draw. Every purpose has its own number, so that no two share random numbers."""

    ORDER = 0
    SHIFT_DOWN = 1
    SHIFT_RIGHT = 2
    FLIP = 3
    NET = 4  # draws of layers in training, such as dropout
    CROP_AREA = 5
    CROP_ASPECT = 6
    CROP_DOWN = 7
    CROP_RIGHT = 8
    SIZE = 9
    SCALE = 10
    SHEAR = 11
    ROTATE = 12
    ELASTIC = 13
    COLOUR = 14
    LIGHTING = 15
    CUTOUT_DOWN = 16
    CUTOUT_RIGHT = 17
    DROP = 18
    PARTNER = 19
    MIX = 20
    SPREAD = 21  # with START: which images an uneven epoch has once more than their chance says, and which once less
    START = 22
    LIBRARY = 23  # of transforms of another library


def bits(seed: int, epoch: int, samples: ArrayLike, stream: int) -> NDArray[np.uint64]:
    """64 random bits for each of `samples`, an array of integers of any shape; the result has that shape.

    `seed`, `epoch` and `stream` are integers, taken modulo 2^64. Raises RequestError for samples that are not integers.
    """
    names = np.asarray(samples)
    if names.dtype.kind not in "iu":
        raise RequestError(f"samples must be integers, such as their indices, not {names.dtype}")
    # At least one axis: NumPy warns of the intended overflow in scalars, but not in arrays.
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch, stream):
        key = _mixed(key ^ np.uint64(int(part) & _WORD))
    return _mixed(key ^ np.atleast_1d(names).astype(np.uint64)).reshape(names.shape)


def uniform(seed: int, epoch: int, samples: ArrayLike, stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each of `samples`, a multiple of 2^-53; keys and errors as in `bits`."""
    return np.asarray((bits(seed, epoch, samples, stream) >> np.uint64(11)) * 2.0**-53)


def integers(seed: int, epoch: int, samples: ArrayLike, stream: int, low: int, high: int) -> NDArray[np.int64]:
    """An integer in low .. high - 1 for each of `samples`; keys and errors as in `bits`.

    Raises RequestError for an empty range, or one of more than 2^32 numbers, where some would be visibly likelier.
    """
    if not 0 < high - low <= 2**32:
        raise RequestError(f"integers are drawn from 1 to 2^32 numbers, not from {low} to {high - 1}")
    return low + (uniform(seed, epoch, samples, stream) * (high - low)).astype(np.int64)


def several(seed: int, epoch: int, samples: ArrayLike, stream: int, n: int) -> NDArray[np.float64]:
    """`n` numbers in [0, 1) for each of `samples` [B], as [B, n]; keys and errors as in `bits`."""
    return np.asarray((_words(seed, epoch, samples, stream, n) >> np.uint64(11)) * 2.0**-53)


def grain(seed: int, epoch: int, samples: ArrayLike, stream: int, n: int) -> NDArray[np.uint16]:
    """`n` numbers in 0 .. 65535 for each of `samples` [B], as [B, n], four from each 64 bits: for whole fields."""
    words = _words(seed, epoch, samples, stream, -(-n // 4))
    return words.astype("<u8").view("<u2")[:, :n]


def normal(seed: int, epoch: int, samples: ArrayLike, stream: int, n: int) -> NDArray[np.float64]:
    """`n` numbers for each of `samples` [B], as [B, n], of mean 0 and deviation 1 (Box and Muller's transform)."""
    draws = several(seed, epoch, samples, stream, 2 * n)
    return np.asarray(np.sqrt(-2 * np.log1p(-draws[:, :n])) * np.cos(2 * np.pi * draws[:, n:]))


def permutation(seed: int, epoch: int, n: int, stream: int = Stream.ORDER) -> NDArray[np.int64]:
    """The numbers 0 .. n - 1 in an order drawn for this seed and epoch. Raises RequestError for a negative `n`."""
    if n < 0:
        raise RequestError(f"a permutation has 0 or more numbers, not {n}")
    # No two samples have the same bits, so the order is never the sorting's choice.
    return np.argsort(bits(seed, epoch, np.arange(n), stream))


def _words(seed: int, epoch: int, samples: ArrayLike, stream: int, n: int) -> NDArray[np.uint64]:
    """SplitMix64's first `n` outputs from each sample's own state: uint64 [B, n]."""
    states = bits(seed, epoch, samples, stream)[:, None]
    return _mixed(states + np.uint64(_GOLDEN) * np.arange(n, dtype=np.uint64))


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
