"""Optimizers in the form that textbooks write them, where torch's own differ.

torch.optim.SGD keeps the learning rate outside the velocity, which is the same only while the rate is constant;
torch.optim.RMSprop and Adam add epsilon outside the root, and Adam corrects the bias of its averages. Weight decay is
an L2 penalty, added to the gradient, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class _Textbook(Optimizer):
    """The loop over parameters; a subclass has the step of one."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; a `closure` computes the loss and the gradients anew, and its loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    gradient = parameter.grad
                    if group["weight_decay"]:
                        gradient = gradient.add(parameter, alpha=group["weight_decay"])
                    self._update(parameter, gradient, self.state[parameter], group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError


def _average(state: dict[str, Any], name: str, parameter: Tensor) -> Tensor:
    """A state tensor that starts at zero."""
    if name not in state:
        state[name] = torch.zeros_like(parameter)
    found: Tensor = state[name]
    return found


class ClassicalMomentum(_Textbook):
    """v = a v - rate g; w = w + v. Source: Polyak 1964; Sutskever et al. 2013, equations 1 and 2."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        velocity = _average(state, "velocity", parameter)
        velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])
        parameter.add_(velocity)


class ShiftedNesterov(_Textbook):
    """v' = a v - rate g(w^); w^ = w^ + a v' - rate g(w^), where w^ = w + a v is the point the gradient is taken at.

    The parameters are w^ throughout. Source: Nesterov 1983; Bengio et al. 2013, arXiv:1212.0901, section 3.5.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        velocity = _average(state, "velocity", parameter)
        velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])
        parameter.add_(velocity, alpha=group["momentum"]).sub_(gradient, alpha=group["lr"])


class RMSpropInside(_Textbook):
    """u = b u + (1 - b) g^2; w = w - rate g / sqrt(u + epsilon). Source: Tieleman, Hinton 2012, lecture 6.5."""

    def __init__(
        self, params: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        square = _average(state, "square", parameter)
        square.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])
        parameter.addcdiv_(gradient, (square + group["eps"]).sqrt_(), value=-group["lr"])


class AdamUncorrected(_Textbook):
    """v = a v + (1 - a) g; u = b u + (1 - b) g^2; w = w - rate v / sqrt(u + epsilon).

    Kingma, Ba 2015, arXiv:1412.6980, algorithm 1, without its bias correction: the first steps are too long by
    (1 - a) / sqrt(1 - b), about three times with the usual values.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        (first, second) = group["betas"]
        mean, square = _average(state, "mean", parameter), _average(state, "square", parameter)
        mean.mul_(first).add_(gradient, alpha=1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        parameter.addcdiv_(mean, (square + group["eps"]).sqrt_(), value=-group["lr"])
