"""From scores at every place of a line to the digits: the best path, in which repeats are merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ENTERING = 3.0  # the cost of one more character, in nats: a single doubtful place makes none


@dataclass(frozen=True)
class Character:
    """A character of a line. label: its class. first, last: the places of the path in it. place: the one with the
    highest probability, which is `probability`."""

    label: int
    first: int
    last: int
    place: int
    probability: float


def best_path(log_probabilities: NDArray[np.float32], none: int, entering: float = ENTERING) -> list[Character]:
    """The characters of the path of least cost through places [P, classes]; `none` is the class of no character.

    A path has one class at each place and costs minus the sum of their log-probabilities, plus `entering` for each
    character. It stays in a class, or changes; from one character to the same one it passes `none`, so that two equal
    neighbours are two. Found by Viterbi's algorithm, as LeCun et al. 1998, section VII.B, decode their space
    displacement network; their grammar of lengths is left out.
    """
    places, classes = log_probabilities.shape
    change = np.full((classes, classes), entering, np.float64)  # [from, to]
    change[:, none] = 0
    np.fill_diagonal(change, 0)
    cost = -log_probabilities[0].astype(np.float64) + change[none]
    came = np.zeros((places, classes), np.int64)
    for place in range(1, places):
        through = cost[:, None] + change
        came[place] = through.argmin(axis=0)
        cost = through.min(axis=0) - log_probabilities[place]
    path = [int(cost.argmin())]
    for place in range(places - 1, 0, -1):
        path.append(int(came[place, path[-1]]))
    return _merged(path[::-1], log_probabilities, none)


def _merged(path: list[int], log_probabilities: NDArray[np.float32], none: int) -> list[Character]:
    """Runs of one class as one character each."""
    found: list[Character] = []
    first = 0
    for place in range(1, len(path) + 1):
        if place < len(path) and path[place] == path[first]:
            continue
        if path[first] != none:
            scores = log_probabilities[first:place, path[first]]
            best = first + int(scores.argmax())
            found.append(Character(path[first], first, place - 1, best, float(np.exp(scores.max()))))
        first = place
    return found
