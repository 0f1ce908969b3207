"""One file per strategy; each composes the parts of `striate.learning` into `train(...) -> TrainResult`."""

from __future__ import annotations

import dataclasses

from striate.data.sources.base import Source
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.planning import DataSummary, Plan
from striate.learning.processes import Processes
from striate.learning.result import TrainResult
from striate.recipe import Recipe


def train_as_planned(
    source: Source,
    plan: Plan,
    summary: DataSummary,
    recipe: Recipe,
    context: RunContext,
    extensions: Extensions,
) -> tuple[Plan, TrainResult]:
    """Train by the strategy of the plan, and return it as it was carried out: an open plan is decided by the head.

    Raises RequestError for data that cannot be trained on.
    """
    if not source.task.by_steps:  # masks, boxes and captions are learned by gradient steps, whatever the strategy
        extensions.require_gradient_steps(plan.strategy)
    if plan.strategy == "scratch":
        from striate.learning.strategies import scratch  # imports torch

        return plan, scratch.train(source, plan, summary, recipe, context, extensions)
    context = _single_process(context)
    if source.task.dense:
        from striate.learning.strategies import dense  # imports torch

        return plan, dense.train(source, plan, summary, recipe, context, extensions)
    if source.task.searched:
        from striate.learning.strategies import captions  # imports torch

        return plan, captions.train(source, plan, recipe, context, extensions)
    if plan.strategy == "finetune":
        from striate.learning.strategies import finetune  # imports torch

        return plan, finetune.train(source, plan, recipe, context, extensions)
    if plan.open:
        from striate.learning.strategies import automatic

        return automatic.train(source, plan, recipe, context, extensions)
    from striate.learning.strategies import features

    return plan, features.train(source, plan, recipe, context, extensions)


def _single_process(context: RunContext) -> RunContext:
    """The context of a strategy that runs in one process: the others end here."""
    if (world := context.processes.world) is not None:
        context.progress.say(f"This strategy runs in one process: the others of the {world.size} end here.")
    context.processes.others_end()
    return dataclasses.replace(context, processes=Processes())
