"""What goes forward in a training step: the network with its auxiliary heads, its activations kept or made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.training.view import Shown, View

LossFunction = Callable[
    [Tensor, Tensor], Tensor
]  # logits [N, outputs] and targets -> losses [N]: a `Loss`, or an own one


class Learner(nn.Module):
    """`net` in training: images [B, C, H, W] -> its logits, and those of its auxiliary heads where it has any.

    One module, because what wraps a network, such as torch.compile or DistributedDataParallel, wraps its forward alone.
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
    learner: nn.Module, shown: Shown, view: View, each: LossFunction, *, auxiliary: float, precision: str
) -> tuple[Tensor, Tensor]:
    """The logits [B, outputs] of the images shown, and their summed, weighted loss.

    The losses of auxiliary heads are multiplied by `auxiliary`.

    Under mix-up an image has two parts: its losses are mixed as the images are. Source of the auxiliary weight 0.3:
    Szegedy et al. 2014, arXiv:1409.4842, section 5.
    """
    with torch.autocast(shown.x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits, others = learner(shown.x)
    total = torch.zeros((), device=shown.x.device)
    for rows, share in shown.parts:
        scale, targets = share * view.sample_weights[rows], view.targets[rows]
        total = total + (scale * each(logits, targets)).sum()
        for other in others:
            total = total + auxiliary * (scale * each(other, targets)).sum()
    return logits, total
