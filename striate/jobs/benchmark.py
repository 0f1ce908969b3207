"""Benchmark: networks trained and measured under an equal budget, and what can be said about which is better."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from striate.benchmarking.bench_data import BenchmarkData, Rows
from striate.benchmarking.bench_report import benchmark_report
from striate.benchmarking.budget import Budget, parse_budget, parse_match
from striate.benchmarking.contenders import PAPER, Contender, contenders, matched
from striate.benchmarking.costs import Costs, costs
from striate.benchmarking.latency import BATCHES, Latency, Timer, net_latencies
from striate.benchmarking.outcome import NetResult, Outcome
from striate.benchmarking.plan import BenchmarkPlan, PlannedNet, check_seeds, planned
from striate.benchmarking.trainings import BenchmarkContext, SeedResult, Trainings
from striate.data.opening import Data
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.jobs.train import as_recipe, net_key, open_for_training
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.planning import summarise
from striate.learning.run_folder import FollowerFolder, next_free
from striate.nets.build import create_classifier
from striate.progress import Progress
from striate.reading import TEXT, given_path, read_given
from striate.recipe import Recipe
from striate.report.page import render
from striate.sections.wording import Format, formatted
from striate.storage import json_text, sha256_of, write_text
from striate.tasks import Evaluation, Task

PLAN, RESULT, REPORT = "plan.json", "result.json", "report.html"
Net = str | Callable[..., Any]
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A benchmark: its folder, its plan, and its outcome; None of a dry run, which has neither folder nor outcome."""

    folder: Path | None
    plan: BenchmarkPlan
    outcome: Outcome | None = None

    def lines(self) -> list[str]:
        """The result as text."""
        if self.outcome is None:
            return self.plan.lines()
        found = self.outcome
        form: Format = "percent" if found.metric.share else "digits"
        rows = [("net", found.metric.name, "range over seeds", "parameters", "multiply-adds", "ms", "training")]
        for one in found.results:
            low, high = (formatted(value, form) for value in (min(one.scores), max(one.scores)))
            rows.append((
                one.label, formatted(one.score, form), f"{low} to {high}", f"{one.costs.parameters:,}",
                f"{one.costs.madds:,}", f"{1000 * one.latency[BATCHES[0]].median:.3g}", f"{one.seconds:.0f} s",
            ))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return [found.title, *(_ascii(line) for line in table), found.verdict()]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        facts = {"plan": self.plan.as_dict()} | ({} if self.outcome is None else self.outcome.as_dict())
        return facts | ({} if self.folder is None else {"folder": str(self.folder)})


def benchmark(
    nets: Sequence[Net],
    data: Data | None = None,
    *,
    out: PathLike | None = None,
    budget: str | None = None,
    match: str | None = None,
    seeds: int = 3,
    pretrained: Sequence[Net] = (),
    recipe: Recipe | Mapping[str, Any] | PathLike | None = None,
    dry: bool = False,
    timer: Timer | None = None,
    progress: Progress | None = None,
) -> Benchmark:
    """Compare networks under an equal budget, and write a folder with the trainings, a result and a report.

    Each net is trained on each seed with three learning rates, around the recipe's, within the budget; validation
    images choose the rate, and test images score the chosen model once. Nothing is called best unless paired bootstrap
    intervals separate it from all others.
    nets: names, or constructors of your own networks. data: as of `striate.train`.
    out: the folder; by default a new one under benchmarks/. The same call goes on with one that was stopped.
    budget: "10min", "20epochs" or "50Tmadds", for each net and seed, all learning rates together; by default
      multiply-adds, sized by a probe so that everything takes about ten minutes.
    match: "madds=300M": the width of every net is scaled to so many multiply-adds of an image.
    seeds: from that of the recipe on; three at least. pretrained: nets that start from published weights; they are
      compared with each other only.
    recipe: of all nets, as of `striate.train`, or "paper": each net's own of its paper.
    dry: only plan: what would be trained, and how long it would take.
    timer: the clock of the latency; for tests.
    Raises RequestError for an invalid request.
    """
    check_seeds(seeds)
    chosen = None if budget is None else parse_budget(budget)
    by_paper = isinstance(recipe, str) and recipe == PAPER
    base = Recipe() if by_paper else as_recipe(recipe)
    if isinstance(data, (str, os.PathLike)):
        base = base.updated({"data.path": os.fspath(data)})
    given = base.data.path if data is None else data
    if given is None:
        raise RequestError("a benchmark needs data: a path, a named set, or arrays")
    settings = {"budget": budget, "match": match, "seeds": seeds, "paper": by_paper}
    names = [_name(net) for net in nets], [_name(net) for net in pretrained]
    folder = None if out is None else given_path(out, "--out")
    _require_ours(folder)
    work = _Work(base, settings, folder, chosen, progress or Progress())
    return work.run(names, given, dry=dry, timer=timer)


def _require_image_scores(task: Task) -> None:
    """Raise RequestError for a task whose score is no mean over images: nets are compared image by image."""
    if task.evaluation.image_scores is Evaluation.image_scores:
        raise RequestError(
            f"a benchmark compares nets image by image, and {task.metric.name} is no mean over images: it takes "
            f"classification and regression, not {task.kind}"
        )


class _Work:
    """One benchmark: its choices, and its steps in order."""

    def __init__(
        self, recipe: Recipe, settings: dict[str, Any], out: Path | None, budget: Budget | None, progress: Progress
    ) -> None:
        self.recipe, self.settings, self.out, self.budget, self.progress = recipe, settings, out, budget, progress

    def run(self, names: tuple[list[str], list[str]], given: Data, *, dry: bool, timer: Timer | None) -> Benchmark:
        """Open the data, plan, train, measure and write."""
        source, notes = open_for_training(self.recipe, given)
        source.task.require_vectors("a benchmark trains no masks and no boxes")
        _require_image_scores(source.task)
        folder = self.out or next_free(source.name, "benchmarks")
        context = BenchmarkContext(FollowerFolder(folder), Clock(), self.progress)
        for line in (f"{source.name}: {len(source.items):,} images {source.task.describe()}", *notes):
            self.progress.say(line)
        found, data = self._contenders(names, source, context)
        rows = [data.rows(one, self.recipe.augment) for one in found]
        trainings = [
            Trainings(one, some, folder / _folder_name(place, one), context)
            for place, (one, some) in enumerate(zip(found, rows, strict=True))
        ]
        plan = self._plan(source, found, rows, trainings, data, None if dry else folder)
        if dry:
            return Benchmark(None, plan)
        for line in plan.lines():
            self.progress.say(line)
        with context.stoppable():
            seeds = self._trained(plan, trainings)
            results = self._measured(found, rows, trainings, seeds, plan, timer)
        outcome = Outcome(source.name, plan.budget, plan.seeds, source.task.metric, results, plan.counts, self.settings)
        write_text(folder / REPORT, render(benchmark_report(outcome)))
        done = Benchmark(folder, plan, outcome)
        write_text(folder / RESULT, json_text(done.as_dict(), indent=1))
        return done

    def _contenders(
        self, names: tuple[list[str], list[str]], source: Source, context: RunContext
    ) -> tuple[list[Contender], BenchmarkData]:
        summary = summarise(source)
        found = contenders(*names, None if self.settings["paper"] else self.recipe, summary)
        if self.settings["match"] is not None:
            wanted = parse_match(self.settings["match"])
            found = [matched(one, wanted, source.task) for one in found]
        return found, BenchmarkData(source, summary, self.recipe, context)

    def _plan(
        self,
        source: Source,
        found: Sequence[Contender],
        rows: Sequence[Rows],
        trainings: Sequence[Trainings],
        data: BenchmarkData,
        folder: Path | None,
    ) -> BenchmarkPlan:
        """The plan: of the folder, if this benchmark began there; else from a probe of each net."""
        identity = self._identity(found, data)
        if folder is not None and (folder / PLAN).is_file():
            return _known_plan(folder, identity)
        with self.progress.bar("Timing the nets", len(found)) as bar:
            probes = []
            for one in trainings:
                probes.append(one.probe())
                bar.advance()
        counts = {"training": len(rows[0].train), "validation": len(rows[0].val), "test": len(rows[0].test)}
        nets = [PlannedNet(one.label, one.net, one.pretrained, one.options, 0, 0.0, 0.0) for one in found]
        plan = planned(source.name, nets, probes, self.budget, self.settings["seeds"], counts)
        if folder is not None:
            write_text(folder / PLAN, json_text({"identity": identity, "plan": dataclasses.asdict(plan)}, indent=1))
        return plan

    def _identity(self, found: Sequence[Contender], data: BenchmarkData) -> dict[str, Any]:
        """What the trainings depend on."""
        nets = [[one.label, one.options, one.pretrained, sorted(one.recipe.choices().items())] for one in found]
        return {**self.settings, "data": data.digest(), "nets": sha256_of(json_text(nets).encode())[:16]}

    def _trained(self, plan: BenchmarkPlan, trainings: Sequence[Trainings]) -> list[tuple[SeedResult, ...]]:
        """The results of each net; seed by seed, so that a benchmark that is stopped has all nets on the first ones."""
        found: list[list[SeedResult]] = [[] for _ in trainings]
        with self.progress.bar("Trainings", plan.seeds * len(plan.rates) * len(trainings)) as bar:
            for number in range(plan.seeds):
                for place, one in enumerate(trainings):
                    found[place].append(one.run(self.recipe.seed + number, plan.nets[place].epochs, bar.advance))
        return [tuple(results) for results in found]

    def _measured(
        self,
        found: Sequence[Contender],
        rows: Sequence[Rows],
        trainings: Sequence[Trainings],
        seeds: Sequence[tuple[SeedResult, ...]],
        plan: BenchmarkPlan,
        timer: Timer | None,
    ) -> tuple[NetResult, ...]:
        """Each net with its costs and latency."""
        task = rows[0].prepared.split.audit.task
        with self.progress.bar("Memory", len(found)) as bar:
            costed: list[Costs] = []
            for one, training, results in zip(found, trainings, seeds, strict=True):
                trained = next((result for result in results if result.chosen is not None), None)
                costed.append(costs(one, task, None if trained is None else training.model_path(trained)))
                bar.advance()
        shapes = {one.label: (one.pixels.channels, one.pixels.height, one.pixels.width) for one in found}
        latency: dict[int, dict[str, Latency]] = {}
        with torch.random.fork_rng(devices=[]):
            nets = {one.label: (_fresh(one, task.outputs), shapes[one.label]) for one in found}
            for batch in BATCHES:
                latency[batch] = net_latencies(nets, batch=batch, timer=timer, progress=self.progress)
        return tuple(
            NetResult(
                one.label,
                one.net,
                one.pretrained,
                plan.nets[place].epochs,
                seeds[place],
                costed[place],
                {batch: latency[batch][one.label] for batch in BATCHES},
                task.metric.share,
            )
            for place, one in enumerate(found)
        )


def _fresh(one: Contender, outputs: int) -> torch.nn.Module:
    """The net with random weights: its time does not depend on them."""
    pixels = one.pixels
    return create_classifier(
        one.net,
        classes=outputs,
        in_channels=pixels.channels,
        input_size=(pixels.height, pixels.width),
        options=one.options,
    )


def _name(net: Net) -> str:
    return net_key(net) or ""


def _folder_name(place: int, one: Contender) -> str:
    safe = re.sub(r"[^\w.]+", "-", one.label).strip("-.")
    return f"{place + 1}-{safe}"


def _require_ours(folder: Path | None) -> None:
    """Raise RequestError for a folder with anything but a benchmark in it."""
    if folder is None or not folder.exists():
        return
    if not folder.is_dir():
        raise RequestError(f"the output {str(folder)!r} is a file; --out takes a folder")
    present = sorted(path.name for path in folder.iterdir() if path.suffix != ".part")
    if present and PLAN not in present:
        raise RequestError(
            f"the folder {str(folder)!r} is in use, not by a benchmark ({len(present)} entries, e.g. {present[0]!r}); "
            "choose another with --out"
        )


def _known_plan(folder: Path, identity: Mapping[str, Any]) -> BenchmarkPlan:
    """The plan of a benchmark that was begun. Raises RequestError for one on other data, or with other choices."""
    path = folder / PLAN
    try:
        known = json.loads(read_given(path, "the plan", TEXT))
        before, plan = known["identity"], BenchmarkPlan.from_dict(known["plan"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{str(path)!r} is not the plan of a benchmark") from error
    differing = [key for key, value in identity.items() if before.get(key) != value]
    if differing:
        raise RequestError(
            f"{str(folder)!r} is a benchmark with other choices ({', '.join(differing)}): repeat it with the same, or "
            "choose another --out"
        )
    return plan


def _ascii(line: str) -> str:
    """A line of the terminal without typographic spaces."""
    return line.replace("\u202f", ",").replace("\u00a0", " ").replace("\u2013", "-").replace("\u2212", "-")
