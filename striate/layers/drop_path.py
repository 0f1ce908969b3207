"""Drop-path: a residual branch dropped for some of the images in training, as in EfficientNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import RequestError


def check_rate(rate: float) -> None:
    """Raise RequestError unless the rate of dropped paths is in [0, 1)."""
    if not 0 <= rate < 1:
        raise RequestError(f"the rate of dropped paths must be at least 0 and below 1, not {rate}")


class DropPath(nn.Module):
    """In training, all zeros for a share `rate` of the images, and the input / (1 - rate) for the others.

    So the expectation is the input, which is the output in evaluation. For the end of a residual branch, before the
    addition. Input and output [N, ...]. Raises RequestError for a rate outside [0, 1).
    Source: Huang et al. 2016 (arXiv:1603.09382), there for the whole batch and scaled in evaluation, which
    is `StochasticDepth`; here for each image and scaled in training, as in the code of EfficientNet (tensorflow/tpu,
    `drop_connect`).
    """

    def __init__(self, rate: float) -> None:
        check_rate(rate)
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        survival = torch.full((len(x), *[1] * (x.ndim - 1)), 1 - self.rate, dtype=x.dtype, device=x.device)
        return x * survival.bernoulli() / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


class ScheduledDropPath(DropPath):
    """A DropPath whose rate grows in training: it is `rate` times `progress`, a share of the training from 0 to 1.

    `progress` is 1 until something sets it, as the training loop does before each step; it is no part of the state.
    Source: Zoph, Vasudevan, Shlens, Le 2017 (arXiv:1707.07012), appendix A.
    """

    progress: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        # A buffer, not a number: a compiled network need not be compiled again when it changes.
        self.register_buffer("progress", torch.ones(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        survival = (1 - self.rate * self.progress).to(x.dtype)
        return x * survival.expand(len(x), *[1] * (x.ndim - 1)).bernoulli() / survival
