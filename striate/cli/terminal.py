"""Progress on a terminal: rich's bars on standard error, plain lines where that is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from striate.errors import for_terminal
from striate.progress import Progress, Step


class TerminalProgress(Progress):
    """Prints lines always, and bars if the stream is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, line: str) -> None:
        """One line on the stream."""
        with contextlib.suppress(OSError, ValueError):  # a closed pipe or a full disk does not end the work
            print(for_terminal(line), file=self.stream, flush=True)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """A bar with the remaining time."""
        if not _is_terminal(self.stream):
            with super().bar(what, total) as step:
                yield step
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bars(
            *columns, TextColumn("{task.fields[words]}"), console=Console(file=self.stream), transient=True
        ) as bars:
            yield _RichStep(bars, bars.add_task(for_terminal(what), total=total, words=""))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


class _RichStep:
    def __init__(self, bars: object, task: int) -> None:
        self._bars = bars
        self._task = task

    def advance(self, amount: int = 1) -> None:
        self._bars.advance(self._task, amount)  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self._bars.update(self._task, words=text)  # type: ignore[attr-defined]
