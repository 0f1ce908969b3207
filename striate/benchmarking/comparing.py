"""Which nets can be told apart: paired differences of their scores; and the Pareto front of each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from striate.tasks.differences import Difference, difference


@dataclass(frozen=True)
class Ranking:
    """Nets by score, the best first. differences: of the best to each other one; verdict: whether it is the best."""

    order: tuple[int, ...]
    differences: dict[int, Difference]

    @property
    def tied(self) -> tuple[int, ...]:
        """Places of the nets that cannot be told apart from the best one."""
        return tuple(place for place, one in self.differences.items() if not one.apart)

    @property
    def winner(self) -> int | None:
        """The place of the net that is better than all others beyond chance; None where there is none."""
        return None if self.tied or not self.differences else self.order[0]


def ranked(scores: Sequence[ArrayLike], *, higher: bool) -> Ranking:
    """The nets in order of their mean score; each of scores: [seeds, images]. higher: whether more is better."""
    found = [np.asarray(values, np.float64) for values in scores]
    sign = -1 if higher else 1
    order = sorted(range(len(found)), key=lambda place: sign * float(found[place].mean()))
    best, *others = order
    count = max(1, len(others))
    return Ranking(tuple(order), {place: difference(found[best], found[place], comparisons=count) for place in others})


def pareto(costs: Sequence[float], scores: Sequence[float], *, higher: bool) -> tuple[bool, ...]:
    """Whether each net is on the front: no other has a score as good at a cost as low, and is better in one of them."""
    sign = 1 if higher else -1
    points = [(cost, sign * score) for cost, score in zip(costs, scores, strict=True)]
    return tuple(
        score == score and not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
        for cost, score in points
    )


def times_on_front(costs: Sequence[float], scores: Sequence[Sequence[float]], *, higher: bool) -> tuple[int, ...]:
    """In how many seeds each net is on the front. scores: of each net, by seed."""
    by_seed = [pareto(costs, row, higher=higher) for row in zip(*scores, strict=True)]
    return tuple(sum(row[place] for row in by_seed) for place in range(len(costs)))
