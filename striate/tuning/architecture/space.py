"""A search space of networks: a list of choices, and how chosen values become a network's options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Point = tuple[int, ...]  # of each choice, the index of the chosen value
Value = str | int | float | None


class Choice(NamedTuple):
    """One choice of a space: its name, and its possible values, two at least."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Space:
    """All networks that a search may try.

    name: what `striate tune --architecture --space` calls it. net: the network of the catalogue whose options a point
    fills in. choices: in the order of a point's numbers. options: the options of the network from the chosen values by
    name. side: height and width of the images. reference: the point from which the space is measured.
    """

    name: str
    net: str
    choices: tuple[Choice, ...]
    options: Callable[[dict[str, Value]], dict[str, object]]
    side: int
    reference: Point

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(choice.values) for choice in self.choices)

    def values(self, point: Sequence[int]) -> dict[str, Value]:
        """The chosen values by name. Raises ValueError for a point that is not of this space."""
        if len(point) != len(self.choices) or not all(
            0 <= index < len(choice.values) for index, choice in zip(point, self.choices, strict=True)
        ):
            raise ValueError(f"{list(point)} is no point of the space {self.name}")
        return {choice.name: choice.values[index] for index, choice in zip(point, self.choices, strict=True)}

    def options_of(self, point: Sequence[int]) -> dict[str, object]:
        """The options of the network at a point. Raises ValueError as `values` does."""
        return self.options(self.values(point))

    def random(self, generator: np.random.Generator) -> Point:
        """A point, each choice drawn uniformly."""
        return tuple(int(generator.integers(len(choice.values))) for choice in self.choices)

    def mutated(self, point: Point, generator: np.random.Generator) -> Point:
        """The point with one choice, drawn uniformly, changed to another of its values."""
        place = int(generator.integers(len(self.choices)))
        others = [index for index in range(len(self.choices[place].values)) if index != point[place]]
        changed = others[int(generator.integers(len(others)))]
        return (*point[:place], changed, *point[place + 1 :])


def aligned(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text that `striate.tables.table` reads, its columns aligned; None is a dash."""
    cells = [list(header), *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "\n".join(lines) + "\n"
