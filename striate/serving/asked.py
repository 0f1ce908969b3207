"""What a request of `/predict` asks for, in its query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from striate.errors import shown
from striate.serving.protocol import whole_number
from striate.serving.schemas import LEAST_SIDE, MOST_SIDE, MOST_TOP
from striate.web.refusals import Refused

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Asked:
    """model: None for the first. top: the most probable names, or the nearest photographs, only. score: of boxes, the
    least. mask: of masks, the mask itself, too. size, keep_colours: of a network of style, as `striate style` has them.
    """

    model: str | None = None
    top: int | None = None
    score: float | None = None
    mask: bool = False
    size: int | None = None
    keep_colours: bool = False


def asked_of(query: Mapping[str, str]) -> Asked:
    """The query's parameters. Raises Refused for a value that is none of its parameter."""
    return Asked(
        query.get("model"),
        _number(query, "top", 1, MOST_TOP),
        _score(query.get("score")),
        _truth(query, "mask"),
        _number(query, "size", LEAST_SIDE, MOST_SIDE),
        _truth(query, "keep_colours"),
    )


def _number(query: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    given = query.get(name)
    if given is None:
        return None
    value = whole_number(given)
    if value is None or not least <= value <= most:
        raise Refused(400, f"{name} is from {least} to {most:,}, not {shown(given, 40)}")
    return value


def _score(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise Refused(400, f"score is from 0 to 1, not {shown(given, 40)}")
    return value


def _truth(query: Mapping[str, str], name: str) -> bool:
    given = query.get(name)
    if given is None:
        return False
    if given.lower() not in _TRUTHS:
        raise Refused(400, f"{name} is true or false, not {shown(given, 40)}")
    return _TRUTHS[given.lower()]
