"""The part of an exported graph that torch knows: from the cropped image to probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.inference.trunks import net_of
from striate.model import Model
from striate.nets.trunk import Trunk


class Answering(nn.Module):
    """Pixels [N, H, W, C], 0..255 and whole, of the network's own size -> probabilities [N, classes]."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.trunk = Trunk(net_of(model), model.pixels, embedding=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The probabilities."""
        return torch.softmax(self.trunk(pixels), dim=1)
