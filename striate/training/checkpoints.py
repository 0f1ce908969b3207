"""Checkpoints: when they are written, which are kept, and how a run that was stopped or killed goes on from one."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from striate.errors import RequestError, Stopped, WorkError
from striate.storage import read_sealed, write_sealed
from striate.training.hooks import Hook
from striate.training.run import Run
from striate.training.scores import better
from striate.training.state import about, put_back, saved

_NAME = re.compile(r"step-(\d{9})(-best)?\.checkpoint")


class Checkpoints(Hook):
    """Saves the run into `folder`, and puts a run that begins where the last good checkpoint there was.

    seconds, steps: how often, 0: not by that; also after every epoch that is the best, and after the last. keep: how
    many of the last are kept, the best one beside them. identity: what must be the same for the run to be the same,
    as JSON values by name, such as the settings and the data. stop: asked after every step for the signal that asks
    the run to stop, 0 while none does; the run is then saved, and raises Stopped.
    A checkpoint that cannot be written is told, and the one before stays; a damaged one is passed over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float = 60.0,
        steps: int = 0,
        keep: int = 2,
        identity: Mapping[str, Any] | None = None,
        stop: Callable[[], int] = lambda: 0,
        advice: str = "",
    ) -> None:
        self.folder, self.seconds, self.steps, self.keep = folder, seconds, steps, keep
        self.identity, self.stop, self.advice = dict(identity or {}), stop, advice
        self.last = time.monotonic()
        self.best: float | None = None

    def start(self, run: Run) -> None:
        """Go on from the last good checkpoint; every process from the first one's."""
        if wrong := _different(run.world.told(self.identity), self.identity):
            raise RequestError(f"process {run.world.rank + 1} is not given what the first is: {wrong}")
        content = run.world.told(self._newest() if run.world.first else None)
        if content is None:
            return
        known = about(content)
        _require_same(known["identity"], self.identity)
        for name, value in _surroundings(run).items():
            if known["surroundings"].get(name) != value:
                was = known["surroundings"].get(name)
                run.say(f"resumed where {name} is {value} and was {was}: the last bits of the weights may differ")
                break
        put_back(run, content)
        scores = [report.score for report in run.reports if report.score is not None]
        for score in scores:
            self.best = score if self.best is None or better(run.examples.task, score, self.best) else self.best
        run.say(f"resumed at {run.where}" if not run.finished else "resumed at the end of training")

    def step_done(self, run: Run) -> None:
        """Save where it is time to; stop where that is asked."""
        signal = run.world.highest(self.stop())  # all stop after the same step, whichever was asked
        by_steps = self.steps and run.step % self.steps == 0
        by_time = self.seconds and time.monotonic() - self.last >= self.seconds
        if signal or by_steps or by_time:
            self._save(run)
        if signal:
            said = f"stopped at {run.where}, and saved{self.advice}" if run.world.first else ""
            raise Stopped(said, 128 + signal)

    def epoch_done(self, run: Run) -> None:
        """Save the best epoch so far, and the last."""
        score = run.reports[-1].score
        best = score is not None and (self.best is None or better(run.examples.task, score, self.best))
        if best:
            self.best = score
        if best or run.finished:
            self._save(run, best=best)

    def _save(self, run: Run, *, best: bool = False) -> None:
        self.last = time.monotonic()
        if not run.world.first:
            return
        known = {"identity": self.identity, "surroundings": _surroundings(run)}
        path = self.folder / f"step-{run.step:09d}{'-best' if best else ''}.checkpoint"
        try:
            write_sealed(path, saved(run, known))
        except WorkError as error:
            left = self._files()
            good = f"the one of step {_step(left[-1])} is still good" if left else "there is none yet"
            run.say(f"no checkpoint at {run.where}: {error}; {good}")
            return
        self._tidy()

    def _tidy(self) -> None:
        files = self._files()
        bests = [path for path in files if path.stem.endswith("-best")]
        for path in files[: -self.keep]:
            if path not in bests[-1:]:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """The checkpoints there are, in the order of their steps."""
        found = self.folder.iterdir() if self.folder.is_dir() else []
        return sorted((path for path in found if _NAME.fullmatch(path.name)), key=lambda path: (_step(path), path.name))

    def _newest(self) -> bytes | None:
        for path in reversed(self._files()):
            content = read_sealed(path)
            if content is not None:
                return content
        return None


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found.group(1)) if found else -1


def _require_same(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if wrong := _different(was, now):
        raise RequestError(
            f"the checkpoint is of another run: {wrong}; resume with what it was begun with, or begin a new run"
        )


def _different(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference in words; none: nothing."""
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            return f"{name} was {was.get(name)!r} and is {now.get(name)!r}"
    return ""


def _surroundings(run: Run) -> dict[str, Any]:
    """What beside the run's own choices decides the last bits of its weights."""
    return {
        "the torch version": torch.__version__,
        "the number of threads": torch.get_num_threads(),
        "the processor": torch.backends.cpu.get_cpu_capability() + " " + platform.machine(),
        "the device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "cpu",
        "the number of processes": run.world.size,
    }
