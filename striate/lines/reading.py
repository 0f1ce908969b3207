"""What a line says, in pixels of its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate.lines.decoding import Character

if TYPE_CHECKING:
    from striate.lines.sliding import LineScores


@dataclass(frozen=True)
class ReadCharacter:
    """A character. x: the column of its middle in the picture, in pixels. probability: of its class at that place."""

    label: str
    x: float
    probability: float


def read_characters(
    characters: Sequence[Character], scores: LineScores, classes: Sequence[str]
) -> tuple[ReadCharacter, ...]:
    """The characters of a path through scores, with the names of their classes."""
    return tuple(
        ReadCharacter(
            classes[one.label], round(scores.line.original_x(float(scores.columns[one.place])), 1), one.probability
        )
        for one in characters
    )


def text_of(characters: Sequence[ReadCharacter]) -> str:
    """The line as text."""
    return "".join(one.label for one in characters)


def probability_of(characters: Sequence[ReadCharacter]) -> float:
    """The product of the characters' probabilities; 1 without any."""
    return math.prod(one.probability for one in characters)


def told(characters: Sequence[ReadCharacter]) -> dict[str, Any]:
    """As JSON values."""
    return {
        "text": text_of(characters),
        "probability": probability_of(characters),
        "characters": [{"label": one.label, "x": one.x, "probability": one.probability} for one in characters],
    }
