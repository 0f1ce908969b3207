"""The fastest way to train a network on this machine: precision and compilation, by timing steps on a copy."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from torch import nn

from striate.recipe import Recipe
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.loop import preserved_state, train_step
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates
from striate.training.world import ALONE

STEPS = 4  # per trial; the first is a warm-up and is not counted
SHORT = 30.0  # seconds: a run that takes no longer is not worth a trial
LONG = 1200.0  # seconds: from here on, the minute that compiling takes may pay off
PAYS = 0.9  # a choice must be at least this much faster, because it changes the last bits of the weights


@dataclass(frozen=True)
class StepTiming:
    """What was chosen, and why. seconds: per step, by setting tried; empty if the recipe fixes both."""

    precision: str
    compile: str
    seconds: dict[str, float]

    def line(self) -> str:
        """The choice and the timings behind it, as a line for the user."""
        tried = ", ".join(f"{1000 * taken:.3g} ms in {name}" for name, taken in self.seconds.items())
        compiled = ", compiled" if self.compile == "yes" else ""
        return f"Training in {self.precision}{compiled}: a step takes {tried}"


def choose_fastest(
    net: nn.Module, examples: Examples, recipe: Recipe, *, rates: Rates | None = None, hooks: Sequence[Hook] = ()
) -> StepTiming:
    """The recipe's `train.precision` and `train.compile` where they are set, otherwise by timing; `net` is unchanged.

    Nothing is timed for a run under half a minute, nor is compiling for one under twenty minutes. bfloat16 or compiling
    is chosen if a step takes at most nine tenths of the time. `rates`, `hooks`: as in `fit`; the hooks are copied.
    """
    precision, compiled = recipe.train.precision, recipe.train.compile
    seconds: dict[str, float] = {}

    def step(name: str, precision: str, compiled: str) -> float:
        changed = recipe.updated({"train": {"precision": precision, "compile": compiled}})
        seconds[name] = _step_seconds(net, examples, changed, rates, hooks)
        return seconds[name]

    if "auto" not in (precision, compiled):
        return StepTiming(precision, compiled, {})
    first = "bfloat16" if precision == "bfloat16" else "float32"
    best = step(first, first, "no")
    steps = recipe.train.chosen_epochs(len(examples)) * -(-len(examples) // recipe.train.batch)
    if precision == "auto":
        precision = "float32"
        if steps * best > SHORT and (taken := step("bfloat16", "bfloat16", "no")) < PAYS * best:
            precision, best = "bfloat16", taken
    if compiled == "auto":
        compiled = "no"
        if steps * best > LONG:
            try:
                compiled = "yes" if step(f"{precision}, compiled", precision, "yes") < PAYS * best else "no"
            except Exception:
                compiled = "no"
    return StepTiming(precision, compiled, seconds)


def _step_seconds(
    net: nn.Module, examples: Examples, recipe: Recipe, rates: Rates | None, hooks: Sequence[Hook]
) -> float:
    """The minimum time of a step in seconds, without the first."""
    recipe = recipe.for_trial().updated({"optimizer.lr": 1e-6})
    copied, own = copy.deepcopy((net, list(hooks)))  # at once: a hook may hold a part of the network
    loop = LoopState(copied, examples, recipe, own, rates, ALONE)
    taken = []
    with preserved_state(loop):
        copied.train()
        for hook in loop.hooks:
            hook.epoch_begins(loop)
        for batch in islice(loop.batches_left(), STEPS):
            begun = time.perf_counter()
            train_step(loop, batch)
            taken.append(time.perf_counter() - begun)
    return min(taken[1:] or taken)
