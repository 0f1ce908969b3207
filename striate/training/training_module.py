"""The forward pass of a training step: the network with its auxiliary heads, and gradient checkpointing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.training.view import MicroBatch, View

LossFunction = Callable[
    [Tensor, Tensor], Tensor
]  # logits [N, outputs] and targets -> losses [N]: a `Loss`, or a custom one


class TrainingModule(nn.Module):
    """`net` in training: images [B, C, H, W] -> its logits, and those of its auxiliary heads if it has any.

    A module, because torch.compile and DistributedDataParallel wrap only a module's forward.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.auxiliary = hasattr(net, "forward_aux")

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images -> (logits, auxiliary logits)."""
        if not self.auxiliary:
            return self.net(x), []
        net: Any = self.net
        logits, others = net.forward_aux(x)
        return logits, list(others)


def loss_of(
    module: nn.Module, micro: MicroBatch, view: View, each: LossFunction, *, auxiliary: float, precision: str
) -> tuple[Tensor, Tensor]:
    """The logits [B, outputs] of a micro-batch, and its summed, weighted loss.

    The losses of auxiliary heads are multiplied by `auxiliary`.
    With mixup an image has two parts: the losses are mixed as the images are. Source of the auxiliary weight 0.3:
    Szegedy et al. 2014, arXiv:1409.4842, section 5.
    """
    with torch.autocast(micro.x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits, others = module(micro.x)
    total = torch.zeros((), device=micro.x.device)
    for rows, share, targets in micro.parts:
        scale = share * view.sample_weights[rows]
        total = total + (scale * each(logits, targets)).sum()
        for other in others:
            total = total + auxiliary * (scale * each(other, targets)).sum()
    return logits, total
