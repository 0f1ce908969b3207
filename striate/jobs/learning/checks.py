"""What is checked before a net is trained, and said of its curve afterwards."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from striate.jobs.learning.net_job import NetJob, Row, small_step, threads_for, weightless
from striate.jobs.learning.weighing import weights_of
from striate.recipe import Recipe
from striate.recipe.optimizers import AUTO
from striate.training.diagnosis import Remark, diagnose, reach_of
from striate.training.finder import Found, find_rate
from striate.training.pace import fastest
from striate.training.sanity import first_loss, learn_by_heart

EVENT = "checks"  # in log.jsonl
OPEN = {"train.precision": "float32", "train.compile": "no"}  # keys that a trial of the pace settles


@dataclass(frozen=True)
class Checks:
    """lines: what was checked, for the user. found: the learning rate, where it was left to a trial."""

    lines: tuple[str, ...] = ()
    found: Found | None = None

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Checks:
        """From what `facts` gave."""
        lines, found = tuple(facts["lines"]), facts["finder"]
        if found is None:
            return cls(lines)
        rates, losses = tuple(found["rates"]), tuple(found["losses"])
        return cls(lines, Found(rates, losses, found["low"], found["high"], found["rate"]))

    def facts(self) -> dict[str, Any]:
        """As JSON values, for the log."""
        return {"lines": self.lines, "finder": None if self.found is None else dataclasses.asdict(self.found)}


def paced(job: NetJob, rows: list[int]) -> NetJob:
    """The job with the arithmetic of its steps chosen by trial on the images of `rows`, where the recipe is open.

    Settled at once, so that a resumed run and one that runs the recipe again choose the same.
    """
    site, recipe = job.site, job.recipe
    if "auto" not in (recipe.train.precision, recipe.train.compile):
        return job
    if small_step(job.net, recipe.train.batch):  # nothing to win, and the choice would be chance
        chosen = {key: plain for key, plain in OPEN.items() if recipe.value(key) == "auto"}
    else:
        with site.clock.stage("check"), threads_for(job.net, recipe.train.batch):
            begun, learner, examples, rates = job.prepared(rows)
            pace = fastest(learner, examples, recipe, rates=rates, hooks=begun.hooks)
        if len(pace.seconds) > 1:
            site.progress.say(pace.line())
        chosen = {"train.precision": pace.precision, "train.compile": pace.compile}
    return dataclasses.replace(job, recipe=site.settle(recipe, chosen))


def checked(job: NetJob, rows: list[int]) -> tuple[NetJob, Checks]:
    """The job with the learning rate found, where the recipe leaves it to a trial on the images of `rows`, and checked
    to learn a few of them by heart, where the recipe asks for that.

    A resumed run checks nothing again. Raises WorkError where no rate is found, or the few are not learnt.
    """
    site, recipe = job.site, job.recipe
    known = site.folder.logged(EVENT)
    if known is not None:
        checks = Checks.from_facts(known)
    elif _overfitted(recipe) or recipe.optimizer.lr == AUTO:
        with site.clock.stage("check"), threads_for(job.net, recipe.train.batch):
            checks = _tried(job, rows)
        site.log(EVENT, checks.facts())
    else:
        return job, Checks()
    if checks.found is not None and recipe.optimizer.lr == AUTO:
        job = dataclasses.replace(job, recipe=site.settle(recipe, {"optimizer.lr": checks.found.rate}))
    return job, checks


def _tried(job: NetJob, rows: list[int]) -> Checks:
    recipe, say = job.recipe, job.site.progress.say
    begun, learner, examples, rates = job.prepared(rows)
    lines, found = [], None

    def tell(line: str) -> None:
        lines.append(line)
        say(line)

    if _overfitted(recipe):
        tell(first_loss(learner, examples, recipe).line())
    if recipe.optimizer.lr == AUTO:
        found = find_rate(learner, examples, recipe, rates=rates, hooks=begun.hooks)
        recipe = recipe.updated({"optimizer.lr": found.rate})
        tell(found.line())
    if images := _overfitted(recipe):
        tell(learn_by_heart(learner, examples, recipe, images=images, rates=rates).line())
    return Checks(tuple(lines), found)


def _overfitted(recipe: Recipe) -> int:
    """How many images are to be overfitted as a check, 0 for none: a head that was fitted first knows them already."""
    return recipe.train.overfit_batch or 0 if recipe.strategy == "scratch" else 0


def diagnosed(job: NetJob, rows: list[int], curve: list[Row]) -> list[Remark]:
    """What the curve of a net trained on the images of `rows` says, the gravest first; nothing of a net that began as a
    published one: its curve starts where others end."""
    if job.recipe.strategy != "scratch":
        return []
    task = job.lots.audit.task
    weights = weights_of(task, job.lots.entries(rows), job.recipe.data.balance)
    heads = len(getattr(weightless(job.net, task, job.pixels), "auxiliary_heads", ()))
    reach = reach_of(task.kind, job.lots.targets(rows), job.recipe, outputs=task.outputs, weights=weights, heads=heads)
    return diagnose(curve, job.recipe, reach)
