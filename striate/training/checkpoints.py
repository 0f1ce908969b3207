"""Checkpoints: when they are written, which are kept, and how a run that was stopped or killed goes on from one."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import re
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from striate.errors import RequestError, Stopped, WorkError
from striate.storage import read_sealed, write_sealed
from striate.training.hooks import Hook
from striate.training.run import Run
from striate.training.state import about, put_back, saved

_NAME = re.compile(r"step-(\d{9,})(-best)?\.checkpoint")


class Checkpoints(Hook):
    """Saves the run into `folder`, and puts a run that begins where the last good checkpoint there was.

    It is the last hook of a run, because what a later one remembers would be saved a step too early.
    seconds, steps: how often, 0: not by that; also after every epoch that is the best, and after the last. keep: how
    many of the last are kept, the best one beside them. identity: what must be the same for the run to be the same,
    as JSON values by name, such as the settings and the data. stop: asked after every step for the signal that asks
    the run to stop, 0 while none does; the run is then saved, and raises Stopped, `advice` at the end of its line.
    A checkpoint that cannot be written is told, and the one before stays; a damaged one is told and passed over.
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
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity or {})))  # as it is read back
        self.stop, self.advice = stop, advice
        self.last = time.monotonic()
        self.best: float | None = None
        self.refused = False  # whether the last one could not be written

    def start(self, run: Run) -> None:
        """Go on from the last good checkpoint; every process from the first one's.

        Raises RequestError for the checkpoint of another run, and where other hooks come after this one.
        """
        if run.hooks[-1] is not self:
            raise RequestError("Checkpoints must be the last of the hooks: what a later one remembers would be lost")
        if wrong := _different(run.world.told(self.identity), self.identity):
            raise RequestError(f"process {run.world.rank + 1} is not given what the first is: {wrong}")
        content = run.world.told(self._newest(run) if run.world.first else None)
        if content is None:
            return
        known = about(content)
        _require_same(known["identity"], self.identity)
        for name, value in _surroundings(run).items():
            was = known["surroundings"].get(name)
            if was != value:
                run.say(f"resumed where {name} is {value} and was {was}: the last bits of the weights may differ")
                break
        put_back(run, content)
        for report in run.reports:
            self._is_best(run, report.score)
        run.say(f"resumed {_after(run)}" if not run.finished else "resumed at the end of training")

    def step_done(self, run: Run) -> None:
        """Save where it is time to; stop where that is asked."""
        by_steps = self.steps and run.step % self.steps == 0
        by_time = self.seconds and time.monotonic() - self.last >= self.seconds
        if not self._stopped(run) and (by_steps or by_time):
            self._save(run)

    def epoch_done(self, run: Run) -> None:
        """Save the best epoch so far, and the last; stop where that is asked."""
        best = self._is_best(run, run.reports[-1].score)
        if best or run.finished:
            self._save(run, best=best)
        self._stopped(run)

    def _stopped(self, run: Run) -> bool:
        """False; where any process is asked to stop, all do after this step, the first saves, and Stopped is raised."""
        signal = run.world.highest(self.stop())
        if signal:
            kept = "saved" if self._save(run) else "not saved"
            raise Stopped(f"stopped {_after(run)}, and {kept}{self.advice}" if run.world.first else "", 128 + signal)
        return False

    def _is_best(self, run: Run, score: float | None) -> bool:
        best = score is not None and (self.best is None or run.examples.task.metric.better(score, self.best))
        self.best = score if best else self.best
        return best

    def _save(self, run: Run, *, best: bool = False) -> bool:
        """Whether it could be written; the first refusal in a row is told."""
        self.last = time.monotonic()
        if not run.world.first:
            return True
        known = {"identity": self.identity, "surroundings": _surroundings(run)}
        path = self.folder / f"step-{run.step:09d}{'-best' if best else ''}.checkpoint"
        try:
            write_sealed(path, saved(run, known))
        except WorkError as error:
            left = self._files()
            good = f"the one of step {_step(left[-1])} is still good" if left else "there is none yet"
            if not self.refused:
                run.say(f"no checkpoint {_after(run)}: {error}; {good}, and training goes on")
            self.refused = True
            return False
        self.refused = False
        self._tidy()
        return True

    def _tidy(self) -> None:
        files = self._files()
        bests = [path for path in files if path.stem.endswith("-best")]
        for path in files[: -self.keep]:
            if path not in bests[-1:]:
                _remove(path)

    def _files(self) -> list[Path]:
        """The checkpoints there are, in the order of their steps."""
        found = self.folder.iterdir() if self.folder.is_dir() else []
        named = (path for path in found if _NAME.fullmatch(path.name))
        # Of one step, the best was saved later than the other: its epoch is validated.
        return sorted(named, key=lambda path: (_step(path), path.stem.endswith("-best")))

    def _newest(self, run: Run) -> bytes | None:
        for path in reversed(self._files()):
            content = read_sealed(path)
            if content is not None:
                return content
            run.say(f"the checkpoint {path.name} is damaged, and passed over")
            _remove(path)  # or it would count among the last that are kept
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # one too many does no harm
        path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found.group(1)) if found else -1


def _after(run: Run) -> str:
    """What is learnt already, in words."""
    if run.batch:
        return f"after epoch {run.epoch + 1}, batch {run.batch} of {run.steps}"
    return f"after epoch {run.epoch} of {run.epochs}"


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
        **_versions(),
        "the number of threads": torch.get_num_threads(),
        "the processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "the device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "cpu",
        "the number of processes": run.world.size,
    }


@functools.cache
def _versions() -> dict[str, str]:
    found = {}
    for name in ("striate", "torch", "numpy", "pillow"):
        with contextlib.suppress(PackageNotFoundError):  # Striate itself, used from its source
            found[f"the version of {name}"] = version(name)
    return found


@functools.cache
def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    found = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()
