"""The checks of a class map in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate.inspect.trust import ALIKE, DRAWS, EDGES, ORDERS, TOP, like_random

if TYPE_CHECKING:
    from striate.jobs.inspection import Trust


@dataclass(frozen=True)
class Check:
    """A check of a map: its name, its number, what passes, whether it did, and what a failure means."""

    name: str
    value: float
    rule: str
    passed: bool
    failure: str


def checks(trust: Trust) -> list[Check]:
    """Randomised weights, edges, deletion."""
    rows = trust.randomised
    below = [row.mean for row in rows[TOP:] or rows[-1:]]
    by_map, by_chance = trust.deletion.areas
    return [
        Check(
            "Shuffled weights",
            sum(below) / len(below) if below else 0.0,
            f"rank correlation under {ALIKE:g} below the top three stages, mean of {DRAWS} draws",
            not like_random(rows),
            "a network with shuffled weights gives a similar map, so it does not show what was learned",
        ),
        Check(
            "Edges",
            trust.edges,
            f"rank correlation with the edges of the image under {EDGES:g}",
            trust.edges < EDGES,
            "the map follows the edges of the image, which any network would",
        ),
        Check(
            "Deletion",
            by_map - by_chance,
            f"the area under the curve is less than that of {ORDERS} random orders",
            trust.deletion.passed,
            "covering what the map marks lowers the output no more than covering places at random",
        ),
    ]
