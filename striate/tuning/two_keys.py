"""Random search against a grid where one key matters more than another (Bergstra, Bengio 2012, JMLR 13, figure 1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.tuning.space import Range, Space


@dataclass(frozen=True)
class Tried:
    """A point: the values of the first and the second key, and its score."""

    first: float
    second: float
    score: float


@dataclass(frozen=True)
class TwoSearches:
    """The points of a grid and of a random search of equally many trials, over two keys."""

    names: tuple[str, str]
    grid: tuple[Tried, ...]
    random: tuple[Tried, ...]

    def distinct(self) -> tuple[int, int]:
        """How many values of the first key the grid and the random search tried."""
        return len({one.first for one in self.grid}), len({one.first for one in self.random})

    def best(self, *, maximize: bool = True) -> tuple[Tried, Tried]:
        """The best point of the grid and of the random search."""
        pick = max if maximize else min
        return pick(self.grid, key=lambda one: one.score), pick(self.random, key=lambda one: one.score)


Points = list[tuple[float, float]]  # values of the first and the second key


def points_of(space: Space, points: int, seed: int) -> tuple[Points, Points]:
    """A grid of points x points over two ranges, and as many random points.

    The grid has the middles of equal cells, so that neither search sees more of the edges.
    Raises RequestError unless the space has two ranges.
    """
    dimensions = [one for one in space.dimensions if isinstance(one, Range)]
    if len(dimensions) != 2 or len(space.dimensions) != 2:
        raise RequestError(f"random_against_grid takes a space of two ranges, not {', '.join(space.names)}")
    first, second = dimensions
    middles = [(place + 0.5) / points for place in range(points)]
    gridded = [(one, other) for one in middles for other in middles]
    drawn = [(float(one), float(other)) for one, other in np.random.default_rng(seed).random((points**2, 2))]
    at = [[(first.at(one), second.at(other)) for one, other in shares] for shares in (gridded, drawn)]
    return at[0], at[1]


def random_against_grid(
    score: Callable[[dict[str, Any]], float], space: Space, *, points: int = 3, seed: int = 0
) -> TwoSearches:
    """Score a grid of points x points and as many random points of two ranges.

    score: from values by key to a score, each a training. In each projection the grid tries `points` values of a key,
    the random search `points` squared. Raises RequestError unless the space has two ranges.
    """
    gridded, drawn = points_of(space, points, seed)
    first, second = space.names

    def tried(values: Points) -> tuple[Tried, ...]:
        return tuple(Tried(one, other, _finite(score({first: one, second: other}))) for one, other in values)

    return TwoSearches((first, second), tried(gridded), tried(drawn))


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan
