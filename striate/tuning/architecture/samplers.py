"""Samplers: which network of a space to try next, a function of a seed and of the rewards so far."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from striate.errors import RequestError, unknown
from striate.tuning.architecture.space import Point, Space

POPULATION, TOURNAMENT = 8, 4  # Real et al. take 100 and 25 for 20,000 trials; a search here has tens


class Sampler(Protocol):
    """Proposes points and is told their rewards, in turn."""

    def propose(self) -> Point:
        """The next point to try."""

    def tell(self, point: Point, reward: float) -> None:
        """The reward of the point that was proposed last; 0 if its trial failed."""


class RandomSampler:
    """Every point is drawn uniformly: the baseline that a search has to beat."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.generator = space, np.random.default_rng(seed)

    def propose(self) -> Point:
        """A uniform draw."""
        return self.space.random(self.generator)

    def tell(self, point: Point, reward: float) -> None:
        """Nothing is learned."""


class EvolutionSampler:
    """Regularised evolution: the best of a random few is mutated, and the oldest of the population dies.

    Source: Real, Aggarwal, Huang, Le 2019, arXiv:1802.01548, Algorithm 1. The first `population` points are random;
    then a child of the best of `tournament` members, drawn with replacement, replaces the oldest member.
    Raises RequestError for a population below 2 or a tournament below 1.
    """

    def __init__(self, space: Space, seed: int, *, population: int = POPULATION, tournament: int = TOURNAMENT) -> None:
        if population < 2 or tournament < 1:
            raise RequestError(f"a population of 2 and a tournament of 1 at least, not {population} and {tournament}")
        self.space, self.generator = space, np.random.default_rng(seed)
        self.tournament, self.members = tournament, deque[tuple[Point, float]](maxlen=population)

    def propose(self) -> Point:
        """A random point until the population is full, then a mutated winner of a tournament."""
        if len(self.members) < (self.members.maxlen or 0):
            return self.space.random(self.generator)
        drawn = self.generator.integers(len(self.members), size=self.tournament)
        parent, _ = max((self.members[place] for place in drawn), key=lambda member: member[1])
        return self.space.mutated(parent, self.generator)

    def tell(self, point: Point, reward: float) -> None:
        """The point joins the population; of a full one the oldest member leaves."""
        self.members.append((point, reward))


SAMPLERS = ("random", "evolution", "reinforcement")


def sampler(name: str, space: Space, seed: int) -> Sampler:
    """The sampler of that name. Raises RequestError for an unknown one."""
    if name not in SAMPLERS:
        raise unknown("method", name, SAMPLERS)
    own = int(np.random.SeedSequence([seed, SAMPLERS.index(name)]).generate_state(1)[0])  # unlike the others' draws
    if name == "random":
        return RandomSampler(space, own)
    if name == "evolution":
        return EvolutionSampler(space, own)
    from striate.tuning.architecture.reinforcement import ReinforcementSampler  # imports torch

    return ReinforcementSampler(space, own)
