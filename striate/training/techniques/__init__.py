"""Techniques of a training run, one file each: a function, then the hook that calls it."""

from __future__ import annotations

from striate.errors import RequestError
from striate.recipe import Recipe, schedules
from striate.training.hooks import Hook
from striate.training.techniques.best_epoch import BestEpoch
from striate.training.techniques.clipping import GradientClipping
from striate.training.techniques.ema import WeightAveraging
from striate.training.techniques.l1 import L1Penalty
from striate.training.techniques.path_schedule import PathSchedule
from striate.training.techniques.plateau import Plateau
from striate.training.techniques.stopping import StoppingRule

__all__ = [
    "BestEpoch", "GradientClipping", "L1Penalty", "PathSchedule", "Plateau", "StoppingRule", "WeightAveraging",
    "techniques",
]  # fmt: skip


def techniques(recipe: Recipe, *, validated: bool) -> list[Hook]:
    """The hooks of the recipe, and that of networks with a schedule of their own.

    Raises RequestError for one that needs held-out images if there are none.
    """
    hooks: list[Hook] = [PathSchedule()]
    if recipe.train.clip_norm:
        hooks.append(GradientClipping(recipe.train.clip_norm))
    if recipe.train.l1:
        hooks.append(L1Penalty(recipe.train.l1, everything=recipe.train.l1_norm_and_bias))
    if recipe.train.ema_decay:
        hooks.append(WeightAveraging(recipe.train.ema_decay))
    if isinstance(recipe.schedule, schedules.Plateau):
        hooks.append(Plateau(recipe.schedule.gamma, recipe.schedule.patience))
    if recipe.train.stop_after:
        hooks.append(StoppingRule(recipe.train.stop_after))
    if recipe.train.keeps_best:
        if not validated:
            what = "train.patience" if recipe.train.patience else "train.keep_checkpoint = 'best'"
            raise RequestError(f"{what} needs held-out images: without them epochs cannot be compared")
        hooks.append(BestEpoch(recipe.train.patience))
    return hooks
