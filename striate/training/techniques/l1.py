"""The L1 penalty on weights; with weight decay, the elastic net."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState


@torch.no_grad()
def shrink(optimizer: Optimizer, penalty: float, *, everything: bool = False) -> None:
    """Move each weight towards 0 by rate * `penalty`, and no further than 0.

    This is the proximal step for the penalty `penalty` * |w|: unlike a step along its gradient it makes weights exactly
    0. With momentum m the rate is lr / (1 - m), by which a constant gradient moves a weight; with Adam and RMSprop it
    is decoupled from their scaling, as AdamW's weight decay is. Biases and scales of normalisation are left alone,
    unless `everything` is shrunk.
    Source: Duchi, Singer 2009, "Efficient online and batch learning using forward backward splitting".
    """
    for group in optimizer.param_groups:
        step = group["lr"] / (1 - group.get("momentum", 0.0)) * penalty
        for parameter in group["params"]:
            if everything or parameter.ndim >= 2:
                parameter.copy_(torch.nn.functional.softshrink(parameter, step))


class L1Penalty(Hook):
    """The L1 penalty after every step of the optimizer."""

    name = "l1"

    def __init__(self, penalty: float, *, everything: bool = False) -> None:
        self.penalty, self.everything = penalty, everything

    def step_done(self, loop: LoopState) -> None:
        shrink(loop.optimizer, self.penalty, everything=self.everything)
