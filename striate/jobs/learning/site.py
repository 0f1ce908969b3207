"""Where a run takes place: its clock, its folder, its way of telling, and the signals that may stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from striate.jobs.clock import Clock
from striate.jobs.learning.learned import Log
from striate.jobs.learning.processes import Processes
from striate.jobs.run_folder import RunFolder
from striate.progress import Progress
from striate.recipe import Recipe


@dataclass
class Stop:
    """The number of the signal that asked the run to stop; 0 while none did."""

    signal: int = 0

    def __call__(self) -> int:
        return self.signal


@dataclass(frozen=True, eq=False)
class Site:
    """What a strategy is given beside the data and the recipe."""

    folder: RunFolder
    clock: Clock
    progress: Progress
    stop: Stop = field(default_factory=Stop)
    processes: Processes = field(default_factory=Processes)

    @property
    def log(self) -> Log:
        """An event and its facts, as a line of log.jsonl."""
        return self.folder.log

    @property
    def advice(self) -> str:
        """How a run that was stopped goes on, to follow what is said of it."""
        return f"; go on with: striate train --resume {self.folder.path}"

    def checkpoints(self, stage: str) -> Path:
        """The folder of a stage's checkpoints."""
        return self.folder.path / "checkpoints" / stage

    def settle(self, recipe: Recipe, **chosen: Any) -> Recipe:
        """The recipe with what was chosen in its course, written down: resumed, the run does not choose again.

        Every process takes what the first one chose.
        """
        settled = recipe.changed(self.processes.told(chosen))
        self.folder.write_text("recipe.toml", settled.toml())
        return settled


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Within it, Ctrl-C and SIGTERM set `stop` in place of ending the process; a second one ends it as ever.

    Outside the main thread, where Python takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for kind in kinds:
            signal.signal(kind, before[kind] or signal.SIG_DFL)

    for kind in kinds:
        signal.signal(kind, ask)
    try:
        yield
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind] or signal.SIG_DFL)
