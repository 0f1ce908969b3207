"""The techniques of a step and of a run that the settings name, each a small hook: clipping, EMA, the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.recipe import Settings
from striate.training.hooks import Hook
from striate.training.run import Run
from striate.training.segments import plain_copy


def techniques(settings: Settings, *, validated: bool) -> list[Hook]:
    """The hooks that the settings ask for. Raises RequestError for what needs held-out images where there are none."""
    hooks: list[Hook] = []
    if settings.clip_norm:
        hooks.append(Clipping(settings.clip_norm))
    if settings.ema:
        hooks.append(Averaging(settings.ema))
    if settings.patience or settings.take == "best":
        if not validated:
            what = "patience" if settings.patience else "take = 'best'"
            raise RequestError(f"{what} needs held-out images: without them no epoch is better than another")
        hooks.append(Best(settings.patience))
    return hooks


class Clipping(Hook):
    """Scales a gradient down to length `norm` where it is longer (Pascanu et al. 2013, arXiv:1211.5063, section 3.2).

    The gradient of what is learnt: what has no share of the rate gathers one that nobody uses.

    With it one rate serves both a softmax and LeNet-5's distances, which otherwise diverge above 0.005.
    """

    name = "clipping"

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def gradients_ready(self, run: Run) -> None:
        learnt = [one for group in run.optimizer.param_groups for one in group["params"]]
        nn.utils.clip_grad_norm_(learnt, self.norm)


class Averaging(Hook):
    """Keeps an exponential average of the weights, validates by it, and leaves it (Polyak, Juditsky 1992).

    After step t the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that a short run is not left with where
    it began (as TensorFlow's ExponentialMovingAverage does). Buffers, such as running statistics, are averaged too;
    whole numbers are copied.
    """

    name = "average"

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.shadow: nn.Module | None = None

    def start(self, run: Run) -> None:
        self.shadow = plain_copy(run.net).eval().requires_grad_(False)
        run.eval_net = self.shadow

    @torch.no_grad()
    def step_done(self, run: Run) -> None:
        assert self.shadow is not None
        kept = min(self.decay, (1 + run.step) / (10 + run.step))
        mine, theirs = list(_state(self.shadow).values()), list(_state(run.net).values())
        real = [place for place, tensor in enumerate(mine) if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[place] for place in real], [theirs[place] for place in real], 1 - kept)
        for place in set(range(len(mine))) - set(real):
            mine[place].copy_(theirs[place])

    def end(self, run: Run) -> None:
        assert self.shadow is not None
        _put(run.net, _state(self.shadow))

    def tensors(self) -> dict[str, Tensor]:
        assert self.shadow is not None
        return _state(self.shadow)

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        assert self.shadow is not None
        _put(self.shadow, tensors)


class Best(Hook):
    """Leaves the weights of the epoch with the best held-out score, the first of equals.

    With `patience`, the run is over after so many epochs without a better one (early stopping: Prechelt 1998).
    """

    name = "best"

    def __init__(self, patience: int = 0) -> None:
        self.patience = patience
        self.epoch = 0
        self.score: float | None = None
        self.state: dict[str, Tensor] = {}

    def epoch_done(self, run: Run) -> None:
        found = run.reports[-1].score
        if (
            found is not None
            and not math.isnan(found)
            and (self.score is None or run.examples.task.metric.better(found, self.score))
        ):
            self.epoch, self.score = run.epoch, found
            self.state = {name: tensor.detach().clone() for name, tensor in _state(run.eval_net).items()}
        elif self.patience and run.epoch - self.epoch >= self.patience and run.epoch < run.epochs:
            run.over = True
            run.say(f"stopped after epoch {run.epoch}: none was better than epoch {self.epoch} in {self.patience}")

    def end(self, run: Run) -> None:
        if self.state:
            _put(run.net, self.state)

    def tensors(self) -> dict[str, Tensor]:
        return self.state

    def facts(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "score": self.score}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.state = dict(tensors)
        self.epoch, self.score = facts["epoch"], facts["score"]


def _state(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones once."""
    return dict(net.named_parameters()) | dict(net.named_buffers())


@torch.no_grad()
def _put(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, tensor in _state(net).items():
        tensor.copy_(state[name])
