"""Optimizers over a network's parameters, weight decay where it belongs."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters as two groups for an optimizer: those with `weight_decay`, then those without.

    Without: everything in a normalisation, biases, and any other parameter of fewer than two axes, such as one scale a
    channel. Frozen parameters are in neither; a shared one is in once, where it comes first. Empty groups are left out.
    Source: He et al. 2018, arXiv:1812.01187, section 3.1 ("no bias decay").
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    seen: set[nn.Parameter] = set()
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue
            seen.add(parameter)
            exempt = isinstance(module, _NORMS) or parameter.ndim < 2 or name == "bias"
            (free if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def sgd(net: nn.Module, *, learning_rate: float, momentum: float, weight_decay: float) -> SGD:
    """Stochastic gradient descent with Nesterov momentum (plain without momentum), over `parameter_groups`.

    Put `net` into its memory format before: momentum buffers take the format of the parameters.
    """
    # Never fused=True: torch 2.13's fused SGD on a CPU computes a wrong update, silently, where the formats differ.
    groups = parameter_groups(net, weight_decay)
    return SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)
