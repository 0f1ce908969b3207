"""Train: open the data, train by the strategy that fits it, and write a run folder."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from striate.data.audit.audit import Audit
from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.augment.augmentation import Augmentation
from striate.data.opening import open_source
from striate.data.sources.base import Source, notes_of
from striate.data.splits import apply_split, split_csv
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.jobs.reporting.run_report import run_report
from striate.jobs.scalars import require_writer, write_scalars
from striate.learning.balance import check_balance
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.metrics import metrics_of
from striate.learning.planning import DataSummary, Plan, choose, needs_similarity, summarise
from striate.learning.processes import Processes, joined_processes
from striate.learning.result import TrainResult
from striate.learning.run_folder import (
    DECISIONS,
    MODEL,
    RECIPE,
    REPORT,
    FollowerFolder,
    RunFolder,
    first_logged,
    next_free,
    require_unfinished,
    unfinished,
)
from striate.learning.similarity import planned_by_similarity
from striate.learning.strategies import train_as_planned
from striate.model import Model, write
from striate.progress import Progress
from striate.recipe import Recipe
from striate.report.page import render
from striate.tasks import Evaluation
from striate.weights.models import is_model_file

REMARKS = 2  # on the training curve, printed after training; the report has them all

Place = str | os.PathLike[str] | None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its folder, why it was trained as it was, the result, and its figures as JSON values."""

    folder: Path
    plan: Plan
    result: TrainResult
    metrics: dict[str, Any]

    @property
    def model(self) -> Model:
        """The model as written to the run folder."""
        return self.result.model

    @property
    def evaluation(self) -> Evaluation:
        """The headline: the evaluation on images the model was not trained on."""
        return self.result.evaluation

    @property
    def audit(self) -> Audit:
        """What was found in the data."""
        return self.result.split.audit

    @property
    def predictor(self) -> Classifier:
        """The model, ready to predict."""
        return Classifier(self.model)

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "run": str(self.folder),
            "model": str(self.folder / MODEL),
            "report": str(self.folder / REPORT),
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
    """Train on `data`: a folder of class folders, a manifest, arrays, a pack, or a named set.

    `out`: the run folder, new or empty; by default a new one under runs/. `recipe` holds every choice; the arguments
    after it override its keys. `resume`: in place of all of them, the folder of a run that was stopped or killed, which
    then ends as if it had not been. `tensorboard`: also write its scalars to the run folder.
    Under torchrun the processes train together. The first one does all the rest and returns the run; the others leave
    by SystemExit(0) when it needs them no more. Restarted by torchrun, it resumes the run in `out`.
    Raises RequestError for what cannot be done as asked, WorkError where the work failed.
    """
    given = {"data": os.fspath(data) or None, "net": net, "strategy": strategy, "epochs": epochs, "seed": seed}
    asked = {key: value for key, value in given.items() if value is not None}
    if resume is not None and (asked or out or recipe):
        raise RequestError("a run is resumed with the recipe that it was started with: give resume alone")
    if tensorboard:
        require_writer()
    clock = Clock()
    with joined_processes() as processes:
        progress = (progress if processes.first else None) or Progress()
        recipe, resume = _started(asked, out, recipe, resume, processes)
        with clock.stage("open the data"):
            source, notes = open_as_asked(recipe)
            summary = summarise(source)
        plan = _planned(source, summary, recipe, resume, clock, processes)
        notes += _announced(source, plan, recipe, progress)
        with _claimed(resume, out, source, processes) as folder:
            context = RunContext(folder, clock, progress, processes)
            recipe = _recorded(recipe, source, plan, context, resumed=resume is not None)
            notes += ["This run was stopped and resumed: its seconds are those since then."] if resume else []
            with context.stoppable():
                result = train_as_planned(source, plan, summary, recipe, context)
                result = dataclasses.replace(result, notes=(*notes, *result.notes))
                run = _written(result, source, plan, context)
                if tensorboard:
                    write_scalars(folder.path / "tensorboard", result.history, run.metrics, clock.stages)
            return run


def open_as_asked(recipe: Recipe) -> tuple[Source, list[str]]:
    """The data as split and decided on by the files that the recipe names, and lines for the user.

    Raises RequestError for what does not go with the task of the data.
    """
    source = open_source(recipe.data)
    notes = list(notes_of(source))
    if recipe.split:  # first, because decisions may move an image to another part
        source, said = apply_split(source, Path(recipe.split))
        notes += said
    if recipe.decisions:
        source, said = apply_decisions(source, read_decisions(Path(recipe.decisions)))
        notes += said
    check_balance(source.task, recipe.balance)
    source.task.loss_name(recipe.loss)
    if recipe.augment != "auto":
        Augmentation.from_text(recipe.augment)  # a wrong word is refused even where nothing is augmented
    return source, notes


def _started(
    asked: dict[str, Any], out: Place, recipe: Recipe | None, resume: Place, processes: Processes
) -> tuple[Recipe, Place]:
    """The recipe, and the run to resume, if any; every process takes the first one's."""
    if processes.first:
        if processes.restarted and out is not None and unfinished(Path(out)):
            resume = out
        if resume is not None:
            require_unfinished(Path(resume))
            recipe = Recipe.from_file(Path(resume) / RECIPE)
        else:
            recipe = (recipe or Recipe()).changed(asked)
    shared = processes.broadcast((recipe, resume))
    assert shared[0] is not None
    return shared[0], shared[1]


def _planned(
    source: Source, summary: DataSummary, recipe: Recipe, resume: Place, clock: Clock, processes: Processes
) -> Plan:
    """What will be trained; every process takes the first one's plan."""
    plan = choose(summary, recipe.strategy, recipe.net)
    if resume is not None and processes.first:  # the recipe has the choice, and the log the reason
        plan = dataclasses.replace(plan, why=str(first_logged(Path(resume), "plan").get("why", plan.why)))
    if processes.first and needs_similarity(plan, summary, recipe.strategy):
        with clock.stage("measure similarity"):
            plan = planned_by_similarity(source, plan, summary, recipe)
    return processes.broadcast(plan)


def _announced(source: Source, plan: Plan, recipe: Recipe, progress: Progress) -> list[str]:
    """Say what is trained on and how; return lines on keys that are set and not used."""
    progress.say(f"{source.name}: {len(source.items):,} images {source.task.describe()}")
    progress.say(f"Strategy {plan.strategy} with {plan.net}: {plan.why}.")
    notes = []
    if idle := recipe.idle(plan.strategy):
        notes.append(f"Set, but not used by the strategy {plan.strategy}: {', '.join(idle)}")
    return notes + (recipe.unread() if plan.strategy != "features" else [])


def _claimed(resume: Place, out: Place, source: Source, processes: Processes) -> RunFolder:
    if not processes.first:
        return FollowerFolder(Path(resume or out or ""))
    if resume is not None:
        return RunFolder.reopened(Path(resume))
    return RunFolder(Path(out) if out else next_free(source.name))


def _recorded(recipe: Recipe, source: Source, plan: Plan, context: RunContext, *, resumed: bool) -> Recipe:
    """The recipe with the plan's choices and absolute paths, written down: with it the run resumes, or runs again."""
    context.log("resume" if resumed else "plan", {"data": recipe.data, **dataclasses.asdict(plan)})
    if resumed:
        if not context.folder.saved:
            context.progress.say("Nothing was saved yet: the run starts again.")
        return recipe
    data = source.identity if Path(recipe.data).exists() else recipe.data  # a path, or the name of a set
    net = str(Path(plan.net).resolve()) if is_model_file(plan.net) else plan.net
    filled: dict[str, Any] = {"data": data, "net": net, "strategy": plan.strategy}
    for key in ("split", "decisions", "strangers"):
        if getattr(recipe, key):
            filled[key] = str(Path(getattr(recipe, key)).resolve())
    if recipe.decisions:  # now, while it is what was read; its bytes, because a name may hold any line end
        content = Path(recipe.decisions).read_bytes()
        context.folder.write_text(DECISIONS, content.decode("utf-8", "surrogateescape"))
    return context.recorded(recipe.changed(filled))


def _written(result: TrainResult, source: Source, plan: Plan, context: RunContext) -> Run:
    """Write everything of the run: the model last, because where it exists the run is finished."""
    folder, clock, recipe, split = context.folder, context.clock, result.recipe, result.split
    metrics = metrics_of(result)
    training = {"data": recipe.data, "images": len(split.rows("train")), "seed": recipe.seed, **result.facts}
    model = dataclasses.replace(result.model, metrics=metrics, training=training, versions=_versions())
    result = dataclasses.replace(result, model=model)
    folder.write_text(RECIPE, recipe.toml())
    folder.write_text("audit.json", json.dumps(split.audit.as_dict(), indent=1))
    folder.write_text("split.csv", split_csv(split.audit, split.parts, split.folds))
    with clock.stage("write the report"):
        folder.write_text(REPORT, render(run_report(source, plan, result, dict(clock.stages))))
    with clock.stage("write the model"):
        write(folder.path / MODEL, model)
    remarks = result.evidence.remarks
    if result.history:
        metrics = metrics | {"remarks": [remark.kind for remark in remarks]}
    metrics = metrics | {"seconds": round(clock.total, 3)}
    context.log("done", {**metrics, "stages": {name: round(seconds, 3) for name, seconds in clock.stages.items()}})
    for line in (
        *(finding.line() for finding in split.audit.findings),
        *(remark.line() for remark in remarks[:REMARKS]),
        *result.notes,
    ):
        context.progress.say(line)
    return Run(folder.path, plan, result, metrics)


def _versions() -> dict[str, str]:
    """Versions of what decides the predictions, read without importing anything."""
    found = {"python": platform.python_version()}
    for name in ("striate", "numpy", "pillow", "torch", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
