"""The highway layer: a gate decides, for every number, how much is transformed and how much is carried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Highway(nn.Module):
    """y = H(x) T(x) + x (1 - T(x)), with the transform gate T = sigmoid(gate(x)).

    `transform` is H, with its activation, and `gate` a layer without one; both give the shape of x. With a negative
    bias of the gate the layer starts near the identity. Input and output [N, ...].
    Source: Srivastava, Greff, Schmidhuber 2015, arXiv:1505.00387, equation 3.
    """

    def __init__(self, transform: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.transform, self.gate = transform, gate

    def forward(self, x: Tensor) -> Tensor:
        opened = torch.sigmoid(self.gate(x))
        carried: Tensor = self.transform(x) * opened + x * (1 - opened)
        return carried


def convolutional(channels: int, kernel: int) -> Highway:
    """A highway layer whose H and T are convolutions that keep the map's size, with biases; H ends in ReLU.

    With a 1x1 kernel on a 1x1 map it is fully connected.
    """
    transform, gate = (nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(2))
    return Highway(nn.Sequential(transform, nn.ReLU()), gate)
