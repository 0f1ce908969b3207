"""Numbers in their own units: a head starts near nought with a spread of about one, ages and prices do not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError


class InUnits(nn.Module):
    """`net`'s answers times `unit`, plus `origin`; in training, the mean and the deviation of the targets.

    So every answer counts in the target's units while the head learns at the scale it starts from. Afterwards `fold`
    puts both into the head's weights, and `net` alone gives the same answers.
    """

    def __init__(self, net: nn.Module, *, origin: float, unit: float) -> None:
        super().__init__()
        if not 0 < unit < float("inf"):
            raise RequestError(f"a unit is above 0, not {unit}")
        self.net, self.origin, self.unit = net, origin, unit

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> numbers [B, 1]."""
        scores: Tensor = self.net(x)
        return scores * self.unit + self.origin

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and the numbers of the auxiliary heads of `net`, where it has any."""
        if not hasattr(self.net, "forward_aux"):
            return self(x), []
        net: Any = self.net
        scores, others = net.forward_aux(x)
        return scores * self.unit + self.origin, [other * self.unit + self.origin for other in others]

    @torch.no_grad()
    def fold(self, head: nn.Linear) -> None:
        """Put unit and origin into `head`, the last layer of `net`, in place; this wrapper then changes nothing more.

        Raises RequestError for a head without a bias.
        """
        if not isinstance(head, nn.Linear) or head.bias is None:
            raise RequestError("only a linear head with a bias can take a unit and an origin")
        head.weight.mul_(self.unit)
        head.bias.mul_(self.unit).add_(self.origin)
        self.origin, self.unit = 0.0, 1.0

    @torch.no_grad()
    def unfold(self, head: nn.Linear) -> None:
        """Take unit and origin out of `head`, the last layer of `net`, in place: what `fold` undoes."""
        head.weight.div_(self.unit)
        head.bias.sub_(self.origin).div_(self.unit)
