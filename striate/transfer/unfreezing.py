"""Learning a pretrained net anew from the top: which stages, how fast, from which epoch on, and what their norms do.

Sources: Howard, Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3 (discriminative rates, gradual unfreezing); Kumar et
al. 2022, arXiv:2202.10054 (the head first, or the first steps spoil what the net knows).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.nets.base import Net
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates

OPENING = 1 / 3  # of the run: in it the stages open, one after another

HEAD = 0


def levels(net: Net) -> dict[str, int]:
    """How many stages below the head each parameter is, by its name.

    The head is 0, the last stage 1. What stands between the last map and the head is learnt with the last stage.
    """
    order = {name: place for place, name in enumerate(reversed(net.stages), 1)}
    order["head"] = HEAD
    return {name: order.get(name.partition(".")[0], 1) for name, _ in net.named_parameters()}


def rates(net: Net, unfreeze: int, decay: float) -> Rates:
    """Each parameter's share of the learning rate: 1 for the head, `decay` times that of the stage above, 0 if frozen.

    The head and `unfreeze` stages are learnt.
    """
    level = levels(net)
    return lambda name: decay ** level[name] if level[name] <= unfreeze else 0.0


def learnt_stages(net: Net, unfreeze: int) -> list[str]:
    """The names of the stages that are learnt, from the top."""
    return list(reversed(net.stages))[:unfreeze]


def opens(level: int, unfreeze: int, epochs: int) -> int:
    """The epoch, from 0, in which the stage `level` below the head begins to be learnt; never, below `unfreeze`.

    The head and the last stage are learnt from the first epoch on, because the head has been fitted before.
    """
    if level > unfreeze:
        return epochs
    return min(epochs - 1, math.ceil(max(0, level - 1) * OPENING * epochs / max(1, unfreeze)))


class Unfreezing(Hook):
    """Opens the stages of `net` one after another; what is closed is below the gradient and as in prediction.

    It works from the run's epoch alone, so a resumed run needs nothing of it. batch_norm: of frozen stages, "frozen"
    or "recalibrated": their statistics do not move; "trained": they follow the batches. Those of the stages that are
    trained are frozen too: their scale and shift are trained, but a few dozen steps on small batches make worse
    statistics than ImageNet did.
    """

    def __init__(self, net: Net, unfreeze: int, batch_norm: str) -> None:
        self.net, self.unfreeze, self.batch_norm = net, unfreeze, batch_norm
        self.levels = levels(net)

    def epoch_begins(self, loop: LoopState) -> None:
        """Open what is to be open in this epoch, and put the rest out of the gradient's way."""
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(loop.epoch >= opens(self.levels[name], self.unfreeze, loop.epochs))
        for place, name in enumerate(reversed(self.net.stages), 1):
            stage = getattr(self.net, name)
            stage.train(loop.epoch >= opens(place, self.unfreeze, loop.epochs))
            for norm in _norms(stage):
                norm.train(self.batch_norm == "trained" and place > self.unfreeze)

    def end(self, loop: LoopState) -> None:
        """Leave a network like any other: all of it can be learnt."""
        self.net.requires_grad_(True)


@torch.no_grad()
def measure_norms(net: Net, unfreeze: int, batches: Iterable[Tensor]) -> None:
    """Put the mean and variance of these images into the batch norms of the frozen stages, in place of ImageNet's.

    batches: of [B, C, H, W], as the net sees them. Each norm is given the average over the batches, in one pass in
    which every frozen norm goes by its batch.
    """
    norms = [norm for place, name in enumerate(reversed(net.stages), 1) if place > unfreeze
             for norm in _norms(getattr(net, name))]  # fmt: skip
    with _averaging(net, norms):
        for images in batches:
            net.features(images)


@contextmanager
def _averaging(net: Net, norms: list[_BatchNorm]) -> Iterator[None]:
    """Within it, the norms take the plain average of the statistics of all batches; all else is as in prediction."""
    momenta = [norm.momentum for norm in norms]
    net.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        net.eval()


def _norms(module: nn.Module) -> list[_BatchNorm]:
    return [found for found in module.modules() if isinstance(found, _BatchNorm)]
