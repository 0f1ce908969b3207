"""What a key of a recipe is: a default, a word on what it is, and what it may be; and how text becomes its value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from striate.errors import RequestError, unknown

_TYPES = {"str": str, "int": int, "float": float}


def key(
    default: Any,
    what: str,
    *,
    among: tuple[str, ...] = (),
    low: float = -math.inf,
    high: float = math.inf,
    only: tuple[str, ...] = (),
    where: tuple[str, tuple[str, ...]] | None = None,
    words: Mapping[str, float] | None = None,
) -> Any:
    """A key: its default and what it is, in words.

    among: the texts it may be. low, high: the range of its numbers. only: the strategies that use it, () for all.
    where: another key and the values of it with which this one is read; None: with all.
    words: words it may be given as, and the numbers outside the range that they stand for.
    """
    told = {"what": what, "among": among, "low": low, "high": high, "only": only, "where": where}
    told["words"] = dict(words or {})
    return field(default=default, metadata=told)


def check(item: dataclasses.Field[Any], value: Any) -> None:
    """Raise RequestError for a value that the key may not have."""
    among, low, high = (item.metadata[name] for name in ("among", "low", "high"))
    if among and value not in among:
        raise unknown(item.name, str(value), among)
    if isinstance(value, (int, float)) and not low <= value <= high and value not in item.metadata["words"].values():
        said = "".join(f", or be {word!r}" for word in item.metadata["words"])
        raise RequestError(f"{item.name} must lie in {low:g} to {high:g}{said}, not {value!r}")


def converted(item: dataclasses.Field[Any], value: Any) -> Any:
    """A value from a file, a command line or Python as the type of its key. Raises RequestError where it is none."""
    if isinstance(value, str) and value in item.metadata["words"]:
        return item.metadata["words"][value]
    declared = _TYPES[str(item.type)]
    try:
        # Text comes from the command line; a number must survive the conversion unchanged.
        found = declared(value)
        changed = found != value and found == found  # NaN is told by its range
        if isinstance(value, bool) or (not isinstance(value, str) and (declared is str or changed)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        said = "".join(f" or {word!r}" for word in item.metadata["words"])
        raise RequestError(f"recipe key {item.name!r} takes {declared.__name__}{said}, not {value!r}") from None
    if isinstance(value, str) and found in item.metadata["words"].values():
        raise RequestError(f"recipe key {item.name!r} is asked for by its word, not by {value!r}")
    return found


def spoken(item: dataclasses.Field[Any], value: Any) -> Any:
    """The value as it is written down: the word for a number that stands for one."""
    return next((word for word, number in item.metadata["words"].items() if number == value), value)
