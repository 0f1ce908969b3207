"""Seconds by stage, in the order the stages were entered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Times stages; the same stage entered again adds up. earlier: seconds of the run before it was resumed."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.earlier = 0.0
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the `with` block as part of the stage `name`."""
        entered = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - entered

    @property
    def total(self) -> float:
        """Seconds since the clock was made, and those earlier."""
        return self.earlier + time.perf_counter() - self.started
