"""`add_stochastic_depth`: residual branches of any network that are left out at random, found by a pass of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.errors import RequestError
from striate.layers.drop_path import DropPath, check_rate
from striate.layers.fractal import Join
from striate.layers.shake import ShakeShake
from striate.layers.stochastic_depth import StochasticDepth
from striate.nets.changing import check_once, record, replace_layers
from striate.nets.dataflow import passed_through
from striate.nets.shapes import Output, first_of, forward_hooks

_SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_PRODUCTS = {"mul", "mul_", "__mul__", "__rmul__"}
_RANDOM = (DropPath, StochasticDepth, ShakeShake, Join)


def add_stochastic_depth(net: nn.Module, rate: float, *, images: Tensor | None = None) -> int:
    """Leave out residual branches at random in training, in place, in any network with shortcuts; returns how many.

    Of L branches, branch l = 1, ..., L is dropped for a share rate * l / L of the images (linear decay), and divided by
    the share that is left; in evaluation nothing changes: see `DropPath`, which is added to the end of each branch.
    A branch is one of two maps that are added and of which the other is an earlier map, or is made of an earlier map
    by fewer operations (a shortcut with a projection). It must be the output of a layer or a chain of layers, perhaps
    times a number.
    The names of parameters stay where a branch ends in an `nn.Sequential`; a single layer becomes the first of one.

    images: a batch [N, C, H, W] as the net takes it, of which only the shape matters; None: see `dataflow`.
    A `Network` that `create` made keeps the choice in its options, and takes it once.
    Raises RequestError for a rate outside [0, 1), a net without shortcuts, and one that leaves branches out by itself.
    Source: Huang et al. 2016, arXiv:1603.09382, section 3 and equation 4; by image, as in EfficientNet's code.
    """
    check_rate(rate)
    check_once(net, "add_stochastic_depth")
    if own := next((layer for layer in net.modules() if isinstance(layer, _RANDOM)), None):
        raise RequestError(
            f"the network has {type(own).__name__} already: choose its rate by the network's own options"
        )
    branches = residual_branches(net, images)
    if not branches:
        raise RequestError("the network has no shortcuts around branches, so there is no depth to leave out")
    for number, branch in enumerate(branches, start=1):
        drop = DropPath(rate * number / len(branches)).train(branch.training)
        if type(branch).forward is nn.Sequential.forward:
            branch.add_module("drop_path", drop)
        else:
            replace_layers(net, {branch: nn.Sequential(branch, drop)})
    record(net, {"add_stochastic_depth": rate})
    return len(branches)


def residual_branches(net: nn.Module, images: Tensor | None = None) -> list[nn.Module]:
    """The modules whose output is added to a shortcut, in the order of the sums; see `add_stochastic_depth`."""

    def watch(copied: nn.Module, given: Tensor) -> list[nn.Module]:
        own = dict(zip(copied.modules(), net.modules(), strict=True))
        watcher = _Watcher()
        with forward_hooks() as (_, after), watcher, torch.no_grad():
            for module in own:
                after(module, watcher.leaves)
            watcher.starts(given)
            copied(given)
        found = dict.fromkeys(watcher.branches())
        return [own[module] for module in found]

    return passed_through(net, images, watch)


@dataclass
class _Made:
    """A tensor: its number, the numbers of all that it is made of (a bit each), its uses, the module that gave it."""

    number: int
    history: int
    shape: tuple[int, ...]
    uses: int = 0
    module: nn.Module | None = None


class _Watcher(TorchFunctionMode):
    """Records what each tensor is made of, from every function that is called, and the sums of two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, _Made] = {}
        self.kept: list[Tensor] = []  # alive, so that no other tensor gets the same id
        self.count = 0
        self.sums: list[tuple[_Made, _Made]] = []

    def starts(self, tensor: Tensor, history: int = 0) -> None:
        """A tensor that is made of those in `history`."""
        self.made[id(tensor)] = _Made(self.count, history | 1 << self.count, tuple(tensor.shape))
        self.kept.append(tensor)
        self.count += 1

    def leaves(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Output) -> None:
        """A forward hook of every module: the outermost that gives a tensor is the last to be called."""
        made = self.made.get(id(first_of(output)))
        if made is not None:
            made.module = module

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor):
            return result
        tensors = [one for one in _flat([*args, *(kwargs or {}).values()]) if isinstance(one, Tensor)]
        given = [self.made[id(one)] for one in tensors if id(one) in self.made]
        if not given:
            return result
        for one in given:
            one.uses += 1
        if func.__name__ in _SUMS and len(given) == 2 and given[0].shape == given[1].shape and len(given[0].shape) == 4:
            self.sums.append((given[0], given[1]))
        history = 0
        for one in given:
            history |= one.history
        self.starts(result, history)
        if func.__name__ in _PRODUCTS and len(tensors) == 1 and given[0].uses == 1:
            self.made[id(result)].module = given[0].module  # a branch that is scaled by a number
        return result

    def branches(self) -> list[nn.Module]:
        """The modules that gave the branches of sums."""
        found = []
        for one, other in self.sums:
            alone = [(a.history & ~b.history).bit_count() for a, b in ((one, other), (other, one))]
            branch, shortcut = (one, other) if alone[0] > alone[1] else (other, one)
            if alone[0] != alone[1] and branch.module and branch.uses == 1 and shortcut.history & branch.history:
                found.append(branch.module)
        return found


def _flat(values: list[Any]) -> list[Any]:
    return [part for value in values for part in (_flat(list(value)) if isinstance(value, list | tuple) else [value])]
