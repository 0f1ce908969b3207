"""Workers on one study: claiming trials, beats that show that a worker lives, and trials of workers that ended.

A running trial whose worker ended is taken up by another one. Its worker counts as ended at once if it ran on this
machine and there is no such process any more; else if its beat has not changed for `GRACE` seconds by the clock of the
worker that looks, so that no two clocks are compared. The beat is a number that the worker raises while it runs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from striate.reading import TEXT, read_file
from striate.tuning.attributes import AGAIN, ATTEMPT, COUNT, SURPLUS, WORKER
from striate.tuning.study import Place

BEAT, GRACE = 5.0, 40.0  # seconds between beats, and without one until a worker counts as ended
ATTEMPTS = 3  # of one trial: it may be what ends its workers


@dataclass(frozen=True)
class Worker:
    """A process. machine: its boot and its namespace of processes. started: tells it from a later one of its number."""

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Worker:
        """This process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()))

    def ended(self, here: Worker) -> bool:
        """Whether it ran on the machine of `here` and is gone; False where that cannot be known."""
        if not self.machine or self.machine != here.machine:
            return False
        return _started(self.pid) != self.started


def _machine() -> str:
    """Identifies the boot and the namespace in which process numbers count; "" where the system does not tell."""
    try:
        boot = read_file(Path("/proc/sys/kernel/random/boot_id"), TEXT).decode().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except (OSError, UnicodeDecodeError):
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; "" if there is none, or only its remains."""
    try:
        fields = read_file(Path(f"/proc/{pid}/stat"), TEXT).rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return ""


@dataclass
class Watch:
    """What this worker has seen of others' trials: by number the beat, and when it was first seen."""

    here: Worker = field(default_factory=Worker.this)
    seen: dict[int, tuple[Any, float]] = field(default_factory=dict)

    def ended(self, trial: FrozenTrial, now: float) -> bool:
        """Whether the worker of a running trial has ended."""
        worker = trial.user_attrs.get(WORKER)
        if worker is not None and Worker(**worker).ended(self.here):
            return True
        beat = trial.user_attrs.get(COUNT)
        before, since = self.seen.setdefault(trial.number, (beat, now))
        if before != beat:
            self.seen[trial.number] = (beat, now)
            return False
        return now - since > GRACE


@dataclass(frozen=True, eq=False)
class Claim:
    """A trial of this worker. index: its place among the trials, from 0; a trial that is taken up keeps its own."""

    trial: optuna.Trial
    index: int


def claim(study: optuna.Study, total: int, watch: Watch) -> Claim | None:
    """The next trial, one that was taken up first; None if all are made or others are at them.

    Two workers never get the same trial, and all together get no more than `total`.
    """
    take_up(study, watch)
    trials = study.get_trials(deepcopy=False)
    if not any(one.state == TrialState.WAITING for one in trials) and counted(trials) >= total:
        return None
    trial = study.ask()
    trial.set_user_attr(WORKER, dict(vars(watch.here)))
    trials = study.get_trials(deepcopy=False)
    first = trial.user_attrs.get(AGAIN, trial.number)
    index = first - sum(AGAIN in one.user_attrs or SURPLUS in one.user_attrs for one in trials[:first])
    if index >= total:  # another worker was faster
        trial.set_user_attr(SURPLUS, True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    return Claim(trial, index)


def counted(trials: Sequence[FrozenTrial]) -> int:
    """Trials that count: each once, however often it was taken up."""
    return sum(AGAIN not in one.user_attrs and SURPLUS not in one.user_attrs for one in trials)


def take_up(study: optuna.Study, watch: Watch) -> list[int]:
    """Put the running trials of workers that ended back, to be claimed anew; their numbers."""
    now, found = time.monotonic(), []
    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        mine = one.user_attrs.get(WORKER) == vars(watch.here)
        if not mine and watch.ended(one, now) and put_back(study, one):
            found.append(one.number)
    return found


def put_back(study: optuna.Study, trial: FrozenTrial, attempts: int = 1) -> bool:
    """End a running trial without a result, and enqueue it again; False if another worker did.

    attempts: how many this one counts for, 0 if it was stopped on purpose. After `ATTEMPTS` it counts as failed.
    """
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    failed = trial.user_attrs.get(ATTEMPT, 0) + attempts
    if failed < ATTEMPTS:
        first = trial.user_attrs.get(AGAIN, trial.number)
        study.enqueue_trial(dict(trial.params), user_attrs={AGAIN: first, ATTEMPT: failed})
    return True


def others_running(study: optuna.Study, watch: Watch) -> bool:
    """Whether other workers are at trials."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    return any(one.user_attrs.get(WORKER) != vars(watch.here) for one in running)


@contextlib.contextmanager
def beating(place: Place, trial: optuna.Trial) -> Iterator[None]:
    """Within the block, a thread raises the trial's beat every `BEAT` seconds."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(BEAT):
            count += 1
            # A storage that is gone is reported where the result is told; a trial that was taken up has ended.
            with contextlib.suppress(Exception), place.errors():
                trial.set_user_attr(COUNT, count)
        place.storage.remove_session()  # of this thread

    thread = threading.Thread(target=beat, daemon=True, name="beat of a trial")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
