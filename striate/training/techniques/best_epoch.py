"""Keeping the weights of the best epoch, and early stopping (Prechelt 1998, "Early stopping - but when?")."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.techniques.weights import copy_into, weights_of


def improves(score: float | None, best: float | None, better: Callable[[float, float], bool]) -> bool:
    """Whether a held-out score beats the best so far; on a tie the first one wins, and NaN or None never does."""
    return score is not None and not math.isnan(score) and (best is None or better(score, best))


class BestEpoch(Hook):
    """Keeps the weights of the epoch with the best held-out score, the first on a tie.

    With `patience`, the run ends after that many epochs without improvement.
    """

    name = "best"

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.epoch = 0
        self.score: float | None = None
        self.weights: dict[str, Tensor] = {}

    def epoch_done(self, loop: LoopState) -> None:
        score = loop.reports[-1].score
        if improves(score, self.score, loop.examples.task.metric.better):
            self.epoch, self.score = loop.epoch, score
            self.weights = {name: tensor.detach().clone() for name, tensor in weights_of(loop.eval_net).items()}
        elif self.patience and loop.epoch - self.epoch >= self.patience and loop.epoch < loop.epochs:
            loop.over = True
            loop.say(f"stopped after epoch {loop.epoch}: none was better than epoch {self.epoch} in {self.patience}")

    def end(self, loop: LoopState) -> None:
        if self.weights:
            copy_into(loop.net, self.weights)

    def tensors(self) -> dict[str, Tensor]:
        return self.weights

    def facts(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "score": self.score}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.weights = dict(tensors)
        self.epoch, self.score = facts["epoch"], facts["score"]
