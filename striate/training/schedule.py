"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from striate.errors import RequestError
from striate.recipe import Recipe
from striate.recipe.schedules import Cosine, OneCycle, Step, Triangular, WarmRestarts, WithWarmup

# One-cycle, as in Smith and Topin: the rise's share of the run, its start and end as a share of the peak,
# and how far momentum falls while the learning rate rises.
RISE, START, END, SWING = 0.3, 1 / 25, 1e-4, 0.1
STEP_EPOCHS = 4  # of a triangular cycle's half, where its length is not given; the paper advises 2 to 10


class Schedule:
    """Learning rate and momentum of every step of a run of `epochs` epochs with `steps` steps each.

    Sources: Goyal et al. 2017, arXiv:1706.02677, section 2.2 (warm-up); Loshchilov, Hutter 2017, arXiv:1608.03983,
    equation 5 (cosine, and warm restarts); Smith 2017, arXiv:1506.01186, section 3.1 (triangular); Smith, Topin 2017,
    arXiv:1708.07120 (one-cycle). A plateau's drops depend on the scores: `striate.training.techniques.plateau`.
    """

    def __init__(self, recipe: Recipe, epochs: int, steps: int) -> None:
        self.recipe, self.epochs, self.steps = recipe, epochs, steps
        self.total = epochs * steps
        # At most half of the run, or a short run would end before its learning rate has fallen.
        warmup = recipe.schedule.warmup_epochs if isinstance(recipe.schedule, WithWarmup) else 0.0
        self.warmup = min(round(warmup * steps), self.total // 2)

    def rate(self, step: int) -> float:
        """The learning rate of `step`, from 0 to the last of the run; never zero before the end."""
        return self.recipe.optimizer.peak * self.share(step)

    def share(self, step: int) -> float:
        """The same as a share of the peak. Raises RequestError for a step outside the run."""
        if not 0 <= step < self.total:
            raise RequestError(f"a run of {self.total} steps has steps 0 to {self.total - 1}, not {step}")
        schedule = self.recipe.schedule
        if isinstance(schedule, OneCycle):
            return self._one_cycle(step)
        if isinstance(schedule, Triangular):
            half = schedule.step_size or STEP_EPOCHS * self.steps
            return schedule.floor + (1 - schedule.floor) * (1 - abs((step % (2 * half)) / half - 1))
        if step < self.warmup:  # linear: the first step has 1 / warmup, the last the peak
            return (step + 1) / self.warmup
        if isinstance(schedule, Cosine):
            return _cosine(1.0, 0.0, (step - self.warmup) / (self.total - self.warmup))
        if isinstance(schedule, WarmRestarts):
            return self._restarted(schedule, (step - self.warmup) / self.steps)
        return self._dropped(schedule, step) if isinstance(schedule, Step) else 1.0

    def momentum(self, step: int) -> float:
        """The momentum of `step`: with one-cycle it falls as the learning rate rises, and rises again; otherwise
        constant."""
        momentum = self.recipe.optimizer.gradient_momentum
        if not isinstance(self.recipe.schedule, OneCycle):
            return momentum
        swing = min(SWING, momentum)
        rising, done = self._phase(step)
        return _cosine(momentum, momentum - swing, done) if rising else _cosine(momentum - swing, momentum, done)

    def _one_cycle(self, step: int) -> float:
        rising, done = self._phase(step)
        return _cosine(START, 1.0, done) if rising else _cosine(1.0, END, done)

    def _phase(self, step: int) -> tuple[bool, float]:
        """Whether the learning rate rises at `step`, and the progress of the rise or fall, 0 to 1."""
        top = max(1, round(RISE * self.total))
        if step < top:
            return True, step / top
        return False, (step - top) / max(1, self.total - 1 - top)

    def _dropped(self, schedule: Step, step: int) -> float:
        epoch = step / self.steps
        if schedule.step_epochs is not None:
            # A small tolerance, or rounding would keep twice 2.4 epochs from reaching 4.8.
            drops = math.floor(epoch / schedule.step_epochs + 1e-9)
        else:
            points = [drop * self.epochs if drop < 1 else drop for drop in schedule.drops]
            drops = sum(epoch >= point - 1e-9 for point in points)
        return schedule.gamma**drops

    def cycles(self, step: int) -> int:
        """How many periods of warm restarts are over after so many steps; 0 with other schedules."""
        schedule = self.recipe.schedule
        if not isinstance(schedule, WarmRestarts) or step <= self.warmup:
            return 0
        return self._period(schedule, (step - self.warmup) / self.steps)[0]

    def _restarted(self, schedule: WarmRestarts, epoch: float) -> float:
        """Of `epoch`s since the warm-up, in whole steps since the last restart."""
        _, begun, length = self._period(schedule, epoch)
        return _cosine(1.0, 0.0, (epoch - begun) / length)

    @staticmethod
    def _period(schedule: WarmRestarts, epoch: float) -> tuple[int, float, float]:
        """Of `epoch`s since the warm-up: how many periods are over, when the present one began, and its length."""
        number, begun, length = 0, 0.0, schedule.period
        while epoch >= begun + length - 1e-9:  # rounding would keep 0.1 + 0.2 epochs from reaching 0.3
            number, begun, length = number + 1, begun + length, length * schedule.period_factor
        return number, begun, length


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))
