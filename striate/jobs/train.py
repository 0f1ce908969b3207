"""Train: open the data, choose a strategy, train, and write a run folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import Data, open_source
from striate.data.sources.base import Source, notes_of, reading_of
from striate.data.splits import apply_split
from striate.errors import RequestError
from striate.jobs.run import Run, written
from striate.jobs.scalars import require_writer, write_scalars
from striate.learning.balance import check_balance
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.planning import DataSummary, Plan, check_request, choose, summarise
from striate.learning.processes import Processes, joined_processes
from striate.learning.run_folder import (
    DECISIONS,
    RECIPE,
    FollowerFolder,
    RunFolder,
    first_logged,
    next_free,
    require_unfinished,
    unfinished,
)
from striate.learning.strategies import train_as_planned
from striate.progress import Announcing, Progress
from striate.reading import TABLE, given_path, read_given
from striate.recipe import Recipe
from striate.recipe.optimizers import Optimizer
from striate.tasks.values import MetricFunction
from striate.transfer.classifiers import check_head
from striate.weights.models import is_model_file, net_keys

if TYPE_CHECKING:  # they import torch
    from striate.training.examples import AugmentFunction
    from striate.training.hooks import Hook
    from striate.training.training_module import LossFunction

_PATHS = ("data.path", "data.split", "data.decisions", "data.ood", "net.name")  # keys that may be paths
Place = str | os.PathLike[str] | None


def train(
    data: Data | None = None,
    *,
    out: Place = None,
    net: str | Callable[..., Any] | None = None,
    strategy: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | str | None = None,
    optimizer: str | Optimizer | None = None,
    augment: str | Mapping[str, Any] | AugmentFunction | None = None,
    loss: str | LossFunction | None = None,
    seed: int | None = None,
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    hooks: Sequence[Hook] = (),
    metrics: Mapping[str, MetricFunction] | None = None,
    resume: Place = None,
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train on `data`, evaluate on what is held out, and write a run folder.

    data: a path (a folder of class folders, a manifest, a pack, ...) or a named set; arrays (images, targets), uint8
      [N, H, W] or [N, H, W, 3]; a `torch.utils.data.Dataset` of (image, target); either of them by part, such as
      {"train": ..., "val": ...}; or a custom source: see `striate.data.opening`.
    out: the run folder, new or empty; by default a new one under runs/.
    net: a name, a model file, a net file (.toml), the folder of a run or a search, or the constructor of your own
      network, which is registered (see `striate.register`).
    strategy: "auto", "quick", "best", "features", "finetune" or "scratch". epochs, batch, seed: as the recipe keys of
      these names.
    lr: the peak learning rate, or "auto": found by a range test. optimizer: a name, or a table of `striate.recipe`.
    augment: a preset, keys of the table [augment], or a function (images uint8 [B, C, H, W], sample indices [B],
      seed, epoch) -> images. loss: a name, or a function (logits [N, outputs], targets) -> losses [N].
    recipe: a Recipe, nested mappings, or the path of a recipe file; the arguments above override its keys.
    hooks: see `striate.training.hooks`. metrics: custom functions (predictions, targets) -> float by name.
    resume: the folder of a run that was stopped or killed; the result is that of an uninterrupted run. No other choice
      is accepted; data from Python and custom hooks, losses, augmentations and metrics must be given again.
    tensorboard: also write scalars for TensorBoard to the run folder; a resumed run does if it was started so.

    Under torchrun the processes train together (data-parallel). The first one does everything else and returns the run;
    the others exit by SystemExit(0) when training ends. Restarted by torchrun, it resumes the run in `out`.
    Raises RequestError for an invalid request, WorkError if the work failed.
    """
    path = data if isinstance(data, (str, os.PathLike)) else None
    extensions = Extensions(
        tuple(hooks),
        None if isinstance(loss, str) else loss,
        augment if callable(augment) else None,
        dict(metrics or {}),
    )

    given_keys = {
        "data.path": os.fspath(path) if path else None,
        "net.name": net_key(net),
        "strategy": strategy,
        "train.epochs": epochs,
        "train.batch": batch,
        "optimizer.lr": lr,
        "augment": {"preset": augment} if isinstance(augment, str) else None if callable(augment) else augment,
        "loss.name": loss if isinstance(loss, str) else None,
        "seed": seed,
    }
    chosen: dict[str, Any] = {key: value for key, value in given_keys.items() if value is not None}
    if "net.name" in chosen:
        chosen |= net_keys(chosen["net.name"])
    if optimizer is not None:
        # First, because another optimizer resets the table to its defaults.
        chosen = ({"optimizer.name": optimizer} if isinstance(optimizer, str) else {"optimizer": optimizer}) | chosen
    if resume is not None and (chosen or out or recipe):
        raise RequestError(
            "a run is resumed with the recipe that it was started with: give resume without other choices"
        )
    if tensorboard:
        require_writer()
    given = None if path is not None or data is None else data
    folder, earlier = (given_path(one, what) if one else None for one, what in ((out, "--out"), (resume, "--resume")))
    request = _Request(chosen, recipe, folder, earlier, given, extensions)
    with joined_processes() as processes:
        return _train(request, (progress if processes.first else None) or Progress(), processes, tensorboard)


@dataclass(frozen=True, eq=False)
class _Request:
    """The arguments of `train`. data: data from Python, which no recipe can name."""

    chosen: Mapping[str, Any]
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None
    out: Path | None
    resume: Path | None
    data: Data | None
    extensions: Extensions


def _train(request: _Request, progress: Progress, processes: Processes, tensorboard: bool) -> Run:
    clock = Clock()
    recipe, resume = _started(request, processes)
    if resume is not None and first_logged(resume, "plan").get("tensorboard"):
        require_writer()
        tensorboard = True
    check_request(recipe)
    progress.stage("open the data")
    with clock.stage("open the data"):
        source, notes = open_for_training(recipe, (recipe.data.path or "") if request.data is None else request.data)
        if resume is not None and request.data is not None:
            _require_same_data(resume, source)
        summary = summarise(source)
    plan = _planned(summary, recipe, resume, processes)
    announcing = Announcing(progress, _announcement(source, plan))
    with _claimed(resume, request.out, source, processes) as folder:
        context = RunContext(folder, clock, announcing, processes)
        clock.earlier = folder.seconds_logged() if resume is not None else 0.0
        recipe = _recorded(recipe, source, plan, context, resumed=resume is not None, tensorboard=tensorboard)
        notes += ["This run was interrupted and resumed: its seconds are the sum of its parts."] if resume else []
        with context.stoppable():
            plan, result = train_as_planned(source, plan, summary, recipe, context, request.extensions)
            announcing.begin()
            notes += _idle(plan, recipe, source)
            result = dataclasses.replace(result, notes=(*notes, *result.notes))
            run = written(result, source, plan, context, request.extensions)
            if tensorboard:
                write_scalars(folder.path / "tensorboard", result.history, run.metrics, clock.stages)
        return run


def net_key(net: str | Callable[..., Any] | None) -> str | None:
    """The name of a network in a recipe; a custom constructor is registered."""
    if net is None or isinstance(net, str):
        return net
    from striate.nets.own import net_name

    return net_name(net)


def open_for_training(recipe: Recipe, data: Data) -> tuple[Source, list[str]]:
    """`data` with the split and the decisions of the recipe applied, and lines for the user.

    Raises RequestError for keys that do not fit the task of the data.
    """
    source = open_source(data, recipe.data.layout)
    notes = list(notes_of(source))
    if recipe.data.split:  # first, because decisions may move an image to another part
        source, lines = apply_split(source, Path(recipe.data.split))
        notes += lines
    if recipe.data.decisions:
        source, lines = apply_decisions(source, read_decisions(Path(recipe.data.decisions)))
        notes += lines
    if source.task.by_steps and recipe.data.folds:
        what = "masks and boxes" if source.task.dense else source.task.wording.many
        raise RequestError(f"--folds: {what} have no cross-validation; hold images out with data.held_out")
    check_balance(source.task, recipe.data.balance)
    check_head(source.task, recipe.head.kind)
    source.task.loss_name(recipe.loss.name)
    return source, notes


def _started(request: _Request, processes: Processes) -> tuple[Recipe, Path | None]:
    """The recipe, and the run to resume, if any; broadcast from the first process."""
    recipe, resume = Recipe(), request.resume
    if processes.first:
        if processes.restarted and request.out is not None and unfinished(request.out):
            resume = request.out
        if resume is not None:
            require_unfinished(resume)
            recipe = Recipe.from_file(resume / RECIPE)
            if recipe.data.path is None and request.data is None:
                raise RequestError(
                    f"the run {str(resume)!r} was started on data from Python, and needs the same data to resume: "
                    "striate.train(data, resume=...)"
                )
        else:
            recipe = as_recipe(request.recipe)
            if request.extensions.augment is not None and recipe.augment == Recipe().augment:
                recipe = recipe.updated({"augment.preset": "none"})  # replaced by the custom function
            recipe = recipe.updated(request.chosen)
        for key in _PATHS:
            if recipe.value(key):
                given_path(recipe.value(key), key)
    return processes.broadcast((recipe, resume))


def as_recipe(given: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None) -> Recipe:
    """A recipe, given as one, as nested mappings, as the path of a file, or as None for the default."""
    if isinstance(given, Recipe):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Recipe.from_file(Path(given))
    return Recipe.from_mapping(given or {})


def _require_same_data(run: Path, source: Source) -> None:
    """Raise RequestError if the run was started on other data than these, which were given from Python."""
    before = first_logged(run, "plan").get("identity", source.identity)
    if before != source.identity:
        raise RequestError(f"the run {str(run)!r} was started on other data, and can only be resumed on the same")


def _planned(summary: DataSummary, recipe: Recipe, resume: Path | None, processes: Processes) -> Plan:
    """The training plan; broadcast from the first process."""
    plan = choose(summary, recipe.strategy, recipe.net.name or "")
    if resume is not None and processes.first:  # the choice is in the recipe, the reason in the log
        told = first_logged(resume, "decision") or first_logged(resume, "plan")
        plan = dataclasses.replace(plan, why=str(told.get("why", plan.why)))
    return processes.broadcast(plan)


def _announcement(source: Source, plan: Plan) -> tuple[str, ...]:
    """The data, how they were read, and the strategy."""
    return (
        f"{source.name}: {len(source.items):,} images {source.task.describe()}",
        *(f"{line[0].upper()}{line[1:]}." for line in reading_of(source)),
        f"Strategy {plan.strategy} with {plan.net}: {plan.why}.",
    )


def _idle(plan: Plan, recipe: Recipe, source: Source) -> list[str]:
    """A line on keys that are set but not used, if there are any."""
    by_steps = source.task.by_steps and plan.strategy == "features"
    idle = recipe.idle("finetune" if by_steps else plan.strategy)
    if source.task.by_steps:  # their decoders are made with the network's options
        idle = [key for key in idle if key != "net.options"]
    return [f"Set, but not used by the strategy {plan.strategy}: {', '.join(idle)}"] if idle else []


def _claimed(resume: Path | None, out: Path | None, source: Source, processes: Processes) -> RunFolder:
    if not processes.first:
        return FollowerFolder(resume or out or Path())
    if resume is not None:
        return RunFolder.reopened(resume)
    return RunFolder(out or next_free(source.name))


def _recorded(
    recipe: Recipe, source: Source, plan: Plan, context: RunContext, *, resumed: bool, tensorboard: bool
) -> Recipe:
    """The recipe with the plan's choices and absolute paths, saved: the run can be resumed or repeated with it."""
    facts = {"data": recipe.data.path, "identity": source.identity, **dataclasses.asdict(plan)}
    facts |= {"tensorboard": True} if tensorboard else {}  # no choice of training, so in the log, not in the recipe
    context.log("resume" if resumed else "plan", facts)
    if resumed:
        if context.folder.damaged_lines:
            context.progress.say(f"log.jsonl had {context.folder.damaged_lines:,} damaged lines, which were dropped.")
        if not context.folder.saved:
            context.progress.say("Nothing was saved yet: the run starts again.")
        return recipe
    # A path, or the name of a set; unset for data given from Python.
    path = recipe.data.path
    data = source.identity if path and Path(path).exists() else path
    net = str(Path(plan.net).resolve()) if is_model_file(plan.net) else plan.net
    strategy = "auto" if plan.open else plan.strategy  # an open plan is decided after the head is fitted
    filled: dict[str, Any] = {"data.path": data, "net.name": net, "strategy": strategy}
    for key in ("data.split", "data.decisions", "data.ood"):
        if recipe.value(key):
            filled[key] = str(Path(recipe.value(key)).resolve())
    if recipe.data.decisions:  # copied now, before it can change; as bytes, because a name may contain any line end
        content = read_given(Path(recipe.data.decisions), "the decisions", TABLE)
        context.folder.write_text(DECISIONS, content.decode("utf-8", "surrogateescape"))
    return context.recorded(recipe.updated(filled))
