"""Progress as events: one JSON object a line on standard error, for programs. docs/progress.md has the schema."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from striate.progress import Progress, Step
from striate.storage import json_text

PERIOD = 0.1  # seconds between two steps of one bar that are written; its start, its notes and its end always are


def event_line(event: str, facts: Mapping[str, Any]) -> str:
    """An event of this moment as one line of JSON."""
    return json_text({"time": round(time.time(), 3), "event": event, **facts})


class EventProgress(Progress):
    """Writes an event for each stage, message and step of a bar; from any thread, a whole line at a time."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lock, self._bars = threading.Lock(), 0

    def say(self, line: str) -> None:
        """Event "message"."""
        self.write("message", {"text": line})

    def stage(self, name: str) -> None:
        """Event "stage"."""
        self.write("stage", {"name": name})

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """Events "bar": at the start, during the work, and at the end."""
        with self._lock:
            self._bars += 1
            number = self._bars
        step = _Bar(self, {"bar": number, "name": what, "total": total})
        step.write(ended=False)
        try:
            yield step
        finally:
            step.write(ended=True)

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Write an event; lost if the stream cannot be written: a closed pipe does not end the work."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self.stream.write(event_line(event, facts) + "\n")
            self.stream.flush()


class _Bar:
    def __init__(self, progress: EventProgress, facts: dict[str, Any]) -> None:
        self._progress, self._facts = progress, facts
        self._done, self._note, self._written = 0, "", 0.0

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if time.monotonic() - self._written >= PERIOD:
            self.write(ended=False)

    def note(self, text: str) -> None:
        """Written at once: a long wait may follow, such as for a network that is opened."""
        if text != self._note:
            self._note = text
            self.write(ended=False)

    def write(self, *, ended: bool) -> None:
        self._written = time.monotonic()
        self._progress.write("bar", {**self._facts, "done": self._done, "note": self._note, "ended": ended})
