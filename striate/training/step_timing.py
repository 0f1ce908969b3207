"""The fastest way to train a network on this machine: precision and compilation, by timing steps on a copy."""

from __future__ import annotations

import copy
import math
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from striate.errors import WorkError
from striate.recipe import Recipe
from striate.storage import cache_root, json_text, read_checked, sha256_of, write_checked
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.loop import preserved_state, train_step
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates
from striate.training.world import ALONE

STEPS = 4  # per trial; the first is a warm-up and is not counted
SHORT = 30.0  # seconds: a run that takes no longer is not worth a trial
PROGRAM = 2  # counts the changes of how a step is computed: what was measured before one is not used after it
LONG = 300.0  # seconds: from here on, the 40 s that a first compiling takes pay off, where it saves a seventh
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

    Nothing is timed for a run under half a minute, nor is compiling for one under five minutes. bfloat16 or compiling
    is chosen if a step takes at most nine tenths of the time. Compiling a network of the same layers, for the same
    images and batch, is tried once on a machine: the cache keeps what it gained, and what was compiled. `rates`,
    `hooks`: as in `fit`; the hooks are copied.
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
            known = _known_file(net, examples, recipe, precision)
            gain = _known(known)
            if gain is None:
                try:
                    taken = step(f"{precision}, compiled", precision, "yes")
                    # Timed again: a result is kept for all later runs, and the machine may have been busy before.
                    gain = taken / min(best, step(precision, precision, "no"))
                except Exception:  # without a C++ compiler, or for a network that cannot be compiled
                    gain = math.inf
                with suppress(WorkError):  # a cache that cannot be written only costs the next run its trial
                    write_checked(known, str(gain).encode())
            compiled = "yes" if gain < PAYS else "no"
    return StepTiming(precision, compiled, seconds)


def _known_file(net: nn.Module, examples: Examples, recipe: Recipe, precision: str) -> Path:
    """Where the gain of compiling is kept: by all that it depends on."""
    layers = [str(net), list(examples.input_size), recipe.train.batch, precision]
    machine = [PROGRAM, torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    return cache_root() / "steps" / f"{sha256_of(json_text([layers, machine, compiler]).encode())}"


def _known(file: Path) -> float | None:
    """The gain: seconds of a compiled step as a share of an uncompiled one's; None if it was not tried."""
    content = read_checked(file)
    return float(bytes(content)) if content is not None else None


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
