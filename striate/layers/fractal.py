"""The fractal join: the mean of several paths, of which training leaves some out at random (drop-path)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.layers.drop_path import check_rate


class Join(nn.Module):
    """The element-wise mean of paths; in training each path is left out with probability `rate`, but not all of them.

    If all would be left out, one at random stays. The mean is that of the paths which are there: nothing else is
    scaled, and in evaluation it is that of all. One draw for all images of a call. Input: tensors of one shape
    [N, ...]. Raises RequestError for a rate outside [0, 1).
    Source: Larsson, Maire, Shakhnarovich 2016, arXiv:1605.07648, section 3 (local drop-path), and the authors' layer.
    """

    def __init__(self, rate: float) -> None:
        check_rate(rate)
        super().__init__()
        self.rate = rate

    def forward(self, paths: Sequence[Tensor]) -> Tensor:
        if self.training and self.rate > 0:
            paths = [paths[number] for number in survivors(len(paths), self.rate)]
        total = paths[0]
        for path in paths[1:]:
            total = total + path
        return total / len(paths)

    def keep_all(self) -> None:
        """From now on no path is left out: for `striate.anatomy`, which counts what training can need."""
        self.rate = 0.0

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


def survivors(paths: int, rate: float) -> list[int]:
    """The numbers of the paths that are there, at least one; drawn on the CPU."""
    there = (torch.rand(paths, device="cpu") >= rate).nonzero().flatten().tolist()
    return there or [int(torch.randint(paths, (), device="cpu"))]
