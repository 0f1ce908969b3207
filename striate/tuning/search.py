"""A search: claim a trial, train by its recipe, tell its score, until all are made or the time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from striate.errors import RequestError, WorkError
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import Evaluation
from striate.tasks.values import or_none
from striate.tuning.attributes import EPOCHS, ERROR, IMAGES, INTERVAL, SAME
from striate.tuning.outcomes import TrialRow, best_of, rows_of
from striate.tuning.sampling import ByTrial, drawn, order_of
from striate.tuning.space import Space, described
from striate.tuning.study import Place
from striate.tuning.workers import Claim, Watch, beating, claim, counted, others_running, put_back, take_up

POLL = 0.5  # seconds between looks at trials of other workers

Evaluate = Callable[[Recipe, Callable[[int, float], None]], Evaluation]


@dataclass(frozen=True, eq=False)
class Search:
    """One study and what is searched. recipe: what is not searched. total: trials of all workers together.

    points: of a grid, in its own order; None where trials are drawn. name: before the bar.
    """

    place: Place
    study: optuna.Study
    space: Space
    recipe: Recipe
    total: int
    seed: int
    points: list[dict[str, object]] | None = None
    name: str = "Trials"

    def rows(self) -> list[TrialRow]:
        """All trials so far."""
        with self.place.errors():
            return rows_of(self.study, self.space)

    @property
    def maximize(self) -> bool:
        """Whether a higher score is better."""
        return self.study.direction == optuna.study.StudyDirection.MAXIMIZE


def run(search: Search, evaluate: Evaluate, progress: Progress, deadline: float = math.inf) -> bool:
    """Make trials until all are made or `deadline`, a time of `time.monotonic`, is past; whether nobody is at one.

    No trial starts after the deadline. Before it, waits for trials of other workers, as one of them may end.
    A trial that fails is recorded, and the search goes on. Raises WorkError if the storage fails.
    """
    watch = Watch()
    order = order_of(len(search.points), search.seed) if search.points is not None else []
    with progress.bar(search.name, search.total) as bar:
        shown = 0
        while True:
            with search.place.errors():
                claimed = claim(search.study, search.total, watch) if time.monotonic() < deadline else None
                waiting = claimed is None and others_running(search.study, watch)
            if claimed is None:
                if not waiting:
                    return True
                if time.monotonic() >= deadline:
                    with search.place.errors():
                        take_up(search.study, watch)
                    return False
                time.sleep(POLL)
            else:
                point = search.points[order[claimed.index]] if search.points is not None else None
                _attempt(search, claimed, point, evaluate)
            done, note = _so_far(search)
            bar.advance(done - shown)
            bar.note("other workers are at the last trials" if claimed is None else note)
            shown = done


def _so_far(search: Search) -> tuple[int, str]:
    """How many trials are over, and the best score in words."""
    with search.place.errors():
        trials = search.study.get_trials(deepcopy=False)
    over = [one for one in trials if one.state.is_finished()]
    scored = [one for one in over if one.state == TrialState.COMPLETE and one.value is not None]
    if not scored:
        return counted(over), ""
    sign = -1 if search.maximize else 1
    best = min(scored, key=lambda one: (sign * (one.value or 0.0), one.number))
    return counted(over), f"best {best.value:.4g}, trial {best.number}"


def _attempt(search: Search, claimed: Claim, point: dict[str, object] | None, evaluate: Evaluate) -> None:
    """Make one trial and tell its result."""
    trial, study, place = claimed.trial, search.study, search.place
    try:
        with place.errors():
            sampler = study.sampler
            assert isinstance(sampler, ByTrial)
            sampler.point = point
            labels = drawn(trial, search.space, search.recipe)
            made = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        earlier = next((one for one in made if one.params == labels), None)
        if earlier is not None and earlier.value is not None:
            facts = {SAME: earlier.user_attrs.get(SAME, earlier.number), INTERVAL: earlier.user_attrs.get(INTERVAL)}
            _tell(search, trial, earlier.value, facts)
            return
        _evaluated(search, trial, search.space.values(labels), evaluate)
    except BaseException as error:
        if not isinstance(error, WorkError):  # stopped, or an error of this program: another worker takes it up
            with place.errors():
                frozen = next(one for one in study.get_trials(deepcopy=False) if one.number == trial.number)
                put_back(study, frozen, 0 if isinstance(error, KeyboardInterrupt) else 1)
        raise


def _evaluated(search: Search, trial: optuna.Trial, values: dict[str, object], evaluate: Evaluate) -> None:
    """Train by the values, and tell the score, or why there is none."""
    place = search.place

    def on_epoch(epoch: int, score: float) -> None:
        with place.errors():
            trial.report(score, epoch)
            trial.set_user_attr(EPOCHS, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        with beating(place, trial):
            found = evaluate(search.recipe.updated(values), on_epoch)
    except optuna.TrialPruned:
        _end(search, trial, TrialState.PRUNED, "")
        return
    except (RequestError, WorkError) as error:
        _end(search, trial, TrialState.FAIL, str(error))
        return
    if not math.isfinite(found.score):
        _end(search, trial, TrialState.FAIL, "the score is not a number: nothing could be judged")
        return
    interval = [or_none(side) for side in found.interval]
    _tell(search, trial, found.score, {INTERVAL: None if None in interval else interval, IMAGES: found.total})


def _tell(search: Search, trial: optuna.Trial, score: float, facts: dict[str, object]) -> None:
    with search.place.errors():
        try:
            for name, value in facts.items():
                trial.set_user_attr(name, value)
            search.study.tell(trial, score)
        except (ValueError, UpdateFinishedTrialError):  # taken up by another worker: this one was taken for ended
            return


def _end(search: Search, trial: optuna.Trial, state: TrialState, why: str) -> None:
    with search.place.errors():
        try:
            if why:
                trial.set_user_attr(ERROR, why)
            search.study.tell(trial, state=state)
        except (ValueError, UpdateFinishedTrialError):
            return


def best_recipe(search: Search, best: TrialRow) -> Recipe:
    """The recipe of a trial."""
    return search.recipe.updated(best.values)


def require_best(search: Search) -> TrialRow:
    """The best trial. Raises WorkError, with a reason, if none has a score."""
    rows = search.rows()
    best = best_of(rows, search.maximize)
    if best is not None:
        return best
    failed = [row for row in rows if row.error]
    why = f"; of trial {failed[-1].number} ({described(failed[-1].values)}): {failed[-1].error}" if failed else ""
    if not any(row.ended for row in rows):
        raise WorkError("no trial was made before the time was up: give a longer --budget")
    raise WorkError(f"none of the {len(rows)} trials has a score, so there is no best one{why}")
