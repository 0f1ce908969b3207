"""Tune: search a recipe by trials judged on validation images, train the best, and judge it once on held-out ones."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.opening import Data
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.jobs.stopping import resumable
from striate.jobs.train import as_recipe, net_key, open_for_training, train
from striate.jobs.tuning import Tuning, interval_of
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.planning import Plan, check_request, choose, summarise
from striate.learning.run_folder import MODEL, FollowerFolder, next_free, unfinished
from striate.model import read
from striate.progress import Progress
from striate.reading import TEXT, given_path, read_given
from striate.recipe import Recipe
from striate.report.page import render
from striate.storage import json_text, sha256_of, write_text
from striate.tuning.folder import (
    BEST,
    BEST_RECIPE,
    JOURNAL,
    RESULT,
    SETTINGS,
    SPACE,
    TRAINED,
    TRIALS,
    Settings,
    claimed,
    finishing,
    resumed,
    seconds_of,
)
from striate.tuning.nested import Outer, estimate
from striate.tuning.outcomes import flattery, trials_csv
from striate.tuning.scoring import Scorer
from striate.tuning.space import POINTS, read_space
from striate.tuning.trial_data import TrialData, parts_of, training_keys, validation_parts
from striate.weights.models import net_keys

if TYPE_CHECKING:  # they import Optuna
    from striate.tuning.preparation import Chosen
    from striate.tuning.search import Search
    from striate.tuning.study import Place

PathLike = str | os.PathLike[str]


def tune(
    data: Data | None = None,
    *,
    out: PathLike | None = None,
    space: Mapping[str, Any] | PathLike | None = None,
    method: str = "random",
    trials: int | None = None,
    budget: float | str | None = None,
    folds: int | None = None,
    nested: int | None = None,
    pruner: str = "none",
    points: int = POINTS,
    storage: str = "",
    study: str = "",
    net: str | Callable[..., Any] | None = None,
    strategy: str | None = None,
    seed: int | None = None,
    recipe: Recipe | Mapping[str, Any] | PathLike | None = None,
    resume: PathLike | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Search a recipe by trials, and write a folder with the trials, a report, the best recipe and its run.

    Trials are judged on a part of the training images; the held-out images judge the best recipe once, at the end.
    data, net, strategy, seed, recipe: as of `striate.train`; keys of the recipe that are not searched are as given.
    out: the folder; by default a new one under tunings/. With a search of the same settings in it, this one joins it.
    space: keys with ranges {"low": ..., "high": ..., "log": ..., "points": ...}, lists of values, or "auto"; or the
      path of a TOML file of them; by default a space that suits the strategy.
    method: "random", "grid" or "tpe". trials: of all workers together; by default 50, or all points of a grid.
    budget: no trial starts after so many seconds, or after a time such as "30min".
    folds: judge each trial by cross-validation. nested: outer folds, each with a search of its own: an unbiased score
      of the whole procedure. pruner: "none", "halving" or "hyperband": ends trials early by their epochs.
    points: of each range in a grid. storage: a journal file, or a database URL of Optuna's; by default a journal in
      the folder. study: the name in the storage; by default that of the folder.
    resume: the folder of a search, to go on with it or to join it; takes trials and budget besides, and the same
      storage again, as its password is not kept.

    Raises RequestError for an invalid request, WorkError if no trial has a score or the storage fails.
    """
    deadline = time.monotonic() + seconds_of(budget)
    keys = {"data.path": _path_of(data), "net.name": net_key(net), "strategy": strategy, "seed": seed}
    chosen = {key: value for key, value in keys.items() if value is not None}
    if resume is not None:
        if chosen or any(one for one in (out, space, folds, nested, study, recipe)):
            raise RequestError("a search goes on as it was started: give resume with trials and budget only")
        folder: Path | None = given_path(resume, "--resume")
        settings = resumed(given_path(resume, "--resume"), trials, _whole_place(storage))
    else:
        base = as_recipe(recipe).updated(chosen)
        base = _with_whole_paths(base.updated(net_keys(base.net.name) if base.net.name else {}))
        given = read_space(given_path(space, "--space")) if isinstance(space, (str, os.PathLike)) else space
        place = _whole_place(storage)
        settings = Settings(base.toml(), given, method, trials, folds, nested, pruner, points, place, study)
        folder = None if out is None else given_path(out, "--out")
    base = Recipe.from_toml(settings.recipe, "the recipe of the search")
    content = data if "data.path" not in chosen and data is not None else base.data.path
    if content is None:
        raise RequestError("the search needs data: a path, or for one on data from Python the same data again")
    return _Worker(_Request(settings, base, content, folder, deadline), progress or Progress()).search()


def _whole_place(storage: str) -> str:
    return storage if not storage or "://" in storage else str(Path(storage).absolute())


def _path_of(data: Data | None) -> str | None:
    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else None


def _with_whole_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that the search can be joined and resumed from anywhere."""
    keys = ("data.path", "data.split", "data.decisions", "data.ood", "net.name")
    given = {key: recipe.value(key) for key in keys}
    there = {key: str(Path(path).resolve()) for key, path in given.items() if path and Path(path).exists()}
    return recipe.updated(there)


@dataclass(frozen=True, eq=False)
class _Request:
    """The arguments of `tune`. folder: None for a new one under tunings/."""

    settings: Settings
    recipe: Recipe
    data: Data
    folder: Path | None
    deadline: float


class _Worker:
    """One worker of a search."""

    def __init__(self, request: _Request, progress: Progress) -> None:
        self.request, self.progress = request, progress

    def search(self) -> Tuning:
        """Prepare, make trials, and finish if no other worker is at any."""
        _require_optuna()
        from striate.tuning.preparation import chosen_space
        from striate.tuning.study import open_place

        settings, recipe = self.request.settings, self.request.recipe
        check_request(recipe)
        source, notes = open_for_training(recipe, self.request.data)
        source.task.require_vectors("a search trains no masks and no boxes")
        summary = summarise(source)
        plan = _closed(choose(summary, recipe.strategy, recipe.net.name or ""))
        recipe = recipe.updated({"strategy": plan.strategy, "net.name": plan.net})
        parts = {item.part for item in source.items}
        chosen = chosen_space(settings, source, summary, plan, recipe, {"val", "test"} <= parts)
        place = open_place(settings.storage) if settings.storage else None
        folder = self.request.folder or next_free(source.name, "tunings")
        fresh = not (folder / SETTINGS).exists()
        settings = claimed(folder, settings)
        place = place or open_place(str(folder / JOURNAL))
        context = RunContext(FollowerFolder(folder), Clock(), self.progress)
        self._say(source, plan, chosen, notes)
        data = TrialData(source, summary, plan, chosen.recipe, context)
        with resumable(f"striate tune --resume {shlex.quote(str(folder))}"), contextlib.closing(place):
            with _removed_if_refused(folder if fresh else None):
                mine = _Searches.of(settings, chosen, data, place, settings.study or folder.resolve().name)
            write_text(folder / SPACE, chosen.space.toml())
            over = mine.run(data, self.progress, self.request.deadline)
            return self._finished(folder, mine, data, over)

    def _say(self, source: Source, plan: Plan, chosen: Chosen, notes: Sequence[str]) -> None:
        say = self.progress.say
        say(f"{source.name}: {len(source.items):,} images {source.task.describe()}")
        say(f"Strategy {plan.strategy} with {plan.net}: {plan.why}.")
        whose = "the usual space of the strategy, as none is given" if chosen.own else "the space"
        say(f"Searched by {self.request.settings.method}: {whose}")
        for line in (*chosen.space.lines(), *notes):
            say(f"  {line}")

    def _finished(self, folder: Path, mine: _Searches, data: TrialData, over: bool) -> Tuning:
        from striate.tuning.search import best_recipe, require_best

        search = mine.main
        best = require_best(search)
        recipe = best_recipe(search, best)
        write_text(folder / BEST_RECIPE, recipe.toml())
        found = Tuning(folder, data.task.metric, search.space, search.rows(), best, recipe, mine.judge_words())
        with finishing(folder) as mine_to_finish:
            if over and mine_to_finish:
                found = self._judged(found, mine, data)
        write_text(folder / TRIALS, trials_csv(found.rows, search.space.names))
        if found.run is not None or not over:
            self._written(found, search)
        return found

    def _judged(self, found: Tuning, mine: _Searches, data: TrialData) -> Tuning:
        """Train the best recipe on all training images, judge it on the held-out ones; and the outer folds."""
        nested = estimate(mine.outer, data, self.progress) if mine.outer else None
        run = found.folder / BEST
        metrics = self._trained(found, run, data)
        score = metrics.get(found.metric.key)
        gap = flattery(
            found.best.value,
            found.best.interval,
            math.nan if score is None else float(score),
            interval_of(metrics),
            maximize=found.metric.share,
        )
        return dataclasses.replace(found, run=run, held_out=metrics, flattery=gap, nested=nested)

    def _trained(self, found: Tuning, run: Path, data: TrialData) -> Mapping[str, Any]:
        """The metrics of the best recipe's run; a run of another recipe is moved aside."""
        digest, note = sha256_of(found.recipe.toml().encode()), found.folder / TRAINED
        if run.exists() and (not note.is_file() or read_given(note, "the note", TEXT).decode() != digest):
            number = 1
            while (aside := run.with_name(f"{BEST}-earlier-{number}")).exists():
                number += 1
            run.rename(aside)
        write_text(note, digest)
        if (run / MODEL).is_file():
            return read(run / MODEL).metrics
        given = self.request.data
        if unfinished(run):
            same = None if isinstance(given, (str, os.PathLike)) else given
            done = train(same, resume=run, progress=self.progress)
        else:
            done = train(given, out=run, recipe=found.recipe, progress=self.progress)
        _require_same_images(done.result.split.entries(done.result.split.held_out_rows), data)
        return done.metrics

    def _written(self, found: Tuning, search: Search) -> None:
        from striate.tuning.importance import importance
        from striate.tuning.sections import Found, search_report

        shares, why_not = importance(search)
        report = search_report(
            Found(
                found.folder.resolve().name,
                found.metric,
                found.space,
                found.rows,
                found.best,
                found.validated_on,
                found.recipe.toml(),
                found.flattery,
                interval_of(found.held_out),
                int(found.held_out.get("total") or 0),
                found.nested,
                shares,
                why_not,
                self.request.settings.method,
            )
        )
        write_text(found.folder / "report.html", render(report))
        write_text(found.folder / RESULT, json_text(found.as_dict(), indent=1))


@dataclass(frozen=True, eq=False)
class _Searches:
    """The search on all training images with what judges it, and those of the outer folds."""

    main: Search
    scorer: Scorer
    outer: tuple[Outer, ...]

    @classmethod
    def of(cls, settings: Settings, chosen: Chosen, data: TrialData, place: Place, name: str) -> _Searches:
        """Open the studies, which reads the data."""
        from striate.tuning.preparation import open_search

        split, recipe = data.split, chosen.recipe
        if not split.held_out_part:
            raise RequestError("no images are held out to judge the best recipe: set data.held_out, or give a part val")
        keys = training_keys(split)
        parts = validation_parts(split, keys, recipe, settings.folds)
        outer = []
        rows = split.rows("train")
        for number, one in enumerate(parts_of(split, rows, recipe, settings.nested) if settings.nested else ()):
            judged = validation_parts(split, one.train, recipe, settings.folds)
            found = open_search(settings, chosen, data, place, judged, f"{name}, outer fold {number + 1}")
            found = dataclasses.replace(found, name=f"Trials, outer fold {number + 1}")
            outer.append(Outer(found, judged, one))
        return cls(open_search(settings, chosen, data, place, parts, name), Scorer(data, parts), tuple(outer))

    def run(self, data: TrialData, progress: Progress, deadline: float) -> bool:
        """Make trials; whether no other worker is at one."""
        from striate.tuning.search import run

        over = run(self.main, self.scorer.evaluate, progress, deadline)
        for one in self.outer:
            over = run(one.search, Scorer(data, one.judged).evaluate, progress, deadline) and over
        return over

    def judge_words(self) -> str:
        """What judges trials, in words."""
        images = sum(len(one.judged) for one in self.scorer.parts)
        if len(self.scorer.parts) == 1:
            return f"{images:,} validation images"
        return f"{images:,} training images in {len(self.scorer.parts)} folds"


def _closed(plan: Plan) -> Plan:
    """The plan without a choice that a fitted head would make."""
    return dataclasses.replace(plan, open=False)


def _require_same_images(entries: Sequence[Any], data: TrialData) -> None:
    """Raise AssertionError if the run held out other images than the search: trials would have seen some."""
    held_out = {entry.item.key for entry in data.split.entries(data.split.held_out_rows)}
    assert {entry.item.key for entry in entries} == held_out, "the best recipe was judged on other images"


def _require_optuna() -> None:
    import importlib.util

    if importlib.util.find_spec("optuna") is None:
        raise RequestError("tune needs Optuna: pip install 'striate[tune]'")


@contextmanager
def _removed_if_refused(fresh: Path | None) -> Iterator[None]:
    """If the data or the study are refused within the block, a folder that was made for them goes, too."""
    try:
        yield
    except RequestError:
        if fresh is not None:
            for name in (SETTINGS, JOURNAL):
                (fresh / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds something else
                fresh.rmdir()
        raise
