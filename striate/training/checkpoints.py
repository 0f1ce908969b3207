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
from striate.training.loop_state import LoopState
from striate.training.state import about, put_back, saved

_NAME = re.compile(r"step-(\d{9,})(-best)?\.checkpoint")


class Checkpoints(Hook):
    """Saves the run into `folder`, and puts a run that begins where the last good checkpoint there was.

    It is the last hook of a run, because what a later one remembers would be saved a step too early.
    seconds, steps: how often, None: not by that; also after every epoch that is the best, and after the last. keep: how
    many of the last are kept, the best one beside them. identity: what must be the same for the run to be the same,
    as JSON values by name, such as the recipe and the data. stop: asked after every step for the signal that asks
    the run to stop, 0 while none does; the run is then saved, and raises Stopped, `advice` at the end of its line.
    A checkpoint that cannot be written is told, and the one before stays; a damaged one is told and passed over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float | None = 60.0,
        steps: int | None = None,
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

    def start(self, loop: LoopState) -> None:
        """Go on from the last good checkpoint; every process from the first one's.

        Raises RequestError for the checkpoint of another run, and where other hooks come after this one.
        """
        if loop.hooks[-1] is not self:
            raise RequestError("Checkpoints must be the last of the hooks: what a later one remembers would be lost")
        if wrong := _different(loop.world.told(self.identity), self.identity):
            raise RequestError(f"process {loop.world.rank + 1} is not given what the first is: {wrong}")
        content = loop.world.told(self._newest(loop) if loop.world.first else None)
        if content is None:
            return
        known = about(content)
        _require_same(known["identity"], self.identity)
        for name, value in _surroundings(loop).items():
            was = known["surroundings"].get(name)
            if was != value:
                loop.say(f"resumed where {name} is {value} and was {was}: the last bits of the weights may differ")
                break
        put_back(loop, content)
        for report in loop.reports:
            self._is_best(loop, report.score)
        loop.say(f"resumed {_after(loop)}" if not loop.finished else "resumed at the end of training")

    def step_done(self, loop: LoopState) -> None:
        """Save where it is time to; stop where that is asked."""
        by_steps = self.steps and loop.step % self.steps == 0
        by_time = self.seconds and time.monotonic() - self.last >= self.seconds
        if not self._stopped(loop) and (by_steps or by_time):
            self._save(loop)

    def epoch_done(self, loop: LoopState) -> None:
        """Save the best epoch so far, and the last; stop where that is asked."""
        best = self._is_best(loop, loop.reports[-1].score)
        if best or loop.finished:
            self._save(loop, best=best)
        self._stopped(loop)

    def _stopped(self, loop: LoopState) -> bool:
        """False; where any process is asked to stop, all do after this step, the first saves, and Stopped is raised."""
        signal = loop.world.highest(self.stop())
        if signal:
            kept = "saved" if self._save(loop) else "not saved"
            raise Stopped(f"stopped {_after(loop)}, and {kept}{self.advice}" if loop.world.first else "", 128 + signal)
        return False

    def _is_best(self, loop: LoopState, score: float | None) -> bool:
        best = score is not None and (self.best is None or loop.examples.task.metric.better(score, self.best))
        self.best = score if best else self.best
        return best

    def _save(self, loop: LoopState, *, best: bool = False) -> bool:
        """Whether it could be written; the first refusal in a row is told."""
        self.last = time.monotonic()
        if not loop.world.first:
            return True
        known = {"identity": self.identity, "surroundings": _surroundings(loop)}
        path = self.folder / f"step-{loop.step:09d}{'-best' if best else ''}.checkpoint"
        try:
            write_sealed(path, saved(loop, known))
        except WorkError as error:
            left = self._files()
            good = f"the one of step {_step(left[-1])} is still good" if left else "there is none yet"
            if not self.refused:
                loop.say(f"no checkpoint {_after(loop)}: {error}; {good}, and training goes on")
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

    def _newest(self, loop: LoopState) -> bytes | None:
        for path in reversed(self._files()):
            content = read_sealed(path)
            if content is not None:
                return content
            loop.say(f"the checkpoint {path.name} is damaged, and passed over")
            _remove(path)  # or it would count among the last that are kept
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # one too many does no harm
        path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found.group(1)) if found else -1


def _after(loop: LoopState) -> str:
    """What is learnt already, in words."""
    if loop.batch:
        return f"after epoch {loop.epoch + 1}, batch {loop.batch} of {loop.steps}"
    return f"after epoch {loop.epoch} of {loop.epochs}"


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


def _surroundings(loop: LoopState) -> dict[str, Any]:
    """What beside the run's own choices decides the last bits of its weights."""
    return {
        **_versions(),
        "the number of threads": torch.get_num_threads(),
        "the processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "the device": torch.cuda.get_device_name(loop.device) if loop.device.type == "cuda" else "cpu",
        "the number of processes": loop.world.size,
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
