"""The learning-rate finder: a trial run over rising rates, and what its loss says about which of them learn.

Source: Smith 2017, arXiv:1506.01186, section 3.3 (the range test), with the rate rising by the same factor every batch.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from striate.errors import WorkError
from striate.recipe import Recipe
from striate.training.batches import SampleOrder
from striate.training.examples import Examples
from striate.training.failure import NotFinite
from striate.training.hooks import Hook
from striate.training.learner import LossFunction
from striate.training.loop import learn, left_as_it_was
from striate.training.loop_state import LoopState, Sums
from striate.training.optimizers import Rates
from striate.training.schedule import Schedule
from striate.training.techniques import techniques
from striate.training.world import ALONE

POINTS, LOWEST, HIGHEST = 200, 1e-8, 1.0
KEPT = 0.9  # of the averaged loss, a batch: single batches are noisy
LAG = 3.0  # the average shows a fall some ten batches, a factor of three in the rate, after the rate that began it
STILL = 20  # first batches, at rates that move nothing: what the loss is without learning, and how noisy
EXPLODED = 2.0  # times the way down, back up; not in the first batches, whose loss moves by chance
SURE, FALL = 3.0, 0.02  # what a fall must be at least: times the noise of the average, share of the loss
BEGUN, MOST = 0.1, 0.95  # shares of the whole fall between which the interval lies


@dataclass(frozen=True)
class Found:
    """Rates that were tried, rising, and the averaged loss at each, as far as the trial went.

    Between `low` and `high` the loss falls; `rate` lies between them, and is what to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    low: float
    high: float
    rate: float

    def line(self) -> str:
        """What was found, for the user."""
        return (
            f"Learning rate {self.rate:.2g} found: in a trial of {len(self.rates)} batches the loss fell "
            f"between {self.low:.1g} and {self.high:.1g}"
        )


def find_rate(
    net: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    rates: Rates | None = None,
    hooks: Sequence[Hook] = (),
    loss: LossFunction | None = None,
) -> Found:
    """The learning rate to train `net` with, tried on a copy: `net` and the random state are left as they were.

    200 rates from 1e-8 to 1, one batch each, with the recipe's optimizer and techniques and in the loop's own order
    and augmentation; the trial ends early where the loss explodes. `rates`, `hooks`, `loss`: as in `fit`; the
    hooks are copied, too.
    Raises WorkError where the loss falls at no rate, and so nothing can be found.
    """
    trial = _Trial(net, examples, recipe, rates, hooks, loss)
    with left_as_it_was(trial.loop):
        losses = trial.losses()
    return read(trial.tried[: len(losses)], losses)


def read(rates: Sequence[float], losses: Sequence[float]) -> Found:
    """What the losses of a trial say, one a rate. Raises WorkError where there is no clear fall."""
    curve = averaged(losses)
    still = losses[:STILL]
    start, noise = statistics.fmean(still), statistics.pstdev(still) * math.sqrt((1 - KEPT) / (1 + KEPT))
    # Not among the first batches: there the average is of few, and low by chance.
    last = min(range(STILL, len(curve)), key=curve.__getitem__, default=0)
    fall = start - curve[last]
    tried = f"over {len(losses)} batches, at rates from {rates[0]:.0e} to {rates[len(losses) - 1]:.2g}"
    advice = (
        "see with --overfit-batch whether the net trains at all and whether the labels fit, or give a learning rate"
    )
    if len(losses) <= STILL or fall < max(SURE * noise, FALL * start):
        rose = len(losses) < POINTS
        seen = f"rose from {start:.3g} and had not fallen before" if rose else f"stayed at about {start:.3g}"
        raise WorkError(f"no learning rate found: {tried}, the loss {seen}; {advice}")
    low = max(place for place in range(last) if curve[place] > start - BEGUN * fall)
    high = min(place for place in range(last + 1) if curve[place] <= start - MOST * fall)
    best = float(f"{rates[high] / LAG:.2g}")  # the curve does not tell more
    best = min(max(best, rates[low]), rates[high])
    return Found(tuple(rates[: len(losses)]), tuple(curve), rates[low], rates[high], best)


class _Trial:
    """A run of POINTS steps on a copy of the network, over as many epochs as that takes."""

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
        # Compiling would take longer than the trial, and the best epoch and the averaged weights are of no use to it.
        recipe = recipe.for_trial().updated(
            {"optimizer.lr": HIGHEST, "schedule.name": "constant", "train.compile": "no"}
        )
        copied, own = copy.deepcopy((net, list(hooks)))  # at once: a hook may hold a part of the network
        hooks = [*techniques(recipe, validated=False), *own]
        self.loop = LoopState(copied, examples, recipe, hooks, rates, ALONE, loss)
        self.loop.schedule = _Rising(recipe, self.tried)

    def losses(self) -> list[float]:
        """The mean loss of every batch, until it explodes."""
        loop, found, lowest = self.loop, list[float](), math.inf
        for hook in loop.hooks:
            hook.start(loop)
        for batch in self._batches():
            loop.sums = Sums()
            try:
                learn(loop, batch)
            except NotFinite:
                if not found:
                    raise  # no rate has to do with it
                break
            found.append(loop.sums.loss / loop.sums.seen)
            now = averaged(found)[-1]
            lowest = min(lowest, now)
            start = statistics.fmean(found[:STILL])
            exploded = len(found) > STILL and now - lowest > EXPLODED * max(start - lowest, start / 2)
            if len(found) == POINTS or exploded:
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
    """The rates to be tried, one a step."""

    def __init__(self, recipe: Recipe, tried: Sequence[float]) -> None:
        super().__init__(recipe, 1, len(tried))
        self.tried = tried

    def rate(self, step: int) -> float:
        return self.tried[step]


def averaged(losses: Sequence[float]) -> list[float]:
    """The exponential average of a sequence up to each place, without the pull of where it starts (bias-corrected)."""
    total = weight = 0.0
    found = []
    for loss in losses:
        total, weight = KEPT * total + (1 - KEPT) * loss, KEPT * weight + (1 - KEPT)
        found.append(total / weight)
    return found
