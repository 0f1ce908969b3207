"""The learning-rate finder: a trial run over rising learning rates, and the range over which its loss falls.

Source: Smith 2017, arXiv:1506.01186, section 3.3 (the range test), with the learning
rate rising by the same factor every batch.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import nn

from striate.errors import Diverged
from striate.recipe import Recipe
from striate.training.batches import SampleOrder
from striate.training.examples import Examples
from striate.training.failure import NotFinite
from striate.training.hooks import Hook
from striate.training.loop import preserved_state, train_step
from striate.training.loop_state import LoopState, Sums
from striate.training.optimizers import Rates
from striate.training.schedule import Schedule
from striate.training.techniques import techniques
from striate.training.training_module import LossFunction
from striate.training.world import ALONE

POINTS, LOWEST, HIGHEST = 200, 1e-8, 1.0
IMAGES = 16  # at least, per learning rate: the loss of a few is too noisy to show a fall
KEPT = 0.9  # of the averaged loss, per batch: single batches are noisy
LAG = 3.0  # the average shows a fall about ten batches late, a factor of three in the learning rate
STILL = 20  # first batches, at negligible learning rates: the loss without training, and its noise
EXPLODED = 2.0  # times the fall, back up; not in the first batches, whose loss moves by chance
SURE, FALL = 3.0, 0.02  # minimum of a fall: times the noise of the average, share of the loss
BEGUN, MOST = 0.1, 0.95  # shares of the whole fall that bound the interval


@dataclass(frozen=True)
class RangeTest:
    """The learning rates tried, rising, and the averaged loss at each, until the trial ended.

    Between `low` and `high` the loss falls; `rate` is between them, and is the one to train with. batches: at each
    learning rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    low: float
    high: float
    rate: float
    batches: int = 1

    def line(self) -> str:
        """The result, as a line for the user."""
        trained = len(self.rates) * self.batches
        return (
            f"Learning rate {self.rate:.2g} found: in a trial of {trained:,} batches the loss fell between "
            f"{self.low:.1g} and {self.high:.1g}"
        )


def find_lr(
    net: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    rates: Rates | None = None,
    hooks: Sequence[Hook] = (),
    loss: LossFunction | None = None,
) -> RangeTest:
    """The learning rate for `net`, found on a copy: `net` and the random state do not change.

    200 learning rates from 1e-8 to 1, one batch each (or several small ones, of 16 images together), with the recipe's
    optimizer and techniques and the loop's sample order and augmentation; the trial ends early if the loss explodes.
    `rates`, `hooks`, `loss`: as in `fit`; the hooks are copied.
    Raises Diverged if the loss falls at no learning rate.
    """
    trial = _Trial(net, examples, recipe, rates, hooks, loss)
    with preserved_state(trial.loop):
        losses = trial.losses()
    return read(trial.tried[: len(losses)], losses, trial.repeats)


def read(rates: Sequence[float], losses: Sequence[float], batches: int = 1) -> RangeTest:
    """Evaluate the losses of a trial, one per learning rate. Raises Diverged if there is no clear fall.

    batches: that were trained on at each rate.
    """
    curve = averaged(losses)
    still = losses[:STILL]
    start, noise = statistics.fmean(still), statistics.pstdev(still) * math.sqrt((1 - KEPT) / (1 + KEPT))
    # Not among the first batches: their average is over few values, and low by chance.
    last = min(range(STILL, len(curve)), key=curve.__getitem__, default=0)
    fall = start - curve[last]
    tried = (
        f"over {len(losses) * batches:,} batches, at learning rates from {rates[0]:.0e} to {rates[len(losses) - 1]:.2g}"
    )
    advice = "check with --overfit-batch whether the net trains at all and the labels fit, or set a learning rate"
    if len(losses) <= STILL or fall < max(SURE * noise, FALL * start):
        rose = len(losses) < POINTS
        seen = f"rose from {start:.3g} and had not fallen before" if rose else f"stayed at about {start:.3g}"
        raise Diverged(f"no learning rate found: {tried}, the loss {seen}; {advice}")
    low = max(place for place in range(last) if curve[place] > start - BEGUN * fall)
    high = min(place for place in range(last + 1) if curve[place] <= start - MOST * fall)
    best = float(f"{rates[high] / LAG:.2g}")  # the curve is no more precise
    best = min(max(best, rates[low]), rates[high])
    return RangeTest(tuple(rates[: len(losses)]), tuple(curve), rates[low], rates[high], best, batches)


class _Trial:
    """A run of POINTS steps on a copy of the network, over as many epochs as needed."""

    def __init__(
        self,
        net: nn.Module,
        examples: Examples,
        recipe: Recipe,
        rates: Rates | None,
        hooks: Sequence[Hook],
        loss: LossFunction | None,
    ) -> None:
        self.tried = np.geomspace(LOWEST, HIGHEST, POINTS).tolist()
        self.repeats = -(-IMAGES // recipe.train.batch)
        # Compiling would take longer than the trial, and it does not use the best epoch or averaged weights.
        recipe = recipe.for_trial().updated(
            {"optimizer.lr": HIGHEST, "schedule.name": "constant", "train.compile": "no"}
        )
        copied, own = copy.deepcopy((net, list(hooks)))  # at once: a hook may hold a part of the network
        hooks = [*techniques(recipe, validated=False), *own]
        self.loop = LoopState(copied, examples, recipe, hooks, rates, ALONE, loss)
        self.loop.schedule = _Rising(recipe, self.tried, self.repeats)

    def losses(self) -> list[float]:
        """The mean loss at every learning rate, until it explodes."""
        loop, found, lowest = self.loop, list[float](), math.inf
        for hook in loop.hooks:
            hook.start(loop)
        batches = self._batches()
        while len(found) < POINTS:
            loop.sums = Sums()
            try:
                for batch in islice(batches, self.repeats):
                    train_step(loop, batch)
            except NotFinite:
                if not found:
                    raise  # not caused by the learning rate
                break
            found.append(loop.sums.loss / loop.sums.seen)
            now = averaged(found)[-1]
            lowest = min(lowest, now)
            start = statistics.fmean(found[:STILL])
            if len(found) > STILL and now - lowest > EXPLODED * max(start - lowest, start / 2):
                break
        return found

    def _batches(self) -> Iterator[SampleOrder]:
        loop = self.loop
        while True:
            loop.net.train()
            for hook in loop.hooks:
                hook.epoch_begins(loop)
            yield from loop.batches_left()
            loop.epoch, loop.batch = loop.epoch + 1, 0


class _Rising(Schedule):
    """The learning rates to try, each for as many steps."""

    def __init__(self, recipe: Recipe, tried: Sequence[float], repeats: int) -> None:
        super().__init__(recipe, 1, len(tried) * repeats)
        self.tried, self.repeats = tried, repeats

    def rate(self, step: int) -> float:
        return self.tried[step // self.repeats]


def averaged(losses: Sequence[float]) -> list[float]:
    """The bias-corrected exponential moving average of a sequence."""
    total = weight = 0.0
    found = []
    for loss in losses:
        total, weight = KEPT * total + (1 - KEPT) * loss, KEPT * weight + (1 - KEPT)
        found.append(total / weight)
    return found
