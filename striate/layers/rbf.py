"""An output layer of Euclidean radial basis functions."""

from __future__ import annotations

from torch import Tensor, nn


class RBF(nn.Module):
    """Minus the squared distance from the input to each class's code: the nearest code has the largest logit.

    `codes` is [classes, features], a buffer: saved with the model, not trained. Input [N, features], output
    [N, classes], never above 0. Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B, equation 7 (there without
    the minus, as a penalty; with it, the largest logit wins, as in other networks).
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        return -(x.unsqueeze(1) - self.codes).square().sum(-1)

    def multiply_adds(self, output: Tensor) -> int:
        """One for each input of each class: a difference, squared and added."""
        return self.codes.numel()

    def extra_repr(self) -> str:
        return f"{self.codes.shape[1]}, {self.codes.shape[0]}"
