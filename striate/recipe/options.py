"""Options of a net's constructor as words: `width=0.5 classifier=linear`."""

from __future__ import annotations

from collections.abc import Iterable

from striate.errors import RequestError


def options_of(words: Iterable[str]) -> dict[str, object]:
    """Names and values: a whole number, a number, true or false, else text. Raises RequestError for a word without =.

    Which options there are, and of which type, the net's constructor says.
    """
    return dict(_option(word) for word in words)


def _option(word: str) -> tuple[str, object]:
    name, equals, said = word.partition("=")
    if not equals:
        raise RequestError(f"an option of a net is option=value, not {word!r}")
    if said.lower() in ("true", "false"):
        return name, said.lower() == "true"
    for read in (int, float):
        try:
            return name, read(said)
        except ValueError:
            continue
    return name, said
