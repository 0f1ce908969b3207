"""Exception classes, suggestions for a wrong name, and text that fits a line."""

from __future__ import annotations

import difflib
import re
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


class Diverged(WorkError):  # noqa: N818  (a result, where trainings are compared)
    """A training came to no result: a value is not finite, or no learning rate made the loss fall. Exit code 1."""


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


def shown(value: object, limit: int = 200) -> str:
    """`repr` of a value for a message, shortened. A number may have too many digits to be written."""
    try:
        text = repr(value)
    except ValueError:
        text = f"a number of {value.bit_length():,} bits" if isinstance(value, int) else "a value too long to show"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


# What a terminal would obey instead of show: control characters, lone surrogates, and marks that reverse the order of
# letters. Line feeds and tabs are layout.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def for_terminal(text: str, encoding: str = "utf-8") -> str:
    """Text that a terminal shows and does not obey; letters that its encoding lacks are escaped, too."""
    plain = _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)
    return plain.encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str) -> str:
    """Text that fits on one line: control characters and undecodable bytes are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
