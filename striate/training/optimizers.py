"""torch's optimizers over a network's parameters, with weight decay and learning rates per group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from striate.errors import RequestError, unknown
from striate.recipe import Recipe
from striate.recipe import optimizers as chosen
from striate.training import textbook_optimizers as textbook

Rates = Callable[[str], float]  # a parameter's name -> its learning rate multiplier

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def optimizer_for(net: nn.Module, recipe: Recipe, rates: Rates | None = None) -> Optimizer:
    """The optimizer that the recipe names, over `parameter_groups`; the loop sets its learning rates step by step.

    "sgd" has no momentum; "momentum" is Polyak's and "nesterov" Nesterov's, as Sutskever et al. 2013 write them;
    RMSprop (Tieleman, Hinton 2012), Adam (Kingma, Ba 2015, arXiv:1412.6980), AdamW (Loshchilov, Hutter 2019,
    arXiv:1711.05101), AdaGrad (Duchi, Hazan, Singer 2011): as in torch; and four in their textbook form, of
    `textbook_optimizers`. Convert `net` to its memory format first: the optimizer's state takes
    the parameters' format.
    """
    one = recipe.optimizer
    groups = parameter_groups(net, one.weight_decay, everything=one.decay_norm_and_bias, rates=rates)
    if not groups:
        raise RequestError("nothing to train: every parameter of the network is frozen")
    match one:
        # Never fused=True: torch 2.13's fused SGD on a CPU computes a wrong update, silently, where the formats differ.
        case chosen.SGD():
            return SGD(groups, lr=one.peak)
        case chosen.Momentum() | chosen.Nesterov():
            nesterov = isinstance(one, chosen.Nesterov) and one.momentum > 0
            return SGD(groups, lr=one.peak, momentum=one.momentum, nesterov=nesterov)
        case chosen.RMSprop():
            return RMSprop(groups, lr=one.peak, alpha=one.alpha, eps=one.epsilon, momentum=one.momentum)
        case chosen.AdaGrad():
            return Adagrad(groups, lr=one.peak, eps=one.epsilon)
        case chosen.ClassicalMomentum():
            return textbook.ClassicalMomentum(groups, one.peak, one.momentum)
        case chosen.ShiftedNesterov():
            return textbook.ShiftedNesterov(groups, one.peak, one.momentum)
        case chosen.RMSpropInside():
            return textbook.RMSpropInside(groups, one.peak, one.alpha, one.epsilon)
        case chosen.AdamUncorrected():
            return textbook.AdamUncorrected(groups, one.peak, (one.beta1, one.beta2), one.epsilon)
        case chosen.Adam():  # AdamW is one, too
            kind = AdamW if isinstance(one, chosen.AdamW) else Adam
            return kind(groups, lr=one.peak, betas=(one.beta1, one.beta2), eps=one.epsilon)
    raise unknown("optimizer", one.name, chosen.OPTIMIZERS)


def parameter_groups(
    net: nn.Module, weight_decay: float, *, everything: bool = False, rates: Rates | None = None
) -> list[dict[str, Any]]:
    """The trainable parameters as groups for an optimizer, by weight decay and learning rate multiplier.

    Without decay, unless `everything` decays: all in normalisation layers, biases, and any other parameter of fewer
    than two axes, such as a scale per channel (He et al. 2018, arXiv:1812.01187, section 3.1, "no bias decay"). `rates`
    gives a parameter's learning rate multiplier by its name, by default 1; parameters with 0 and frozen ones are in no
    group. A shared parameter is in once, where it comes first. Each group has `share`, the multiplier, besides torch's
    own keys.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for prefix, module in net.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            share = rates(f"{prefix}.{name}" if prefix else name) if rates else 1.0
            if parameter in seen or not parameter.requires_grad or not share:
                continue
            seen.add(parameter)
            exempt = isinstance(module, _NORMS) or parameter.ndim < 2 or name == "bias"
            groups.setdefault((-share, exempt and not everything), []).append(parameter)
    return [
        {"params": found, "weight_decay": 0.0 if free else weight_decay, "share": -share}
        for (share, free), found in sorted(groups.items(), key=lambda group: group[0])
    ]
