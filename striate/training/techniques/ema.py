"""Exponential moving average (EMA) of the weights (Polyak, Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.segments import plain_copy
from striate.training.techniques.weights import copy_into, weights_of


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * net, for parameters and floating-point buffers; others are copied."""
    mine, theirs = list(weights_of(average).values()), list(weights_of(net).values())
    real = [place for place, tensor in enumerate(mine) if tensor.is_floating_point()]
    torch._foreach_lerp_([mine[place] for place in real], [theirs[place] for place in real], 1 - decay)
    for place in set(range(len(mine))) - set(real):
        mine[place].copy_(theirs[place])


class WeightAveraging(Hook):
    """Averages the weights after every step, evaluates the average, and keeps it as the final weights.

    After step t the decay is min(decay, (1 + t) / (10 + t)), so that a short run does not end near its initial weights
    (as TensorFlow's ExponentialMovingAverage does).
    """

    name = "average"

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: nn.Module | None = None

    def start(self, loop: LoopState) -> None:
        self.average = plain_copy(loop.net).eval().requires_grad_(False)
        loop.eval_net = self.average

    def step_done(self, loop: LoopState) -> None:
        assert self.average is not None
        update_average(self.average, loop.net, min(self.decay, (1 + loop.step) / (10 + loop.step)))

    def end(self, loop: LoopState) -> None:
        assert self.average is not None
        copy_into(loop.net, weights_of(self.average))

    def tensors(self) -> dict[str, Tensor]:
        assert self.average is not None
        return weights_of(self.average)

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        assert self.average is not None
        copy_into(self.average, tensors)
