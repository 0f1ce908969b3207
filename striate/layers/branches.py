"""Paths side by side over the same map."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Branches(nn.ModuleDict):
    """Named paths that all see the same input; their outputs are concatenated, in order, by channels.

    The paths must agree on the size of their maps: it is they that pad. Input [N, C, H, W], output [N, C', h, w], where
    C' is the sum of the paths' channels. Source: Szegedy et al. 2014, arXiv:1409.4842, Figure 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.values()], 1)
