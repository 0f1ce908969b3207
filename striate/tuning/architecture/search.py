"""The search: samplers propose networks, trials judge them, a log lets a stopped search continue exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from striate.errors import RequestError, WorkError
from striate.progress import Progress
from striate.reading import LOG, read_given
from striate.storage import json_text, write_text
from striate.tuning.architecture.samplers import Sampler
from striate.tuning.architecture.space import Point
from striate.tuning.architecture.trial import Trial


@dataclass(frozen=True)
class Study:
    """The trials of one sampler, in order."""

    sampler: str
    trials: tuple[Trial, ...]

    @property
    def succeeded(self) -> tuple[Trial, ...]:
        """The trials that did not fail."""
        return tuple(trial for trial in self.trials if not trial.failed)

    @property
    def best(self) -> Trial | None:
        """The trial with the highest reward, the first of equal ones; None if all failed."""
        return max(self.succeeded, key=lambda trial: trial.reward, default=None)

    def best_so_far(self) -> list[float]:
        """After each trial, the highest reward until then."""
        found, best = [], 0.0
        for trial in self.trials:
            best = max(best, trial.reward)
            found.append(best)
        return found


def run_study(
    sampler: Sampler,
    trials: int,
    judge: Callable[[Point], Trial],
    *,
    name: str,
    log: Path | None = None,
    known: Iterable[Trial] = (),
    progress: Progress | None = None,
) -> Study:
    """Try `trials` points, one after another, each logged in the file `log` as a line of JSON.

    A point that was tried before, here or among the `known` trials, is not tried again: a training depends only on its
    point. Logged trials are not repeated: the sampler is told their rewards, and continues as if it had not been
    stopped.
    Raises RequestError for fewer than 1 trial, and for a log of another search.
    """
    if trials < 1:
        raise RequestError(f"a search needs 1 trial at least, not {trials}")
    done = _logged(log)
    found: list[Trial] = []
    tried = {trial.point: trial for trial in known}
    with (progress or Progress()).bar(f"Trials, {name}", trials) as bar:
        for number in range(trials):
            point = sampler.propose()
            if number < len(done):
                trial = done[number]
                if trial.point != point:
                    raise RequestError(f"{str(log)!r} is the log of another search: trial {number + 1} differs")
            else:
                trial = tried[point] if point in tried else judge(point)
            tried[point] = trial
            sampler.tell(point, trial.reward)
            found.append(trial)
            if log is not None and number >= len(done):
                write_text(log, "".join(json_text(one.as_dict()) + "\n" for one in found))
            best = Study(name, tuple(found)).best
            bar.note(f"best {best.reward:.3f}" if best else "all failed")
            bar.advance()
    return Study(name, tuple(found))


def _logged(log: Path | None) -> list[Trial]:
    """The trials of a log; none if there is no file."""
    if log is None or not log.is_file():
        return []
    try:
        lines = read_given(log, "the trials", LOG).decode().splitlines()
        return [Trial.from_dict(json.loads(line)) for line in lines]
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{str(log)!r} is not a log of trials: {error}") from error


def require_result(studies: tuple[Study, ...]) -> None:
    """Raise WorkError, with the first reason, if every trial failed."""
    if not any(study.succeeded for study in studies):
        every = [trial for study in studies for trial in study.trials]
        raise WorkError(f"all {len(every)} trials failed; the first: {every[0].failed}")


def pareto_front(trials: tuple[Trial, ...]) -> list[Trial]:
    """The trials that no other beats in accuracy at the same or a lower cost, by rising cost."""
    front: list[Trial] = []
    for trial in sorted(trials, key=lambda one: (one.cost, -one.accuracy)):
        if not trial.failed and (not front or trial.accuracy > front[-1].accuracy):
            front.append(trial)
    return front
