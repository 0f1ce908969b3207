"""Kinds of dropout that torch does not have."""

from __future__ import annotations

import math

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


class AlphaDropout(nn.Module):
    """Dropout after SELU: in training each value is, with probability `rate`, SELU's lowest, and all are then scaled
    and shifted, so that mean 0 and variance 1 are kept. In evaluation, the identity. Any shape.

    With q = 1 - rate and the lowest value l: a x + b for the kept, a l + b for the others, where a is
    (q + l^2 q (1 - q))^-1/2 and b is -a (1 - q) l. The same as torch's, which cannot be exported everywhere.
    Source: Klambauer et al. 2017, arXiv:1706.02515, section "New Dropout Technique".
    """

    lowest = -1.7580993408473766  # -alpha lambda, SELU's limit below

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = 1 - self.rate
        scale = 1 / math.sqrt(kept + self.lowest**2 * kept * self.rate)
        shift = -scale * self.rate * self.lowest
        drawn = torch.full_like(x, kept).bernoulli()
        return scale * (x * drawn + self.lowest * (1 - drawn)) + shift

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


class DropoutLinear(nn.Linear):
    """A linear layer with dropout of its input, `dropout`, and the parameters of the given layer. [N, in] -> [N, out].

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, JMLR 15.
    """

    def __init__(self, layer: nn.Linear, rate: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.dropout = nn.Dropout(rate)
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.dropout(x))


class InputDropout:
    """A forward pre-hook: dropout of a module's input in training."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not module.training or self.rate == 0:
            return None
        return nn.functional.dropout(inputs[0], self.rate), *inputs[1:]
