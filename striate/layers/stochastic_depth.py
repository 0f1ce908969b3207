"""Stochastic depth: a residual branch left out for a whole mini-batch in training, scaled in evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import RequestError


def check_survival(survival: float) -> None:
    """Raise RequestError unless the probability that a branch survives is in (0, 1]."""
    if not 0 < survival <= 1:
        raise RequestError(f"the probability of survival must be above 0 and at most 1, not {survival}")


class StochasticDepth(nn.Module):
    """The identity plus a residual branch, which in training is there with probability `survival`, else left out.

    One draw for all images of a call. A branch that is left out is not run: it costs no time, its parameters get no
    gradient, and its batch norms keep their running statistics. In evaluation the branch, not the identity, is
    multiplied by `survival`, so that the output is the expectation. Inputs: what the branch reads, [N, ...], and the
    identity, of the shape of the branch's output. Raises RequestError for a survival outside (0, 1].
    Source: Huang, Sun, Liu, Sedra, Weinberger 2016 (arXiv:1603.09382), equations 2 and 5, and the authors' code.
    """

    def __init__(self, branch: nn.Module, survival: float) -> None:
        check_survival(survival)
        super().__init__()
        self.branch, self.survival = branch, survival

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        if not self.training:
            scaled: Tensor = self.survival * self.branch(x)
            return identity + scaled
        if self.survival < 1 and not _happens(self.survival):
            return identity
        out: Tensor = identity + self.branch(x)
        return out

    def keep_all(self) -> None:
        """From now on the branch is always there: for `striate.anatomy`, which counts what training can need."""
        self.survival = 1.0

    def extra_repr(self) -> str:
        return f"survival={self.survival:g}"


def _happens(probability: float) -> bool:
    """Drawn on the CPU: a draw on a GPU would have to be waited for."""
    return bool(torch.rand((), device="cpu") < probability)
