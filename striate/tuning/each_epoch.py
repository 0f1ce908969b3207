"""Ending trials early: the score after each epoch, told by a hook of the training loop."""

from __future__ import annotations

from collections.abc import Callable

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState


class EachEpoch(Hook):
    """Calls `told` with the epochs done and the score on the validation part; what it raises ends the training."""

    def __init__(self, told: Callable[[int, float], None]) -> None:
        self.told = told

    def epoch_done(self, loop: LoopState) -> None:
        report = loop.reports[-1]
        if report.score is not None:
            self.told(report.epoch, report.score)
