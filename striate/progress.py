"""How long work tells of itself: jobs speak to a Progress; the command line shows it, Python stays silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Step(Protocol):
    """A bar under way."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more of the total is done."""

    def note(self, text: str) -> None:
        """A few words beside the bar, such as the loss."""


class Progress:
    """Says nothing; the command line's subclass shows lines and bars on standard error."""

    def say(self, line: str) -> None:
        """One line a user should read."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """A bar of `total` units for the length of the `with` block."""
        yield _SilentStep()


class _SilentStep:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass
