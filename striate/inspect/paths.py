"""A residual network as a collection of paths: through each block a path takes the branch or the shortcut.

Source: Veit, Wilber, Belongie 2016, arXiv:1605.06431, sections 3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from math import comb
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.blocks import find_blocks
from striate.inspect.replacing import run_as, with_sum
from striate.inspect.watching import module_of
from striate.layers.modes import in_evaluation

Branch = Callable[[Tensor], Tensor]
MOST_BLOCKS = 16  # of `path_outputs`: 65,536 paths


def path_lengths(blocks: int) -> list[Fraction]:
    """The share of the 2^blocks paths that go through k branches, for k from 0 to `blocks`: a binomial distribution."""
    return [Fraction(comb(blocks, length), 2**blocks) for length in range(blocks + 1)]


def unravelled(blocks: int) -> list[str]:
    """The 2^blocks paths from the input y0, such as `f2(f1(y0))`: the view of Figure 1, for linear branches.

    A path is as in `path_outputs`, and in the same order. Raises RequestError for more than 16 blocks.
    """
    _check(blocks)
    texts = []
    for path in product((False, True), repeat=blocks):
        text = "y0"
        for number, taken in enumerate(path, start=1):
            text = f"f{number}({text})" if taken else text
        texts.append(text)
    return texts


@torch.no_grad()
def path_outputs(branches: Sequence[Branch], x: Tensor) -> Tensor:
    """What each of the 2^n paths gives: [2^n, *x.shape], the last block's choice changing first.

    The network is x + f1(x), then + f2 of that, and so on. Where the branches are linear, the sum over all paths is its
    output exactly; else their non-linearity sees the sum of paths, and the sum over paths differs from the output.
    Raises RequestError for more than 16 branches.
    """
    _check(len(branches))
    outputs = [x]
    for branch in branches:
        outputs = [value for before in outputs for value in (before, branch(before))]
    return torch.stack(outputs)


def _check(blocks: int) -> None:
    if not 0 <= blocks <= MOST_BLOCKS:
        raise RequestError(f"paths are listed for at most {MOST_BLOCKS} blocks, not {blocks}: their number doubles")


class PathGradient(NamedTuple):
    """Paths of one length. length: the branches on them. norm: the mean norm of their gradient in the image.

    share: of all paths. total: norm times the number of paths, as a share of the sum over all measured lengths.
    """

    length: int
    norm: float
    share: float
    total: float


def gradient_by_path_length(
    net: nn.Module, images: Tensor, targets: Tensor, lengths: Sequence[int], *, draws: int = 4, seed: int = 0
) -> list[PathGradient]:
    """The norm of the loss's gradient in images [N, C, H, W] that comes back through paths of each length.

    For each of `draws` paths the gradient passes through the branch only in `length` random residual blocks, and
    through the shortcut only in all others; the forward pass is unchanged. targets: classes [N].
    Raises RequestError for a network without residual blocks, or a length that it does not have.
    """
    blocks = [block for block in find_blocks(net, images[:1]) if block.residual]
    if not blocks:
        raise RequestError(f"{type(net).__name__} has no residual blocks, and so one path")
    if not all(0 <= length <= len(blocks) for length in lengths):
        raise RequestError(f"lengths must be from 0 to {len(blocks)}, the number of residual blocks")
    random = np.random.default_rng(seed)
    norms = []
    for length in lengths:
        found = []
        for _ in range(draws):
            taken = set(random.choice(len(blocks), length, replace=False).tolist())
            instead = {
                block.name: with_sum(
                    module_of(net, block.name), block.shortcut, _branch_only if place in taken else _shortcut_only
                )
                for place, block in enumerate(blocks)
            }
            x = images.detach().clone().requires_grad_()
            with in_evaluation(net), run_as(net, instead):
                loss = F.cross_entropy(net(x), targets, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            found.append(float(gradient.flatten(1).norm(dim=1).mean()))
        norms.append(float(np.mean(found)))
    shares = path_lengths(len(blocks))
    weights = [norm * float(shares[length]) for norm, length in zip(norms, lengths, strict=True)]
    whole = sum(weights) or 1.0
    return [
        PathGradient(length, norm, float(shares[length]), weight / whole)
        for length, norm, weight in zip(lengths, norms, weights, strict=True)
    ]


def _branch_only(shortcut: Tensor, branch: Tensor) -> Tensor:
    return shortcut.detach() + branch


def _shortcut_only(shortcut: Tensor, branch: Tensor) -> Tensor:
    return shortcut + branch.detach()
