"""An autoregressive controller: it chooses one value after another, with probabilities that depend on those before.

The papers' controllers are recurrent (Zoph, Le 2017, arXiv:1611.01578, section 3.1) and see thousands of trials. This
one is a softmax of the values before (a fully visible belief network: Neal 1992, Artificial Intelligence 56), of which
tens of trials are enough to learn what a choice does by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from striate.tuning.architecture.space import Point


class Controller(nn.Module):
    """Logits of each choice: `bias`, and the `weight` [values, values] of the values chosen before it.

    sizes: how many values each choice has; all values of all choices are in one vector. Both parameters start at zero:
    at first all points are equally probable.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        total, choice = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
        self.starts = [0, *np.cumsum(sizes).tolist()]
        self.bias = nn.Parameter(torch.zeros(total, dtype=torch.float64))
        self.weight = nn.Parameter(torch.zeros(total, total, dtype=torch.float64))
        self.before = torch.from_numpy(choice[:, None] > choice)  # row: the logit, column: a value chosen before it

    def forward(self, points: Tensor) -> list[Tensor]:
        """Log-probabilities [N, values] of each choice, given those before it in points [N, choices]."""
        marks = torch.zeros(len(points), len(self.bias), dtype=torch.float64)
        marks.scatter_(1, points + torch.tensor(self.starts[:-1]), 1.0)
        logits = self.bias + marks @ (self.weight * self.before).T
        return [torch.log_softmax(one, 1) for one in torch.split(logits, np.diff(self.starts).tolist(), 1)]

    def draw(self, generator: np.random.Generator) -> Point:
        """A point, its values drawn one after another."""
        bias, weight = self.bias.detach().numpy(), self.weight.detach().numpy()
        chosen: list[int] = []
        for start, end in zip(self.starts, self.starts[1:], strict=False):
            logits = bias[start:end] + weight[start:end, chosen].sum(axis=1)
            chances = np.exp(logits - logits.max())
            chosen.append(start + int(generator.choice(end - start, p=chances / chances.sum())))
        return tuple(place - start for place, start in zip(chosen, self.starts, strict=False))
