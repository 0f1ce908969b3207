"""A residual network as a sum over paths: every block is passed through or by.

Veit, Wilber, Belongie 2016, arXiv:1605.06431.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from striate.errors import RequestError

MOST_BLOCKS = 4  # that are written out path by path


class Path(NamedTuple):
    """The blocks (from 1) that a path goes through, and what it adds to the output."""

    blocks: tuple[int, ...]
    value: float


def all_paths(x: float, factors: Sequence[float]) -> list[Path]:
    """The 2^n paths of blocks that multiply: x goes through a block as factor times x, or by it unchanged.

    Shortest paths come first. Their values add up to `output`.
    """
    found = []
    for taken in product((False, True), repeat=len(factors)):
        blocks = tuple(number for number, through in enumerate(taken, 1) if through)
        found.append(Path(blocks, x * math.prod(factors[number - 1] for number in blocks)))
    return sorted(found, key=lambda path: (len(path.blocks), path.blocks))


def output(x: float, factors: Sequence[float]) -> float:
    """The output of the blocks in a row: each gives its input plus factor times its input."""
    for factor in factors:
        x = x + factor * x
    return x


def expanded(blocks: int) -> str:
    """The formula of the last output, written out: y2 = y0 + f1(y0) + f2(y0 + f1(y0))."""
    inner = "y0"
    for number in range(1, blocks + 1):
        inner = f"{inner} + f{number}({inner})"
    return f"y{blocks} = {inner}"


def length_shares(blocks: int) -> list[float]:
    """The share of paths through 0, 1, ... blocks: binomial, n over k divided by 2^n."""
    return [math.comb(blocks, length) * 0.5**blocks for length in range(blocks + 1)]


def share_between(blocks: int, shortest: int, longest: int) -> float:
    """The share of paths through at least `shortest` and at most `longest` blocks. Raises RequestError outside 0..n."""
    if not 0 <= shortest <= longest <= blocks:
        raise RequestError(f"lengths must be 0 to {blocks} in order, not {shortest} to {longest}")
    return sum(math.comb(blocks, length) for length in range(shortest, longest + 1)) * 0.5**blocks
