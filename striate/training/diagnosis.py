"""Diagnosis of a learning curve: whether training worked, what went wrong, and what to do about it.

The measures against overfitting are ordered by how much they help: more data, augmentation, another
architecture, regularisation, a smaller net.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from striate.recipe import Recipe
from striate.recipe.schedules import WithWarmup
from striate.tasks import Loss

# Shares of the reducible loss: the loss at chance level minus the lowest possible one.
NOTHING = 0.97  # left at the end: nothing was learned
STILL = 0.05  # moved less: the loss was constant
RISE, TIMES = 0.1, 1.25  # above the lowest, and factor: the loss rises
WILD = 2.0  # after the first epoch, and much left at the end: the learning rate was too high in between
MUCH = 0.5  # left at the end: underfitting
DONE = 0.05  # less is left at the end: as good as fitted
WORSE, WORSENED = 0.05, 1.15  # held-out loss above its lowest, share and factor: overfitting; ...
KNOWN = 0.1  # ... or less left of the training loss, and much of the held-out one
JUMP, JUMPS = 0.03, 0.3  # a rise between epochs, the share of such rises, and of their sum: noise
SLOW = 0.015  # smaller fall from the second third to the last: a plateau; larger in the last epoch: still falling
FEWEST = 3  # epochs that make a curve
LOW = 100  # factor below the optimizer's default learning rate: a low one


@dataclass(frozen=True)
class LossRange:
    """The range of a training loss. chance: the loss of the best constant prediction; floor: that of perfect
    predictions, above 0 with label smoothing; both for one head. times: how many such losses the training loss adds up,
    with auxiliary heads.
    """

    chance: float
    floor: float = 0.0
    times: float = 1.0

    def left(self, loss: float) -> float:
        """The share of the reducible loss that is left in `loss`."""
        return (loss / self.times - self.floor) / (self.chance - self.floor)


@dataclass(frozen=True)
class Remark:
    """One finding. kind: for programs; what: a short text; seen: the evidence in the curve; do: advice."""

    kind: str
    what: str
    seen: str
    do: str

    def line(self) -> str:
        """As one line, for the terminal."""
        return f"{self.what}: {self.seen}; {self.do}"


def loss_range(
    loss: Loss, targets: NDArray[Any], *, outputs: int, weights: NDArray[Any] | None = None, times: float = 1.0
) -> LossRange:
    """The reach of the training loss on `targets`, as the loop takes them, for a number of outputs.

    `weights` [N]: of the images. times: as in `LossRange`.
    """
    return LossRange(loss.chance(targets, outputs, weights), loss.floor(targets, outputs, weights), times)


def diagnose(curve: Sequence[Mapping[str, float]], recipe: Recipe, reach: LossRange) -> list[Remark]:
    """The findings in a curve, most serious first; [] for a healthy run, or one of fewer than three epochs.

    A row has "loss" and "learning_rate" of an epoch, and "held_out_loss" where images were held out.
    """
    if len(curve) < FEWEST or not reach.chance > reach.floor or not all(map(math.isfinite, _of(curve, "loss"))):
        return []
    seen = _Seen(curve, recipe, reach)
    found = [sign(seen) for sign in (_flat, _diverging, _over_fitting, _noisy, _plateau, _under_fitting)]
    remarks = [remark for remark in found if remark]
    if remarks and remarks[0].kind in ("rate too low", "dead", "diverging"):
        return remarks[:1]  # the others are consequences
    return remarks


class _Seen:
    """A curve as shares of the reducible loss: `left` 1 is chance level, 0 perfect predictions."""

    def __init__(self, curve: Sequence[Mapping[str, float]], recipe: Recipe, reach: LossRange) -> None:
        self.recipe, self.rates = recipe, _of(curve, "learning_rate")
        self.loss = _of(curve, "loss")
        self.left = [reach.left(loss) for loss in self.loss]
        self.last = max(2, len(curve) // 4)  # epochs at the end that are taken together
        self.end = statistics.fmean(self.left[-self.last :])
        self.held_loss = _of(curve, "held_out_loss") if all("held_out_loss" in row for row in curve) else []
        self.held = [loss / reach.chance for loss in self.held_loss]

    @property
    def dropped(self) -> bool:
        """Whether the learning rate fell over the last third."""
        third = self.rates[-max(2, len(self.rates) // 3) :]
        return min(third) < 0.9 * max(self.rates)

    def falls(self) -> bool:
        """Whether the loss was lower after every epoch."""
        return all(after < before for before, after in itertools.pairwise(self.left))


def _flat(seen: _Seen) -> Remark | None:
    if min(seen.left[-seen.last :]) < NOTHING or max(seen.left) - min(seen.left) > STILL:
        # A loss that was far too high before it settled there is flat too.
        rested = max(seen.left[-seen.last :]) - min(seen.left[-seen.last :]) < STILL
        if not (rested and NOTHING <= seen.end <= 1 + STILL and seen.left[0] > seen.end):
            return None
    rate, own = seen.recipe.optimizer.peak, seen.recipe.optimizer.OWN_LR
    if rate < own / LOW or (rate < own and seen.falls()):
        stood = f"the training loss stayed at {seen.loss[-1]:.3g} from the first epoch to the last"
        do = f"raise the learning rate from {rate:g}, or use the learning-rate finder: optimizer.lr = 'auto'"
        return Remark("rate too low", "The learning rate is too low", stood, do)
    rest = f"the training loss settled at {seen.loss[-1]:.3g}, the loss of the same prediction for every image"
    causes = f"a learning rate of {rate:g} that is too high, a dead net, or labels that do not match the images"
    return Remark("dead", "Nothing was learned", rest, f"likely {causes}: train.overfit_batch = 16 shows which")


def _diverging(seen: _Seen) -> Remark | None:
    tail, before = min(seen.left[-seen.last :]), min(seen.left[: -seen.last])
    highest = max(seen.loss[1:])
    if tail > before + RISE and tail > TIMES * before:
        how = f"rose from {min(seen.loss[: -seen.last]):.3g} to {seen.loss[-1]:.3g}"
    elif tail > TIMES:
        how = f"ended at {seen.loss[-1]:.3g}, worse than chance"
    elif max(seen.left[1:]) > WILD and seen.end > MUCH:
        how = f"rose to {highest:.3g}, and the net has not recovered: it ended at {seen.loss[-1]:.3g}"
    else:
        return None
    rate, schedule = seen.recipe.optimizer.peak, seen.recipe.schedule
    warmup = f", a longer warm-up than {schedule.warmup_epochs:g} epochs" if isinstance(schedule, WithWarmup) else ""
    clip = "" if seen.recipe.train.clip_norm else ", or clip gradients: train.clip_norm = 1"
    what = f"use a lower learning rate than {rate:g}{warmup}{clip}"
    return Remark("diverging", "The training diverges", f"its loss {how}", what)


def _over_fitting(seen: _Seen) -> Remark | None:
    if not seen.held:
        return None
    best, end = min(range(len(seen.held)), key=seen.held.__getitem__), min(seen.held[-seen.last :])
    lowest = seen.held[best]
    if end > WORSENED * lowest and end > lowest + WORSE and seen.end < seen.left[best]:
        how = (
            f"after epoch {best + 1} the loss on held-out images rose from {seen.held_loss[best]:.3g} to "
            f"{seen.held_loss[-1]:.3g} while the training loss fell to {seen.loss[-1]:.3g}"
        )
    elif seen.end < KNOWN and end > MUCH:
        how = f"the training loss fell to {seen.loss[-1]:.3g}, on held-out images it stayed at {seen.held_loss[-1]:.3g}"
    else:
        return None
    measures = "more data, augmentation, another architecture, regularisation or dropout, a smaller net"
    return Remark("over-fitting", "The net overfits", how, f"what helps, most effective first: {measures}")


def _noisy(seen: _Seen) -> Remark | None:
    # Both losses, if there are two: augmentation makes the training loss noisy, overfitting makes the other one rise.
    if len(seen.left) <= 2 * FEWEST or not all(_jumps(one) for one in (seen.left, seen.held) if one):
        return None
    rate, batch = seen.recipe.optimizer.peak, seen.recipe.train.batch
    do = f"use a lower learning rate than {rate:g}, or a larger batch than {batch}"
    rose = f"in {_jumps(seen.left)} of {len(seen.left) - 1} epochs the training loss rose"
    return Remark("noisy", "The training is noisy", rose, do)


def _jumps(left: Sequence[float]) -> int:
    """How often a curve rose; 0 if that is negligible."""
    rises = [after - before for before, after in itertools.pairwise(left) if after > before + JUMP]
    many = len(rises) >= JUMPS * (len(left) - 1) and sum(rises) >= JUMPS * (max(left) - min(left))
    return len(rises) if many else 0


def _plateau(seen: _Seen) -> Remark | None:
    third = len(seen.left) // 3
    if third < 2 or seen.dropped or seen.end < DONE:
        return None
    before, after = (statistics.fmean(part) for part in (seen.left[-2 * third : -third], seen.left[-third:]))
    if abs(before - after) > SLOW:
        return None
    stayed = f"over its last {third} epochs the loss stayed at {seen.loss[-1]:.3g}, at the full learning rate"
    return Remark(
        "plateau",
        "The training has reached a plateau",
        stayed,
        "decay the learning rate: schedule.name = 'cosine'",
    )


def _under_fitting(seen: _Seen) -> Remark | None:
    held = min(seen.held[-seen.last :]) if seen.held else seen.end
    if min(seen.end, held) < MUCH:
        return None
    falling = ", and falling" if seen.left[-1] < seen.left[-2] - SLOW else ""
    rate = seen.recipe.optimizer.peak
    do = (
        f"train for more epochs than {len(seen.loss)}, at a higher learning rate than {rate:g} if the loss falls "
        "smoothly, or use a larger net, less augmentation, less regularisation"
    )
    ended = f"at the end the training loss is still {seen.loss[-1]:.3g}{falling}"
    return Remark("under-fitting", "The net underfits", ended, do)


def _of(curve: Sequence[Mapping[str, float]], key: str) -> list[float]:
    return [float(row[key]) for row in curve]
