"""Dropout as a mean over networks that share weights: every unit is there or left out.

Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, JMLR 15, Figures 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from striate.errors import RequestError

MOST_UNITS = 10


class Thinned(NamedTuple):
    """A network with some units left out: those that stay (from 1), its probability, and its output.

    The output is divided by 1 - p, as in training in PyTorch (`torch.nn.Dropout`).
    """

    kept: tuple[int, ...]
    probability: float
    output: float


def thinned(units: Sequence[float], weights: Sequence[float], p: float) -> list[Thinned]:
    """The 2^n networks of a layer of n units that are left out with probability `p` each; the largest come first.

    units: their values; weights: of the output, which is their weighted sum. Raises RequestError for p outside [0, 1),
    more than 10 units, and another number of weights.
    """
    if not 0 <= p < 1:
        raise RequestError(f"p must be at least 0 and below 1, not {p}")
    if not 1 <= len(units) <= MOST_UNITS or len(weights) != len(units):
        raise RequestError(f"1 to {MOST_UNITS} units have a weight each, not {len(units)} units and {len(weights)}")
    found = []
    for there in product((True, False), repeat=len(units)):
        kept = tuple(number for number, stays in enumerate(there, 1) if stays)
        total = sum(weights[number - 1] * units[number - 1] for number in kept)
        chance = (1 - p) ** len(kept) * p ** (len(units) - len(kept))
        found.append(Thinned(kept, chance, total / (1 - p)))
    return sorted(found, key=lambda one: (-len(one.kept), one.kept))


def mean_output(networks: Sequence[Thinned]) -> float:
    """The mean over the networks by their probabilities: exactly the output of the whole network without dropout."""
    return math.fsum(one.probability * one.output for one in networks)


def mean_sigmoid(networks: Sequence[Thinned]) -> float:
    """The mean of the sigmoids of their outputs: not that of the mean, which is what evaluation computes."""
    return math.fsum(one.probability * sigmoid(one.output) for one in networks)


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value))."""
    return 1 / (1 + math.exp(-value))
