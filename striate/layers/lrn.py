"""Local response normalisation: across neighbouring channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError


class LRN(nn.Module):
    """a / (k + alpha * S)^beta, where S sums the squares of the `size` channels around a, at the same position.

    `alpha` is the paper's: it multiplies the sum. In torch and in Caffe `alpha` is divided by `size` first, and Caffe's
    k is 1; Caffe's "local_size 5, alpha 1e-4, beta 0.75" is therefore LRN(alpha=1e-4 / 5, k=1) here. Beyond the first
    and the last channel there are zeros. `groups`: so many parts of the channels are normalised, each by itself. Any
    shape [N, C, H, W], which does not change. Raises RequestError for a size that is even. Source: Krizhevsky,
    Sutskever, Hinton 2012, section 3.3, with its constants.
    """

    def __init__(
        self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, groups: int = 1
    ) -> None:
        if size < 1 or size % 2 == 0:
            raise RequestError(f"size must be an odd number of channels, such as 5, not {size}")
        super().__init__()
        self.size, self.alpha, self.beta, self.k, self.groups = size, alpha, beta, k, groups

    def forward(self, x: Tensor) -> Tensor:
        if self.groups == 1:
            return self._normalised(x)
        return torch.cat([self._normalised(part) for part in x.chunk(self.groups, 1)], 1)

    def _normalised(self, x: Tensor) -> Tensor:
        half, channels = self.size // 2, x.shape[1]
        squares = F.pad(x.square(), (0, 0, 0, 0, half, half))
        total = squares[:, :channels]
        for offset in range(1, self.size):
            total = total + squares[:, offset : offset + channels]
        return x * (self.k + self.alpha * total).pow(-self.beta)

    def extra_repr(self) -> str:
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}{groups}"
