"""Measurements and checks before a net is trained, and the diagnosis of its training curve afterwards."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from striate.errors import WorkError
from striate.learning.balance import sample_weights
from striate.learning.history import Row
from striate.learning.memory import require_memory
from striate.learning.trainer import Ready, Trainer, on_meta, small_step, threads_for
from striate.recipe import Recipe
from striate.recipe.optimizers import AUTO
from striate.training.diagnosis import Remark, diagnose, loss_range
from striate.training.failure import NotFinite
from striate.training.finder import RangeTest, find_lr
from striate.training.overfit import first_loss, overfit_batch
from striate.training.step_timing import choose_fastest

EVENT = "checks"  # in log.jsonl
FINETUNED_RATE = 0.01  # benchmarks/finetune.py
TIMED = {"train.precision": "float32", "train.compile": "no"}  # keys chosen by timed steps; the defaults without timing


@dataclass(frozen=True)
class Checks:
    """lines: results of the checks, for the user. found: the learning-rate range test, if one found a rate."""

    lines: tuple[str, ...] = ()
    found: RangeTest | None = None

    @classmethod
    def from_facts(cls, facts: dict[str, Any] | None) -> Checks | None:
        """From what `facts` gave; None for anything else, as of a log that was edited."""
        try:
            lines, found = tuple(map(str, (facts or {})["lines"])), (facts or {})["finder"]
            if found is None:
                return cls(lines)
            rates, losses = (tuple(map(float, found[name])) for name in ("rates", "losses"))
            low, high, rate = (float(found[name]) for name in ("low", "high", "rate"))
            found_by = RangeTest(rates, losses, low, high, rate, int(found.get("batches", 1)))
            return cls(lines, found_by) if 0 < rate < math.inf else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def facts(self) -> dict[str, Any]:
        """As JSON values, for the log."""
        return {"lines": self.lines, "finder": None if self.found is None else dataclasses.asdict(self.found)}


def run_checks(trainer: Trainer, rows: list[int]) -> tuple[Trainer, Checks]:
    """The trainer with all choices that need timed or trial steps on the images at `rows`, and the checks.

    Precision and compiling are chosen by timing and the learning rate by a range test, unless they are set; a small
    batch is overfitted if the recipe requests it. The choices are recorded at once, so that a resumed run repeats no
    check. If no learning rate is found, the strategy's default is used, and a line says so. Raises RequestError for a
    batch that cannot fit into memory, WorkError if the small batch cannot be overfitted.
    """
    require_memory(trainer)
    context, recipe = trainer.context, _timed(trainer, rows)
    trainer = trainer.with_recipe(recipe)
    checks = Checks.from_facts(context.folder.logged(EVENT))
    if checks is None and (_overfitted(recipe) or recipe.optimizer.lr == AUTO):
        with context.stage("check"), threads_for(trainer.net, recipe.train.batch):
            checks = _tried(trainer, rows)
        context.log(EVENT, checks.facts())
    checks = checks or Checks()
    if recipe.optimizer.lr == AUTO:
        recipe = recipe.updated({"optimizer.lr": checks.found.rate if checks.found else default_rate(recipe)})
    return trainer.with_recipe(context.recorded(recipe)), checks


def default_rate(recipe: Recipe) -> float:
    """The peak learning rate of the recipe's strategy, where none is set or found."""
    return FINETUNED_RATE if recipe.strategy == "finetune" else recipe.optimizer.OWN_LR


def _timed(trainer: Trainer, rows: list[int]) -> Recipe:
    """The recipe with the precision and compiling of a training step chosen by timing, unless they are set."""
    context, recipe = trainer.context, trainer.recipe
    if "auto" not in (recipe.train.precision, recipe.train.compile):
        return recipe
    if small_step(trainer.net, recipe.train.batch):  # nothing to gain, and the choice would be random
        return recipe.updated({key: plain for key, plain in TIMED.items() if recipe.value(key) == "auto"})
    with context.stage("check"), threads_for(trainer.net, recipe.train.batch):
        ready = trainer.ready(rows)
        chosen = choose_fastest(ready.module, ready.examples, recipe, rates=ready.rates, hooks=ready.state.hooks)
    if len(chosen.seconds) > 1:
        context.progress.say(chosen.line())
    return recipe.updated({"train": {"precision": chosen.precision, "compile": chosen.compile}})


def _tried(trainer: Trainer, rows: list[int]) -> Checks:
    recipe, say = trainer.recipe, trainer.context.progress.say
    ready = trainer.ready(rows)
    lines: list[str] = []
    found: RangeTest | None = None

    def report(line: str) -> None:
        lines.append(line)
        say(line)

    if _overfitted(recipe):
        report(first_loss(ready.module, ready.examples, recipe).line())
    if recipe.optimizer.lr == AUTO:
        found, line = _range_test(trainer, ready)
        recipe = recipe.updated({"optimizer.lr": found.rate if found else default_rate(recipe)})
        report(line)
    if images := _overfitted(recipe):
        overfit = overfit_batch(ready.module, ready.examples, recipe, images=images, rates=ready.rates)
        report(overfit.line())
    return Checks(tuple(lines), found)


def _range_test(trainer: Trainer, ready: Ready) -> tuple[RangeTest | None, str]:
    """The learning-rate range test, and a line on its result; None if it found no rate. Raises NotFinite."""
    recipe = trainer.recipe
    try:
        found = find_lr(
            ready.module,
            ready.examples,
            recipe,
            rates=ready.rates,
            hooks=ready.state.hooks,
            loss=trainer.extensions.loss,
        )
    except NotFinite:  # before any step: the default would do no better
        raise
    except WorkError as error:
        return None, f"The default learning rate, {default_rate(recipe):g}, is used: {error}"
    return found, found.line()


def _overfitted(recipe: Recipe) -> int:
    """Size of the batch to overfit first, 0 for none: a head that was fitted before predicts it already."""
    return recipe.train.overfit_batch or 0 if recipe.strategy == "scratch" else 0


def curve_remarks(trainer: Trainer, rows: list[int], history: tuple[Row, ...]) -> tuple[Remark, ...]:
    """Findings in the training curve of a net trained on the images at `rows`, most serious first.

    None for a net that started from pretrained weights: its curve starts where others end.
    """
    if trainer.recipe.strategy != "scratch":
        return ()
    task, split = trainer.task, trainer.data.split
    weights = sample_weights(task, split.entries(rows), trainer.recipe.data.balance)
    net = on_meta(trainer.net, task, trainer.data.pixels, trainer.recipe.net.options)
    heads = len(getattr(net, "auxiliary_heads", ()))
    loss, times = trainer.loss(rows), 1 + trainer.recipe.loss.aux_weight * heads
    reach = loss_range(loss, split.targets(rows), outputs=task.outputs, weights=weights, times=times)
    return tuple(diagnose(list(history), trainer.recipe, reach))
