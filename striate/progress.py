"""Progress reports of long work: jobs call a Progress; the command line shows it, Python is silent by default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Step(Protocol):
    """A progress bar in use."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more of the total is done."""

    def note(self, text: str) -> None:
        """A short text next to the bar, such as the loss."""


class Progress:
    """Shows nothing; the command line's subclass shows lines and bars on standard error."""

    def say(self, line: str) -> None:
        """Show a line to the user."""

    def stage(self, name: str) -> None:
        """A stage of the work begins, such as "train"; the one before has ended."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """A progress bar of `total` units during the `with` block."""
        yield _SilentStep()


class _SilentStep:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Announcing(Progress):
    """Another progress, with lines that are said when the work begins: an error before that is the only thing said."""

    def __init__(self, progress: Progress, lines: Iterable[str]) -> None:
        self._progress, self._lines = progress, list(lines)

    def begin(self) -> None:
        """Say the lines, once."""
        lines, self._lines = self._lines, []
        for line in lines:
            self._progress.say(line)

    def say(self, line: str) -> None:
        """Begin, and show the line."""
        self.begin()
        self._progress.say(line)

    def stage(self, name: str) -> None:
        """The stage, and nothing else: the work may still fail."""
        self._progress.stage(name)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """Begin, and show the bar."""
        self.begin()
        with self._progress.bar(what, total) as step:
            yield step
