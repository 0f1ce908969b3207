"""The algebra of shortcuts, computed: sums of branches, the two terms of a gradient, products of matrices.

Source: He, Zhang, Ren, Sun 2016, arXiv:1603.05027, section 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.blocks import Block, find_blocks
from striate.inspect.replacing import Forward, Instead, run_as, with_sum
from striate.inspect.watching import module_of
from striate.layers.modes import in_evaluation


class StageSum(NamedTuple):
    """Residual blocks in a row, without a change of shape. x_k: what goes in; x_K: what comes out; branches: their F.

    With nothing after the sums (pre-activation), x_K = x_k + the sum of the branches. error: the largest difference,
    divided by the largest value of x_K.
    """

    blocks: tuple[str, ...]
    x_k: Tensor
    branches: tuple[Tensor, ...]
    x_K: Tensor  # noqa: N815  the paper's name

    @property
    def error(self) -> float:
        """How far the sum is from x_K."""
        x_K = self.x_K.detach()  # noqa: N806
        summed = self.x_k.detach() + torch.stack(self.branches).detach().sum(0)
        return float((x_K - summed).abs().max() / x_K.abs().max())


def stage_sums(net: nn.Module, images: Tensor) -> list[StageSum]:
    """Equation 3 on images [N, C, H, W], for each run of residual blocks whose shortcut is the identity.

    The tensors have their graph, so that gradients can be taken. Raises RequestError for a network without such blocks.
    """
    runs = _runs([block for block in find_blocks(net, images[:1]) if block.residual])
    if not runs:
        raise RequestError(f"{type(net).__name__} has no residual blocks whose shortcut is the identity")
    shortcuts: dict[str, Tensor] = {}
    branches: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def noting(block: Block) -> Instead:
        def note(one: Tensor, other: Tensor) -> Tensor:
            shortcuts[block.name], branches[block.name] = one, other
            return one + other

        summed = with_sum(module_of(net, block.name), block.shortcut, note)

        def run(forward: Forward, x: Tensor) -> Tensor:
            outputs[block.name] = summed(forward, x)
            return outputs[block.name]

        return run

    with in_evaluation(net), run_as(net, {block.name: noting(block) for run in runs for block in run}):
        net(images)
    return [
        StageSum(
            tuple(block.name for block in run),
            shortcuts[run[0].name],
            tuple(branches[block.name] for block in run),
            outputs[run[-1].name],
        )
        for run in runs
    ]


def _runs(blocks: list[Block]) -> list[list[Block]]:
    """Blocks of one shape that follow each other in one chain."""
    runs: list[list[Block]] = []
    for block in blocks:
        if block.before != block.after:
            continue
        chain = block.name.rpartition(".")[0]
        if runs and runs[-1][-1].after == block.before and runs[-1][-1].name.rpartition(".")[0] == chain:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


class GradientTerms(NamedTuple):
    """dL/dx_k and its two terms: `direct` is dL/dx_K, unchanged; `through` came back through the branches."""

    whole: Tensor
    direct: Tensor
    through: Tensor

    @property
    def error(self) -> float:
        """How far the two terms' sum is from the whole, divided by the largest value of the whole."""
        return float((self.whole - self.direct - self.through).abs().max() / self.whole.abs().max())


def gradient_terms(stage: StageSum, loss: Tensor) -> GradientTerms:
    """Equation 5: dL/dx_k = dL/dx_K (1 + d/dx_k sum F), from a loss of the pass in which `stage` was computed."""
    if not stage.x_k.requires_grad:
        raise RequestError("x_k has no graph: compute the stage sums of images or weights that need a gradient")
    whole, direct = torch.autograd.grad(loss, (stage.x_k, stage.x_K), retain_graph=True)
    summed = torch.stack(stage.branches).sum(0)
    (through,) = torch.autograd.grad(summed, stage.x_k, direct, retain_graph=True)
    return GradientTerms(whole, direct, through)


def layer_jacobians(layers: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> list[Tensor]:
    """The Jacobian [outputs, inputs] of each layer at its input, for one input x (any shape, no batch).

    Without shortcuts the Jacobian of the network is their product, last layer first: `product_of`.
    """
    found = []
    for layer in layers:
        jacobian = torch.autograd.functional.jacobian(layer, x)  # type: ignore[no-untyped-call]  # torch's
        y = layer(x)
        found.append(jacobian.reshape(y.numel(), x.numel()))
        x = y.detach()
    return found


def product_of(jacobians: Sequence[Tensor]) -> Tensor:
    """The product J_n ... J_2 J_1."""
    product = jacobians[0]
    for jacobian in jacobians[1:]:
        product = jacobian @ product
    return product


def scaled_shortcuts(branches: Sequence[Callable[[Tensor], Tensor]], x: Tensor, factor: float) -> list[Tensor]:
    """The values x_0 to x_n of blocks whose shortcut is scaled: x_{l+1} = factor x_l + F(x_l).

    x_n holds x_0 times factor^n, and so does the gradient: it explodes above 1 and vanishes below. Section 3.
    """
    values = [x]
    for branch in branches:
        values.append(factor * values[-1] + branch(values[-1]))
    return values
