"""Targets standardised for training: a new head's outputs are near 0 with a spread of about 1; ages and prices are
not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.tasks import Standardisation


class StandardisedTarget(nn.Module):
    """`net`'s outputs times the scale plus the centre of the training targets, per output.

    Predictions are in the targets' units, while the head is trained at its initial scale. After training, `fold` moves
    both into the head's weights, and `net` alone gives the same predictions.
    """

    def __init__(self, net: nn.Module, standardisation: Standardisation) -> None:
        super().__init__()
        if not all(0 < value < float("inf") for value in standardisation.scale):
            raise RequestError(f"a scale is above 0, not {list(standardisation.scale)}")
        self.net = net
        self.register_buffer("centre", torch.tensor(standardisation.centre), persistent=False)
        self.register_buffer("scale", torch.tensor(standardisation.scale), persistent=False)

    centre: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> predictions [B, outputs]."""
        return self._restored(self.net(x))

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and the predictions of the auxiliary heads of `net`, where it has any."""
        if not hasattr(self.net, "forward_aux"):
            return self(x), []
        net: Any = self.net
        logits, others = net.forward_aux(x)
        return self._restored(logits), list(map(self._restored, others))

    @torch.no_grad()
    def fold(self, head: nn.Linear) -> None:
        """Fold scale and centre into `head`, the last layer of `net`, in place; this wrapper is then the identity.

        Raises RequestError for a head without a bias.
        """
        if not isinstance(head, nn.Linear) or head.bias is None:
            raise RequestError("only a linear head with a bias can take a scale and a centre")
        head.weight.mul_(self.scale[:, None])
        head.bias.mul_(self.scale).add_(self.centre)
        self.centre.zero_()
        self.scale.fill_(1)

    @torch.no_grad()
    def unfold(self, head: nn.Linear) -> None:
        """The inverse of `fold`: take scale and centre out of `head`, the last layer of `net`, in place."""
        head.weight.div_(self.scale[:, None])
        head.bias.sub_(self.centre).div_(self.scale)

    def _restored(self, logits: Tensor) -> Tensor:
        return logits * self.scale + self.centre
