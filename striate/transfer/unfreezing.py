"""Fine-tuning a pretrained net from the top: which stages, at which rate, from which epoch on, and their batch norms.

Sources: Howard, Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3 (discriminative rates, gradual unfreezing); Kumar et
al. 2022, arXiv:2202.10054 (the head first, or the first steps distort the pretrained features).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from striate.layers.batch_statistics import batch_norms, whole_set_statistics
from striate.nets.base import Net, Network
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates

OPENING = 1 / 3  # of the run: during it the stages are unfrozen one after another

HEAD = 0


def levels(net: Network) -> dict[str, int]:
    """How many stages below the head each parameter is, by its name.

    The head is 0, the last stage 1. Layers between the last feature map and the head belong to the last stage.
    """
    order = {name: place for place, name in enumerate(reversed(net.stages), 1)}
    order["head"] = HEAD
    return {name: order.get(name.partition(".")[0], 1) for name, _ in net.named_parameters()}


def rates(net: Network, unfreeze: int, decay: float) -> Rates:
    """Each parameter's learning rate multiplier: 1 for the head, `decay` times that of the stage above, 0 if frozen.

    The head and the top `unfreeze` stages are trained.
    """
    level = levels(net)
    return lambda name: decay ** level[name] if level[name] <= unfreeze else 0.0


def trained_stages(net: Network, unfreeze: int) -> list[str]:
    """The names of the stages that are trained, from the top."""
    return list(reversed(net.stages))[:unfreeze]


def unfreeze_epoch(level: int, unfreeze: int, epochs: int) -> int:
    """The epoch, from 0, in which the stage `level` below the head is unfrozen; `epochs`, so never, beyond `unfreeze`.

    The head and the last stage are trained from the first epoch on, because the head was fitted before.
    """
    if level > unfreeze:
        return epochs
    return min(epochs - 1, math.ceil(max(0, level - 1) * OPENING * epochs / max(1, unfreeze)))


class Unfreezing(Hook):
    """Unfreezes the stages of `net` one after another; frozen stages get no gradient and run as in prediction.

    It depends on the epoch alone, so it has no state to resume. batch_norm: of the frozen stages; "frozen" or
    "recalibrated": their statistics do not change; "trained": they follow the batches. In the trained stages the
    statistics are frozen too: scale and shift are trained, but a few dozen steps on small batches give worse statistics
    than ImageNet.
    """

    def __init__(self, net: Network, unfreeze: int, batch_norm: str) -> None:
        self.net, self.unfreeze, self.batch_norm = net, unfreeze, batch_norm
        self.levels = levels(net)

    def epoch_begins(self, loop: LoopState) -> None:
        """Unfreeze the stages of this epoch, and detach the rest from the gradient."""
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(loop.epoch >= unfreeze_epoch(self.levels[name], self.unfreeze, loop.epochs))
        for place, name in enumerate(reversed(self.net.stages), 1):
            stage = getattr(self.net, name)
            stage.train(loop.epoch >= unfreeze_epoch(place, self.unfreeze, loop.epochs))
            for norm in batch_norms(stage):
                norm.train(self.batch_norm == "trained" and place > self.unfreeze)

    def end(self, loop: LoopState) -> None:
        """Make all of the network trainable again."""
        self.net.requires_grad_(True)


@torch.no_grad()
def recalibrate_batch_norms(net: Net, unfreeze: int, batches: Iterable[Tensor]) -> None:
    """Recalibrate the batch norms of the frozen stages: mean and variance of these images in place of ImageNet's.

    batches: normalised, each [B, C, H, W], in one pass in which every frozen norm uses its batch's statistics. All else
    is as in prediction.
    """
    norms = [norm for place, name in enumerate(reversed(net.stages), 1) if place > unfreeze
             for norm in batch_norms(getattr(net, name))]  # fmt: skip
    net.eval()
    with whole_set_statistics(norms):
        for images in batches:
            net.features(images)
