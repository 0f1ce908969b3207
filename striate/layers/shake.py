"""Shake-Shake: two branches mixed at random, and their gradients mixed at random once more."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

ForwardPass = Literal["shake", "even"]
BackwardPass = Literal["shake", "even", "keep"]
Level = Literal["image", "batch"]


class Mix(torch.autograd.Function):
    """alpha x one + (1 - alpha) x other; the gradient is passed on as beta to the one and 1 - beta to the other."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(beta)
        return alpha * one + (1 - alpha) * other

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (beta,) = ctx.saved_tensors
        return beta * gradient, (1 - beta) * gradient, None, None


class ShakeShake(nn.Module):
    """Two branches over the same input, mixed: in training by random shares, in evaluation half and half.

    forward_pass  "shake": alpha and 1 - alpha, with alpha uniform in [0, 1]; "even": a half each
    backward_pass "shake": the gradient in shares beta and 1 - beta, drawn independently of alpha; "even": a half each;
                  "keep": alpha and 1 - alpha again, which is ordinary back-propagation
    level         "image": a draw for each image; "batch": one for all images of a call

    beta scales the gradients of the branches' parameters, too. Input [N, ...], output that of a branch.
    Source: Gastaldi 2017, arXiv:1705.07485, section 2.
    """

    def __init__(
        self,
        one: nn.Module,
        other: nn.Module,
        *,
        forward_pass: ForwardPass = "shake",
        backward_pass: BackwardPass = "shake",
        level: Level = "image",
    ) -> None:
        super().__init__()
        self.one, self.other = one, other
        self.forward_pass, self.backward_pass, self.level = forward_pass, backward_pass, level

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.one(x), self.other(x)
        if not self.training:
            half: Tensor = 0.5 * one + 0.5 * other
            return half
        alpha = self._share(one, self.forward_pass)
        beta = alpha if self.backward_pass == "keep" else self._share(one, self.backward_pass)
        mixed: Tensor = Mix.apply(one, other, alpha, beta)  # type: ignore[no-untyped-call]  # torch's
        return mixed

    def _share(self, like: Tensor, rule: str) -> Tensor:
        """A share for each image, or one for all, that multiplies a tensor of the shape of `like`."""
        shape = (len(like) if self.level == "image" else 1, *[1] * (like.ndim - 1))
        drawn = torch.rand(shape, device=like.device) if rule == "shake" else torch.full(shape, 0.5, device=like.device)
        return drawn.to(like.dtype)

    def extra_repr(self) -> str:
        return f"{self.forward_pass}-{self.backward_pass}-{self.level}"
