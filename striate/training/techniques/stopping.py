"""Stopping when the training loss no longer falls."""

from __future__ import annotations

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState


class StoppingRule(Hook):
    """Ends the run after an epoch whose training loss is not below that of any of the `epochs` epochs before.

    L(t) >= L(t - k) for all k = 1 .. K, the textbooks' rule for gradient descent. Its state is the loop's reports.
    """

    name = "stopping"

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch_done(self, loop: LoopState) -> None:
        *before, last = [report.loss for report in loop.reports]
        if len(before) >= self.epochs and last >= max(before[-self.epochs :]) and not loop.finished:
            loop.over = True
            loop.say(f"stopped after epoch {loop.epoch}: its loss is below none of the {self.epochs} epochs before")
