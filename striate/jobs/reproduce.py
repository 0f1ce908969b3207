"""Reproduce: run published experiments again, beside their numbers."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import math
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.data.opening import open_source
from striate.data.sources.base import Source, with_items
from striate.data.splits import apply_split
from striate.errors import Diverged, RequestError
from striate.jobs.compare import summary
from striate.jobs.computed import kept_result, name_of
from striate.jobs.evaluate import evaluate
from striate.jobs.import_weights import import_weights
from striate.jobs.stopping import resumable
from striate.jobs.train import train
from striate.learning.run_folder import MODEL, RunInUseError, unfinished
from striate.model import Model
from striate.progress import Progress
from striate.reading import TABLE, given_path, read_file
from striate.recipe import Recipe
from striate.report.page import render
from striate.storage import alone, json_text, sha256_of, sha256_of_file, write_text
from striate.studies import catalog
from striate.studies.outcome import Outcome, page_of
from striate.studies.study import (
    LOSS,
    MADDS,
    PARAMETERS,
    SCALES,
    SECONDS,
    TEST_ERROR,
    TRAINING_ERROR,
    Arm,
    Context,
    Result,
    ScaleName,
    Study,
)
from striate.studies.study_page import LISTED, index_report, study_report

OUT, RUNS, COMPUTED, LOCKS, INDEX = "studies", "runs", "computed", "locks", "index.html"
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Studies that were run: their outcomes, the reasons of those that were not, and the folder of the pages."""

    folder: Path
    outcomes: tuple[Outcome, ...]
    not_run: dict[str, str]

    def lines(self) -> list[str]:
        """As text."""
        found = []
        for one in self.outcomes:
            found.append(f"{one.study.name}: {one.verdict} ({one.name}; {self.folder / one.page})")
            found += [
                f"  {each.verdict:24}  {each.claim.text}: {each.claim.measure} {each.value:+.3g} "
                f"(95 %: {each.low:+.3g} to {each.high:+.3g})"
                for each in one.findings
            ]
        return [*found, *(f"{name}: not run: {why}" for name, why in self.not_run.items())]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        studies = [one.as_dict() for one in self.outcomes]
        return {"folder": str(self.folder), "studies": studies, "not_run": self.not_run}


def reproduce(
    names: Sequence[str] = (),
    *,
    scale: ScaleName = "quick",
    out: PathLike | None = None,
    data: PathLike | None = None,
    weights: PathLike | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run published experiments again, and write a page for each, with its verdict.

    names: of studies; by default all, of which those that cannot be run here are told with the reason.
    scale: "quick" (minutes), "cpu" (at most an hour on two cores) or "paper" (the published protocol, for a GPU).
    out: the folder, by default studies/; trainings are kept in it by their recipes, so that a call goes on where
      another one stopped, studies share them, and several processes may work in one folder.
    data: instead of the study's own data, for one study. weights: a folder of published weights, for studies that need
      them.
    Raises RequestError for an unknown study, and for one of `names` that cannot be run here.
    """
    everything = not names
    chosen = [catalog.study(name) for name in names or catalog.names()]
    if data is not None and len(chosen) != 1:
        raise RequestError("--data goes with one study")
    work = _Work(given_path(out or OUT, "--out"), scale, _text(data), _text(weights), progress or Progress())
    outcomes, not_run = list[Outcome](), dict[str, str]()
    for study in () if everything else chosen:
        work.check(study)
    write_text(work.out / INDEX, render(index_report(_in_folder(work.out), {})))  # a folder that refuses, refuses now
    with resumable(work.command(names or ["--all"], "--out", str(work.out))):
        for study in chosen:
            try:
                outcomes.append(work.outcome(study))
            except RequestError as error:
                if not everything and not isinstance(error, RunInUseError):
                    raise
                not_run[study.name] = str(error)
                work.progress.say(f"{study.name}: not run: {error}")
        write_text(work.out / INDEX, render(index_report(_in_folder(work.out), not_run)))
    return Reproduction(work.out, tuple(outcomes), not_run)


@dataclass(frozen=True)
class _Work:
    """The folder, and what the user chose."""

    out: Path
    scale: ScaleName
    data: str
    weights: str
    progress: Progress
    content: Callable[[str], str] = field(default_factory=lambda: functools.cache(_content))  # files are read once

    def outcome(self, study: Study) -> Outcome:
        """Run a study, and write its page and its result."""
        chosen = study.at(self.scale)
        self.check(study)
        data = self.data or chosen.data
        self.progress.stage(f"study {study.name}")
        self.progress.say(f"{study.name}: {len(study.arms)} arms, {chosen.seeds} seeds; expected: {chosen.time}")
        if study.compares_times:
            self.progress.say(f"{study.name} compares times: leave the machine to it")
        opened = functools.cache(lambda name: some_of(name, chosen.images))  # once, for all seeds and arms
        # Seed by seed, so that a study that is stopped has all arms on the first.
        left = [(seed, arm) for seed in range(chosen.seeds) for arm in study.arms]
        made: dict[tuple[int, str], Result] = {}
        with self.progress.bar(study.title, len(left)) as bar:
            while left:
                before = len(made)
                for seed, arm in left:
                    with contextlib.suppress(RunInUseError):
                        made[seed, arm.label] = self._result(study, arm, seed, data, opened)
                        bar.advance()
                left = [(seed, arm) for seed, arm in left if (seed, arm.label) not in made]
                if left and len(made) == before:
                    # The process that is at them looks again at what this one has made, so one gives the verdict.
                    raise RunInUseError(f"{len(left)} results are made by other processes now: call again")
        results = {arm.label: [made[seed, arm.label] for seed in range(chosen.seeds)] for arm in study.arms}
        found = Outcome(study, self.scale, self.data or study.data_at(self.scale), results)
        page = self.out / found.page
        write_text(page.with_suffix(".json"), json_text(found.as_dict(), indent=1))
        write_text(page, render(study_report(found, self.command([study.name]))))
        return found

    def check(self, study: Study) -> None:
        """Raises RequestError for weights that the study lacks, and for data that it would not look at."""
        if study.needs and not self.weights:
            raise RequestError(f"the study {study.name!r} needs --weights, a folder with {study.needs}")
        if self.data and not study.at(self.scale).data:
            own = study.data_at(self.scale)
            why = f"its arms have sets of their own, {own}" if own else "it uses no data"
            raise RequestError(f"the study {study.name!r} takes no --data: {why}")

    def command(self, names: Sequence[str], *more: str) -> str:
        """What does this again, quoted for a shell."""
        given = (("--data", self.data), ("--weights", self.weights))
        options = [word for option, value in given if value for word in (option, value)]
        return shlex.join(["striate", "reproduce", *names, "--scale", self.scale, *options, *more])

    def _result(self, study: Study, arm: Arm, seed: int, data: str, opened: Callable[[str], Source]) -> Result:
        self.progress.say(f"{study.name}: {arm.label}, seed {seed}")
        try:
            if study.compute is not None:
                return self._computed(study, arm, seed, data, opened)
            settings = study.settings(arm, self.scale, seed)
            data = settings.pop("data.path", data)  # of an arm with data of its own
            folder = self._folder(settings, data, study.at(self.scale).images, opened)
        except Diverged as error:  # a result of the study, and no failure of it
            self.progress.say(str(error))
            return Result(dict.fromkeys(study.measures, math.nan))
        return self._trained(folder, study, lambda: opened(data))

    def _computed(self, study: Study, arm: Arm, seed: int, data: str, opened: Callable[[str], Source]) -> Result:
        """The result of a function of the study, kept by what it depends on."""
        assert study.compute is not None
        images = study.at(self.scale).images

        def trained(keys: Mapping[str, Any]) -> Path:
            settings = {**study.settings(arm, self.scale, seed), **keys}
            return self._folder(settings, settings.pop("data.path", data), images, opened)

        context = Context(self.scale, seed, data, self._published, opened, trained)
        compute = functools.partial(study.compute, arm, context)
        depends = self.scale, self.content(data), self._weighed(study), images, study.settings(arm, self.scale, seed)
        name = name_of(study, arm, seed, depends)
        return kept_result(self.out / COMPUTED / name, self.out / LOCKS / name, compute)

    def _folder(
        self, settings: Mapping[str, Any], data: str, images: tuple[int, int] | None, opened: Callable[[str], Source]
    ) -> Path:
        """The folder of a finished training by these keys, which is made or gone on with where it is not there."""
        recipe = Recipe().updated({"strategy": "scratch", **settings})
        key = sha256_of(f"{self.content(data)} {images} {recipe.toml()}".encode())[:12]
        name = f"{recipe.net.name or recipe.strategy}-{recipe.seed}-{key}".replace("/", "-")
        folder = self.out / RUNS / name
        if (folder / MODEL).exists():
            return folder
        with alone(self.out / LOCKS / f"{name}.lock") as mine:  # from before the run's folder is made until it is whole
            if not mine:
                raise RunInUseError(f"the run {str(folder)!r} is made by another process")
            if not (folder / MODEL).exists():
                how: dict[str, Any] = {"resume": folder} if unfinished(folder) else {"recipe": recipe, "out": folder}
                train(opened(data), **how, progress=self.progress)
        return folder

    def _weighed(self, study: Study) -> list[str]:
        """What the files of `--weights` hold that the study needs."""
        folder = Path(self.weights)
        files = sorted(folder.iterdir()) if study.needs and folder.is_dir() else []
        return [self.content(str(file)) for file in files if file.name in study.needs]

    def _published(self, file: str, net: str, source: str) -> Model:
        """The model of a file below `--weights`. Raises RequestError if it is not there."""
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "model.safetensors"
            return import_weights(Path(self.weights) / file, net=net, source=source, out=path).model

    def _trained(self, folder: Path, study: Study, data: Callable[[], Source]) -> Result:
        """What a finished training gives."""
        run = summary(folder)
        last = run.curve[-1] if run.curve else {}
        numbers = {
            TEST_ERROR: 100 * (1 - run.score),
            LOSS: last.get("loss", math.nan),
            SECONDS: sum(row.get("seconds", math.nan) for row in run.curve),
        }
        if MADDS in study.measures or PARAMETERS in study.measures:
            numbers |= _counts(folder)
        if TRAINING_ERROR in study.measures:
            numbers[TRAINING_ERROR] = self._training_error(folder, data)
        wrong = {path: 1 - score for path, (_, score) in run.outcomes.items()}
        images = _trained_on(folder), run.images
        return Result({key: numbers[key] for key in study.measures}, wrong, run.curve, images, run.seconds or 0.0)

    def _training_error(self, folder: Path, data: Callable[[], Source]) -> float:
        """In percent, of the images that were trained on, as they are; computed once and kept in the run's folder."""
        kept = folder / "training_error.json"
        if not kept.exists():
            source, _ = apply_split(data(), folder / "split.csv")
            found = evaluate(folder, source, part="train", progress=self.progress)
            write_text(kept, json_text(100 * (1 - found.evaluation.score)))
        return float(read_file(kept, TABLE))


def _trained_on(folder: Path) -> int:
    """The images that a run was trained on, from its split."""
    rows = csv.DictReader(io.StringIO(read_file(folder / "split.csv", TABLE).decode("utf-8", "surrogateescape")))
    return sum(row.get("part") not in ("val", "test") for row in rows)


def _counts(folder: Path) -> dict[str, float]:
    """Of the network of a run: exact, from its model file."""
    from striate.anatomy.summary import madds, parameters
    from striate.inference.backbones import net_of
    from striate.model import read

    model = read(folder / MODEL)
    net, size = net_of(model), (model.pixels.height, model.pixels.width)
    return {PARAMETERS: parameters(net) / 1e3, MADDS: madds(net, size) / 1e6}


def _in_folder(out: Path) -> list[dict[str, Any]]:
    """What the studies of a folder found, of this call and of earlier ones, by name and scale."""
    found = [_listed(out, name, scale) for name in catalog.names() for scale in SCALES]
    return [facts for facts in found if facts is not None]


def _listed(out: Path, name: str, scale: ScaleName) -> dict[str, Any] | None:
    """What a study found, from its file; None where there is none that can be read."""
    try:
        facts = json.loads(read_file((out / page_of(name, scale)).with_suffix(".json"), TABLE))
        whole = all(key in facts for key in LISTED) and (facts["study"], facts["scale"]) == (name, scale)
    except (OSError, ValueError, TypeError):
        return None
    return facts if whole else None


def some_of(data: str, images: tuple[int, int] | None) -> Source:
    """The data, with at most so many images for training and for testing, evenly over the set."""
    source = open_source(data)
    if images is None:
        return source
    held_out = [item for item in source.items if item.part in ("val", "test")]
    training = [item for item in source.items if item.part not in ("val", "test")]
    kept = [
        item
        for items, most in zip((training, held_out), images, strict=True)
        for item in items[:: max(1, math.ceil(len(items) / most))]
    ]
    return with_items(source, kept)


def _content(data: str) -> str:
    """What a path holds, wherever it lies, so that results of changed files are not taken; else the named set."""
    path = Path(data)
    try:
        if data and path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            return sha256_of(
                repr([(file.relative_to(path).as_posix(), _content(str(file))) for file in files]).encode()
            )
        return sha256_of_file(path)
    except OSError:  # a named set, or a file that is told by whatever needs it
        return data


def _text(path: PathLike | None) -> str:
    return "" if path is None else os.fspath(path)
