"""Reducing the learning rate when training stops improving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.techniques.best_epoch import improves


class Plateau(Hook):
    """Multiplies the learning rate by `factor` after `patience` epochs without a better held-out score; repeatable.

    Without held-out images the training loss is watched. Source: He et al. 2015, arXiv:1512.03385, section 3.4 ("when
    the error plateaus").
    """

    name = "plateau"

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.drops = self.since = 0
        self.best: float | None = None

    def epoch_begins(self, loop: LoopState) -> None:
        loop.rate_scale = self.factor**self.drops

    def epoch_done(self, loop: LoopState) -> None:
        report, better = loop.reports[-1], loop.examples.task.metric.better
        watched = report.loss if report.score is None else report.score
        if improves(watched, self.best, (lambda a, b: a < b) if report.score is None else better):
            self.best, self.since = watched, 0
            return
        self.since += 1
        if self.since >= self.patience and not loop.finished:
            self.drops, self.since = self.drops + 1, 0
            loop.say(f"no better for {self.patience} epochs: the learning rate is multiplied by {self.factor:g}")

    def facts(self) -> dict[str, Any]:
        return {"drops": self.drops, "since": self.since, "best": self.best}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.drops, self.since, self.best = facts["drops"], facts["since"], facts["best"]
