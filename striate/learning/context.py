"""The context of a run: its folder, clock, progress, processes, and the signals that may stop it."""

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
from striate.learning.clock import Clock
from striate.learning.processes import Processes
from striate.learning.run_folder import CHECKPOINTS, RECIPE, RunFolder
from striate.progress import Progress
from striate.recipe import Recipe


@dataclass
class StopRequest:
    """The number of the signal that requested a stop, 0 for none; and whether the loop polls for it.

    Without polling, the signal ends the run at once.
    """

    signal: int = 0
    polled: bool = False

    def __call__(self) -> int:
        return self.signal


@dataclass(frozen=True, eq=False)
class RunContext:
    """What a strategy needs besides the data and the recipe.

    reported: log errors already shown to the user; each is shown once.
    """

    folder: RunFolder
    clock: Clock
    progress: Progress
    processes: Processes = field(default_factory=Processes)
    stop: StopRequest = field(default_factory=StopRequest)
    reported: set[str] = field(default_factory=set)

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """Append an event and its facts to log.jsonl; a full disk is reported once and does not end the run."""
        try:
            self.folder.log(event, facts)
        except WorkError as error:
            if str(error) not in self.reported:
                self.progress.say(str(error))
            self.reported.add(str(error))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the `with` block as part of the stage `name`, and tell that it begins."""
        self.progress.stage(name)
        with self.clock.stage(name):
            yield

    @property
    def advice(self) -> str:
        """How to resume the run, appended to the message that it stopped."""
        return f"; resume with: striate train --resume {shlex.quote(str(self.folder.path))}"

    def checkpoints(self, stage: str) -> Path:
        """The folder of a stage's checkpoints."""
        return self.folder.path / CHECKPOINTS / stage

    def recorded(self, recipe: Recipe) -> Recipe:
        """The first process's `recipe`, written to the run folder: a resumed run makes the same choices."""
        shared = self.processes.broadcast(recipe)
        self.folder.write_text(RECIPE, shared.toml())
        return shared

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Within it, Ctrl-C and SIGTERM raise Stopped with advice on how to resume; a second signal acts as usual.

        Immediately; but within `polling` they only set `stop`, which the loop reads between two steps.
        Outside the main thread, where Python delivers no signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        # An ignored signal, as under nohup, stays ignored; None is a handler not set from Python, and stays too.
        before = {kind: handler for kind, handler in before.items() if handler not in (signal.SIG_IGN, None)}

        def restore() -> None:
            for kind, handler in before.items():
                signal.signal(kind, handler)

        def ask(number: int, frame: FrameType | None) -> None:
            again, self.stop.signal = self.stop.signal, number
            if again or not self.stop.polled:
                restore()
                raise KeyboardInterrupt  # not Stopped, which an `except Exception` on the way would catch

        for kind in before:
            signal.signal(kind, ask)
        try:
            yield
        except KeyboardInterrupt:
            raise Stopped(f"stopped{self.advice}", 128 + (self.stop.signal or signal.SIGINT)) from None
        finally:
            restore()

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Within it the loop reads `stop` between two steps; a signal after its last poll ends the run here."""
        self.stop.polled = True
        try:
            yield
        finally:
            self.stop.polled = False
        if self.stop.signal:
            raise KeyboardInterrupt
