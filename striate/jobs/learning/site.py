"""Where a run takes place: its clock, its folder, its way of telling, and the signals that may stop it."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from striate.errors import Stopped, WorkError
from striate.jobs.clock import Clock
from striate.jobs.learning.processes import Processes
from striate.jobs.run_folder import RECIPE, RunFolder
from striate.progress import Progress
from striate.recipe import Recipe


@dataclass
class Stop:
    """The number of the signal that asked the run to stop, 0 while none did; and whether somebody looks at it.

    Where nobody does, the signal ends the work at once.
    """

    signal: int = 0
    watched: bool = False

    def __call__(self) -> int:
        return self.signal


@dataclass(frozen=True, eq=False)
class Site:
    """What a strategy is given beside the data and the recipe."""

    folder: RunFolder
    clock: Clock
    progress: Progress
    stop: Stop = field(default_factory=Stop)
    refused: set[str] = field(default_factory=set)
    processes: Processes = field(default_factory=Processes)

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """An event and its facts, as a line of log.jsonl; that the disk has no room for lines is told once."""
        try:
            self.folder.log(event, facts)
        except WorkError as error:
            if str(error) not in self.refused:
                self.progress.say(str(error))
            self.refused.add(str(error))

    @property
    def advice(self) -> str:
        """How a run that was stopped goes on, to follow what is said of it."""
        return f"; go on with: striate train --resume {shlex.quote(str(self.folder.path))}"

    def checkpoints(self, stage: str) -> Path:
        """The folder of a stage's checkpoints."""
        return self.folder.path / "checkpoints" / stage

    def settle(self, recipe: Recipe, chosen: dict[str, Any]) -> Recipe:
        """The recipe with what was chosen, by dotted keys, written down: a resumed run does not choose again.

        Every process takes what the first one chose.
        """
        settled = recipe.updated(self.processes.told(chosen))
        self.folder.write_text(RECIPE, settled.toml())
        return settled

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Within it, Ctrl-C and SIGTERM raise Stopped, with a line on how to go on; a second one ends it as ever.

        At once; but within `watching` they only set `stop`, for who looks at it between two steps.
        Outside the main thread, where Python takes no signals, nothing is changed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        # What is ignored, as nohup has it, stays ignored; None is another language's, and stays too.
        before = {kind: handler for kind, handler in before.items() if handler not in (signal.SIG_IGN, None)}

        def restore() -> None:
            for kind, handler in before.items():
                signal.signal(kind, handler)

        def ask(number: int, frame: FrameType | None) -> None:
            again, self.stop.signal = self.stop.signal, number
            if again or not self.stop.watched:
                restore()
                raise KeyboardInterrupt  # not Stopped, which an `except Exception` on the way would take for a fault

        for kind in before:
            signal.signal(kind, ask)
        try:
            yield
        except KeyboardInterrupt:
            raise Stopped(f"stopped{self.advice}", 128 + (self.stop.signal or signal.SIGINT)) from None
        finally:
            restore()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it somebody looks at `stop` between two steps; a signal that came after the last look ends it here."""
        self.stop.watched = True
        try:
            yield
        finally:
            self.stop.watched = False
        if self.stop.signal:
            raise KeyboardInterrupt
