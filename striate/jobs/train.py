"""Train: look at the data, learn from it, measure, and leave a run folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.audit.audit import Audit
from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import open_source
from striate.data.sources.base import Source, notes_of
from striate.data.splits import apply_split, leaked, split_csv
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.jobs.clock import Clock
from striate.jobs.learning.features import learn_features
from striate.jobs.learning.learned import Learned, StrangersMeasured
from striate.jobs.learning.nearness import looked_closer
from striate.jobs.learning.processes import Processes, together
from striate.jobs.learning.site import Site
from striate.jobs.learning.weighing import check_balance
from striate.jobs.measure import Measured, measure, or_none
from striate.jobs.run_folder import (
    MODEL,
    RECIPE,
    REPORT,
    OthersFolder,
    RunFolder,
    first_told,
    next_free,
    require_unfinished,
    unfinished,
)
from striate.jobs.run_report import run_report
from striate.jobs.scalars import require_writer, write_scalars
from striate.metrics import mean_interval
from striate.model import Model, write
from striate.progress import Progress
from striate.recipe import Recipe
from striate.report.run.page import render
from striate.transfer.head import check_loss
from striate.transfer.strategy import Glance, Plan, asks_for_nearness, choose, glance, is_model_file

REMARKS = 2  # on the curve, said after training; the report has them all

Place = str | os.PathLike[str] | None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: where it lies, its model and what was measured.

    by_fold: a measurement a fold, empty without folds. strangers: how well they are told apart, where a folder of them
    was named.
    """

    folder: Path
    model: Model
    measured: Measured
    audit: Audit
    plan: Plan
    metrics: dict[str, Any]
    by_fold: list[Measured]
    strangers: StrangersMeasured | None

    @property
    def classifier(self) -> Classifier:
        """The model, ready to predict."""
        return Classifier(self.model)

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "run": str(self.folder),
            "model": str(self.folder / "model.safetensors"),
            "report": str(self.folder / "report.html"),
            "net": self.model.net,
            "strategy": self.model.strategy,
            "why": self.plan.why,
            "classes": list(self.model.classes),
            "images": len(self.audit.usable),
            "set_aside": len(self.audit.set_aside),
            **self.metrics,
        }


def train(
    data: str | os.PathLike[str] = "",
    *,
    out: str | os.PathLike[str] | None = None,
    recipe: Recipe | None = None,
    net: str | None = None,
    strategy: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Learn from `data` what its task asks: a folder of class folders, a manifest, arrays, a pack, or a named set.

    `out`: the run folder, new or empty; by default a new one under runs/. `recipe` holds every choice; the arguments
    after it override its keys. `resume`: in place of all of them, the folder of a run that was stopped or killed, which
    then ends as if it had not been. `tensorboard`: also leave its scalars in the run folder.
    Under torchrun the processes train together. The first one does all the rest and returns the run; the others leave
    by SystemExit(0) when it needs them no more. Started anew by torchrun, it resumes what it left in `out`.
    Raises RequestError for what cannot be done as asked, WorkError where the work failed.
    """
    given = {
        "data.path": os.fspath(data) or None, "net.name": net, "strategy": strategy, "train.epochs": epochs,
        "seed": seed,
    }  # fmt: skip
    asked = {key: value for key, value in given.items() if value is not None}
    if resume is not None and (asked or out or recipe):
        raise RequestError("a run is resumed with the recipe that it was begun with: give resume alone")
    if tensorboard:
        require_writer()
    clock = Clock()
    with together() as processes:
        progress = (progress if processes.first else None) or Progress()
        recipe, resume = _begun(asked, out, recipe, resume, processes)
        return _train(recipe, out, resume, clock, progress, processes, tensorboard=tensorboard)


def _begun(
    asked: dict[str, Any], out: Place, recipe: Recipe | None, resume: Place, processes: Processes
) -> tuple[Recipe, Place]:
    """The recipe, and the run to go on with, if any; every process takes the first one's."""
    if processes.first:
        if processes.restarted and out is not None and unfinished(Path(out)):
            resume = out
        if resume is not None:
            require_unfinished(Path(resume))
            recipe = Recipe.from_file(Path(resume) / RECIPE)
        else:
            recipe = (recipe or Recipe()).updated(asked)
    told = processes.told((recipe, resume))
    assert told[0] is not None
    return told[0], told[1]


def _train(
    recipe: Recipe,
    out: Place,
    resume: Place,
    clock: Clock,
    progress: Progress,
    processes: Processes,
    *,
    tensorboard: bool,
) -> Run:
    """One process's part: all of it in the first, the learning alone in the others."""
    with clock.stage("open the data"):
        source, notes = _open(recipe)
        check_balance(source.task, recipe.data.balance)
        check_loss(source.task, recipe.loss.name)
        seen = glance(source)
    plan = choose(seen, recipe.strategy, recipe.net.name or "")
    if resume is not None and processes.first:  # the recipe has the choice, and the log the reason
        plan = dataclasses.replace(plan, why=str(first_told(Path(resume), "plan").get("why", plan.why)))
    if processes.first and asks_for_nearness(plan, seen, recipe.strategy):
        with clock.stage("look closer"):
            plan = looked_closer(source, plan, seen, recipe)
    plan = processes.told(plan)
    progress.say(f"{source.name}: {len(source.items):,} images {source.task.asked()}")
    progress.say(f"Strategy {plan.strategy} with {plan.net}: {plan.why}.")
    if idle := recipe.idle(plan.strategy):
        notes.append(f"Set, but not used by the strategy {plan.strategy}: {', '.join(idle)}")
    with _claimed(resume, out, source, processes) as folder:
        site = Site(folder, clock, progress, processes=processes)
        site.log("plan" if resume is None else "resume", {"data": recipe.data.path, **dataclasses.asdict(plan)})
        if resume is None:
            recipe = site.settle(recipe, _settled(recipe, source, plan, folder))
        else:
            notes.append("This run was stopped and resumed: its seconds are those since then.")
            if not folder.saved:
                progress.say("Nothing was saved yet: the run begins anew.")
        with site.stoppable():
            learned = _learn(source, plan, seen, recipe, site)
            learned.notes[:0] = notes
            ran = (learned.recipe or recipe).updated({"inference.precision": learned.precision})  # runs the same again
            run = _leave(site, source, plan, ran, learned)
            if tensorboard:
                write_scalars(folder.path / "tensorboard", learned.curve, run.metrics, clock.stages)
        return run


def _claimed(resume: Place, out: Place, source: Source, processes: Processes) -> RunFolder:
    if not processes.first:
        return OthersFolder(Path(resume or out or ""))
    if resume is not None:
        return RunFolder.reopened(Path(resume))
    return RunFolder(Path(out) if out else next_free(source.name))


def _open(recipe: Recipe) -> tuple[Source, list[str]]:
    """The data as split and decided on by the files that the recipe names, and lines for the user."""
    source = open_source(recipe.data.path or "")
    notes = list(notes_of(source))
    if recipe.data.split:  # first, because decisions may move an image out of its part
        source, said = apply_split(source, Path(recipe.data.split))
        notes += said
    if recipe.data.decisions:
        source, said = apply_decisions(source, read_decisions(Path(recipe.data.decisions)))
        notes += said
    return source, notes


def _learn(source: Source, plan: Plan, seen: Glance, recipe: Recipe, site: Site) -> Learned:
    if plan.strategy != "scratch":
        if (world := site.processes.world) is not None:
            site.progress.say(f"This strategy is work for one process: the others of the {world.size} end here.")
        site.processes.others_end()
        site = dataclasses.replace(site, processes=Processes())  # nobody waits for it any more
    if plan.strategy == "features":
        return learn_features(source, plan, recipe, site)
    if plan.strategy == "finetune":
        from striate.jobs.learning.finetune import learn_finetuned  # imports torch

        return learn_finetuned(source, plan, recipe, site)
    from striate.jobs.learning.scratch import learn_scratch  # imports torch

    return learn_scratch(source, plan, seen, recipe, site)


def _settled(recipe: Recipe, source: Source, plan: Plan, folder: RunFolder) -> dict[str, Any]:
    """The plan's choices, and paths that hold from anywhere: with them the run can be resumed, or run again."""
    path = recipe.data.path or ""
    data = source.identity if Path(path).exists() else path  # a path, or the name of a set
    net = str(Path(plan.net).resolve()) if is_model_file(plan.net) else plan.net
    filled: dict[str, Any] = {"data.path": data, "net.name": net, "strategy": plan.strategy}
    for key in ("data.split", "data.decisions", "data.ood"):
        if recipe.value(key):
            filled[key] = str(Path(recipe.value(key)).resolve())
    if recipe.data.decisions:  # now, while it is what was read; its bytes, because a name may hold any line end
        content = Path(recipe.data.decisions).read_bytes()
        folder.write_text("decisions.csv", content.decode("utf-8", "surrogateescape"))
    return filled


def _leave(site: Site, source: Source, plan: Plan, recipe: Recipe, learned: Learned) -> Run:
    """Measure, and write everything that the run leaves: the model last, because where it is the run is finished."""
    folder, clock, progress, found = site.folder, site.clock, site.progress, learned.audit
    measured = learned.measured()
    metrics = {**measured.as_dict(), "engine": learned.engine, "precision": learned.precision}
    metrics |= _without_leaks(learned, measured) | _of_folds(learned)
    if learned.strangers:
        metrics["strangers"] = learned.strangers.as_dict()
    provenance = {
        "data": recipe.data.path,
        "images": len(learned.lots.rows("train")),
        "seed": recipe.seed,
        **learned.facts,
    }
    model = dataclasses.replace(learned.model, metrics=metrics, training=provenance, versions=_versions())
    folder.write_text(RECIPE, recipe.toml())
    folder.write_text("audit.json", json.dumps(found.as_dict(), indent=1))
    folder.write_text("split.csv", split_csv(found, learned.lots.parts, learned.lots.folds))
    with clock.stage("write the report"):
        page = run_report(source, plan, recipe, learned, measured, model, dict(clock.stages))
        folder.write_text(REPORT, render(page))
    with clock.stage("write the model"):
        write(folder.path / MODEL, model)
    if learned.curve:
        metrics = metrics | {"remarks": [remark.kind for remark in learned.remarks]}
    metrics = metrics | {"seconds": round(clock.total, 3)}
    site.log("done", {**metrics, "stages": {name: round(seconds, 3) for name, seconds in clock.stages.items()}})
    for finding in found.findings:
        progress.say(finding.line())
    for remark in learned.remarks[:REMARKS]:
        progress.say(remark.line())
    for note in learned.notes:
        progress.say(note)
    return Run(folder.path, model, measured, found, plan, metrics, learned.by_fold, learned.strangers)


def _of_folds(learned: Learned) -> dict[str, Any]:
    """Every fold's score, their mean and its interval, and what all folds come to together."""
    folds = learned.by_fold
    if not folds:
        return {}
    scores = [fold.score for fold in folds]
    known = [score for score in scores if math.isfinite(score)]  # a fold may hold no image with any label
    pooled, (low, high) = learned.cross_validated, mean_interval(known)
    low, high = max(0.0, low), high if pooled.task.kind == "number" else min(1.0, high)
    facts = {
        "scores": list(map(or_none, scores)),
        "mean": float(np.mean(known)) if known else None,
        "interval": [low, high] if len(known) > 1 else None,
        "pooled": or_none(pooled.score),
        "images": pooled.total,
    }
    return {"folds": facts}


def _without_leaks(learned: Learned, measured: Measured) -> dict[str, Any]:
    """The score on held-out images that are not also in training, where there are any such leaks."""
    if not measured.total or not learned.lots.measured_part:
        return {}
    clean = ~leaked(learned.audit, learned.lots.parts, learned.lots.measured_part)
    if clean.all():
        return {}
    without = measure(measured.part, measured.task, measured.answers[clean], measured.targets[clean])
    return {
        "leaks": int((~clean).sum()),
        "score_without_leaks": or_none(without.score),
        "total_without_leaks": without.total,
    }


def _versions() -> dict[str, str]:
    """Versions of what decides the answers, read without importing anything."""
    found = {"python": platform.python_version()}
    for name in ("striate", "numpy", "pillow", "torch", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
