"""The two ways a request can end badly, the nearest right answer to a wrong name, and text that fits a line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """Base of every error Striate raises on purpose; its text is one line a user can act on."""

    exit_code = 1


class RequestError(StriateError, ValueError):
    """The request was wrong: what was given, and what would have been accepted. Exit code 2."""

    exit_code = 2


class WorkError(StriateError, RuntimeError):
    """The request was right, but the work failed. Exit code 1."""

    exit_code = 1


class Stopped(StriateError):  # noqa: N818  (nothing went wrong)
    """The user or the system asked the work to stop, and all of it was saved. Exit code 130 or 143, as in shells."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(value: str, choices: Iterable[str], limit: int = 3) -> list[str]:
    """The up to `limit` choices that look most like `value`, best first; empty when none is near."""
    lowered = {choice.lower(): choice for choice in choices}
    return [lowered[match] for match in difflib.get_close_matches(value.lower(), lowered, n=limit, cutoff=0.5)]


def unknown(what: str, value: str, choices: Iterable[str]) -> RequestError:
    """The error for a name that is not among `choices`, with the nearest right ones."""
    known = list(choices)
    near = nearest(value, known)
    if near:
        hint = "did you mean " + " or ".join(repr(name) for name in near) + "?"
    else:
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        hint = f"known: {shown}"
    return RequestError(f"unknown {what} {value!r}; {hint}")


def printable(text: str) -> str:
    """Text that stays on its line: control characters and undecodable bytes as escapes, all else as it is."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
