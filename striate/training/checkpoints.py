"""Checkpoints: when they are written, which are kept, and how a stopped or killed run resumes from one."""

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
from striate.storage import read_checked, write_checked
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.state import read_metadata, restore_state, serialised

_NAME = re.compile(r"step-(\d{9,})(-best)?\.checkpoint")


class Checkpoints(Hook):
    """Saves the run into `folder`, and resumes a run from the last valid checkpoint there.

    It is the last hook of a run, because the state of a later one would be saved a step too early.
    seconds, steps: interval, None: not by this measure; also after every best epoch and after the last. keep: number of
    latest checkpoints kept, besides the best one. identity: what identifies the run, such as the recipe and the data,
    as JSON values by name. stop: called after every step; returns the signal that requests a stop, or 0. The run is
    then saved and raises Stopped, with `advice` at the end of its message.
    A checkpoint that cannot be written is reported, and the one before is kept; a damaged one is reported and skipped.
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
        self.refused = False  # whether the last write failed

    def start(self, loop: LoopState) -> None:
        """Resume from the last valid checkpoint; every process from that of the first.

        Raises RequestError for the checkpoint of another run, and if other hooks come after this one.
        """
        if loop.hooks[-1] is not self:
            raise RequestError("Checkpoints must be the last of the hooks: the state of a later one would be lost")
        if wrong := _different(loop.world.broadcast(self.identity), self.identity):
            raise RequestError(f"process {loop.world.rank + 1} has other arguments than the first: {wrong}")
        content = loop.world.broadcast(self._newest(loop) if loop.world.first else None)
        if content is None:
            return
        known = read_metadata(content)
        _require_same(known["identity"], self.identity)
        for name, value in _surroundings(loop).items():
            was = known["surroundings"].get(name)
            if was != value:
                loop.say(f"resumed where {name} is {value} and was {was}: the last bits of the weights may differ")
                break
        restore_state(loop, content)
        for report in loop.reports:
            self._is_best(loop, report.score)
        loop.say(f"resumed {_after(loop)}" if not loop.finished else "resumed at the end of training")

    def step_done(self, loop: LoopState) -> None:
        """Save if it is due; stop if that was requested."""
        by_steps = self.steps and loop.step % self.steps == 0
        by_time = self.seconds and time.monotonic() - self.last >= self.seconds
        if not self._stopped(loop) and (by_steps or by_time):
            self._save(loop)

    def epoch_done(self, loop: LoopState) -> None:
        """Save the best epoch so far, and the last; stop if that was requested."""
        best = self._is_best(loop, loop.reports[-1].score)
        if best or loop.finished:
            self._save(loop, best=best)
        self._stopped(loop)

    def _stopped(self, loop: LoopState) -> bool:
        """False; if any process was requested to stop, the first one saves, and all raise Stopped after this step."""
        signal = loop.world.max(self.stop())
        if signal:
            kept = "saved" if self._save(loop) else "not saved"
            raise Stopped(f"stopped {_after(loop)}, and {kept}{self.advice}" if loop.world.first else "", 128 + signal)
        return False

    def _is_best(self, loop: LoopState, score: float | None) -> bool:
        best = score is not None and (self.best is None or loop.examples.task.metric.better(score, self.best))
        self.best = score if best else self.best
        return best

    def _save(self, loop: LoopState, *, best: bool = False) -> bool:
        """Whether it could be written; the first of consecutive failures is reported."""
        self.last = time.monotonic()
        if not loop.world.first:
            return True
        known = {"identity": self.identity, "surroundings": _surroundings(loop)}
        path = self.folder / f"step-{loop.step:09d}{'-best' if best else ''}.checkpoint"
        try:
            write_checked(path, serialised(loop, known))
        except WorkError as error:
            left = self._files()
            good = f"that of step {_step(left[-1])} is still valid" if left else "there is none yet"
            if not self.refused:
                loop.say(f"no checkpoint {_after(loop)}: {error}; {good}; training continues")
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
        """The existing checkpoints, ordered by step."""
        found = self.folder.iterdir() if self.folder.is_dir() else []
        named = (path for path in found if _NAME.fullmatch(path.name))
        # For the same step, the best was saved after the other, once its epoch was evaluated.
        return sorted(named, key=lambda path: (_step(path), path.stem.endswith("-best")))

    def _newest(self, loop: LoopState) -> bytes | None:
        for path in reversed(self._files()):
            content = read_checked(path)
            if content is not None:
                return bytes(content)
            loop.say(f"the checkpoint {path.name} is damaged and was skipped")
            _remove(path)  # or it would count among the latest ones kept
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a leftover does no harm
        path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found.group(1)) if found else -1


def _after(loop: LoopState) -> str:
    """How far training is, in words."""
    if loop.batch:
        return f"after epoch {loop.epoch + 1}, batch {loop.batch} of {loop.steps}"
    return f"after epoch {loop.epoch} of {loop.epochs}"


def _require_same(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if wrong := _different(was, now):
        raise RequestError(
            f"the checkpoint is of another run: {wrong}; resume with its original settings, or start a new run"
        )


def _different(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference in words; "" if there is none."""
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            return f"{name} was {was.get(name)!r} and is {now.get(name)!r}"
    return ""


def _surroundings(loop: LoopState) -> dict[str, Any]:
    """What, besides the recipe and the data, determines the last bits of the weights."""
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
        with contextlib.suppress(PackageNotFoundError):  # Striate itself, run from its source tree
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
