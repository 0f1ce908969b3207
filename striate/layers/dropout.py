"""Kinds of dropout that torch does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UnscaledDropout(nn.Module):
    """In training, each value is zero with probability `rate`, and the others stay as they are.

    For images: unlike the usual dropout, it does not multiply what is left by 1 / (1 - rate), so the largest value
    remains the largest. In evaluation, the identity, without any scale. Any shape.
    Source: Goodfellow et al. 2013, arXiv:1302.4389: `input_scales` of the authors' scripts.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * torch.full_like(x, 1 - self.rate).bernoulli()

    def extra_repr(self) -> str:
        return f"{self.rate:g}"
