"""Exception classes, suggestions for a wrong name, and text that fits a line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """Base class of all Striate exceptions; the message is one line that a user can act on."""

    exit_code = 1


class RequestError(StriateError, ValueError):
    """The request was wrong; the message has the given value and what is accepted. Exit code 2."""

    exit_code = 2


class WorkError(StriateError, RuntimeError):
    """The request was valid, but the work failed. Exit code 1."""

    exit_code = 1


class Stopped(StriateError):  # noqa: N818  (nothing went wrong)
    """A signal requested a stop, and the work so far was saved. Exit code 130 or 143, as in shells."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(value: str, choices: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` choices most similar to `value`, best first; empty if none is similar."""
    lowered = {choice.lower(): choice for choice in choices}
    return [lowered[match] for match in difflib.get_close_matches(value.lower(), lowered, n=limit, cutoff=0.5)]


def unknown(what: str, value: str, choices: Iterable[str]) -> RequestError:
    """The error for a name that is not among `choices`, with the most similar ones."""
    known = list(choices)
    near = nearest(value, known)
    if near:
        hint = "did you mean " + " or ".join(repr(name) for name in near) + "?"
    else:
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        hint = f"known: {shown}"
    return RequestError(f"unknown {what} {value!r}; {hint}")


def printable(text: str) -> str:
    """Text that fits on one line: control characters and undecodable bytes are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
