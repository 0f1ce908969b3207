"""Gradient clipping by norm (Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063, section 3.2)."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from striate.training.hooks import Hook
from striate.training.loop_state import LoopState


def clip_gradients(optimizer: Optimizer, norm: float) -> None:
    """Scale the gradient of the optimizer's parameters down to norm `norm`, if it is larger.

    Only of these parameters: a frozen one may accumulate a gradient that is never used.
    """
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(trained, norm)


class GradientClipping(Hook):
    """Clips every batch's gradient to norm `norm`.

    With it the same learning rate works for a softmax and for LeNet-5's RBF distances, which otherwise diverge above
    0.005.
    """

    name = "clipping"

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def gradients_ready(self, loop: LoopState) -> None:
        clip_gradients(loop.optimizer, self.norm)
