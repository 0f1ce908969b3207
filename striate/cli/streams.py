"""Standard output and error as they come: closed, full, or read by nobody any more. None of that loses work."""

from __future__ import annotations

import contextlib
import os
import sys

from striate.errors import for_terminal


def open_missing() -> None:
    """Open the null device in place of standard streams that are closed.

    The next file that is opened, such as a model, would otherwise take the place of standard output, and whatever a
    library prints would be written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    # Python leaves None where a stream was closed; these stay open as long as the process.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def say(line: str) -> None:
    """A line on standard error; lost if that cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        print(for_terminal(line), file=sys.stderr, flush=True)


def say_result(text: str) -> int:
    """The result on standard output: returns 0, or 1, with a line on standard error, if it cannot be written.

    A reader that has seen enough, such as `head`, is no error.
    """
    try:
        print(for_terminal(text, sys.stdout.encoding or "utf-8"), flush=True)
    except BrokenPipeError:
        _discard()
    except (OSError, ValueError) as error:
        _discard()
        say(f"striate: the work is done, but its result could not be printed: {getattr(error, 'strerror', 0) or error}")
        return 1
    return 0


def flush() -> None:
    """Write what is left, such as a help text; Python would end with an error of its own at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _discard()


def _discard() -> None:
    """Let standard output be the null device."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
