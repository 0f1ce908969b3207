"""Parallel paths over the same map."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Branches(nn.ModuleDict):
    """Named paths with the same input; their outputs are concatenated, in order, by channels.

    The output maps of all paths must have the same size; padding is up to the paths. Input [N, C, H, W], output [N, C',
    h, w], where C' is the sum of the paths' channels. Source: Szegedy et al. 2014, arXiv:1409.4842, Figure 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.values()], 1)
