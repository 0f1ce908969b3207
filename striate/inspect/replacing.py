"""Running parts of a network in another way: for a time, without a trace afterwards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.inspect.watching import module_of, watched

Forward = Callable[..., Tensor]
Instead = Callable[[Forward, Tensor], Tensor]  # of a module's own forward and its input: the output

_ADDITIONS = ("add", "add_", "__add__", "__radd__", "__iadd__")


@contextmanager
def run_as(net: nn.Module, instead: Mapping[str, Instead]) -> Iterator[None]:
    """Within it, the output of each named module is `instead[name](forward, input)`: it runs `forward` or does not.

    Raises RequestError for a name that is no module of `net`.
    """
    modules = {name: module_of(net, name) for name in instead}
    own: dict[str, Forward | None] = {name: vars(module).get("forward") for name, module in modules.items()}
    try:
        for name, module in modules.items():
            module.forward = _bound(instead[name], module.forward)
        yield
    finally:
        for name, module in modules.items():
            vars(module).pop("forward", None)
            if (before := own[name]) is not None:
                module.forward = before


def _bound(function: Instead, forward: Forward) -> Forward:
    return lambda x, *others: function(lambda y: forward(y, *others), x)


@contextmanager
def recorded(net: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor | None]]:
    """The outputs of the named modules in a forward pass, in the order in which they are done, to be used again.

    None for a module that runs more than once, or gives anything but a tensor without a graph of gradients.
    Raises RequestError for a name that is no module of `net`.
    """
    found: dict[str, Tensor | None] = {}

    def keep(name: str, output: object) -> None:
        usable = name not in found and isinstance(output, Tensor) and not output.requires_grad
        found[name] = cast(Tensor, output).clone() if usable else None  # the next module may work in place

    with ExitStack() as hooks:
        for name in names:
            handle = module_of(net, name).register_forward_hook(
                lambda module, inputs, output, name=name: keep(name, output)
            )
            hooks.callback(handle.remove)
        yield found


def before(outputs: Mapping[str, Tensor | None], names: Collection[str]) -> dict[str, Tensor]:
    """Of `recorded` outputs those that were done before the first of the modules `names`: none depends on it."""
    done = takewhile(lambda row: row[0] not in names, outputs.items())
    return {name: output for name, output in done if output is not None}


def given(net: nn.Module, outputs: Mapping[str, Tensor]) -> AbstractContextManager[None]:
    """Within it the modules are not run, and have these outputs [1, ...], the same for each image of a batch."""

    def instead(output: Tensor) -> Instead:
        return lambda forward, x: output.expand(len(x), *output.shape[1:]).clone()

    return run_as(net, {name: instead(output) for name, output in outputs.items()})


def with_sum(block: nn.Module, shortcut: str, function: Callable[[Tensor, Tensor], Tensor]) -> Instead:
    """For `run_as`: the block, but `function(shortcut, branch)` in place of the sum of its two ways.

    shortcut: the name of the module on the shortcut, "" where the shortcut is the input itself.
    """

    def run(forward: Forward, x: Tensor) -> Tensor:
        with watched(block, [shortcut] if shortcut else []) as found, _Sum(x, found, function):
            return forward(x)

    return run


class _Sum(TorchFunctionMode):
    """Replaces additions that have the block's input, or the output of its shortcut, as one of two operands."""

    def __init__(self, x: Tensor, found: Mapping[str, Tensor], function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.x, self.found, self.function = x, found, function

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _ADDITIONS and len(args) == 2 and not kwargs:
            shortcut = next(iter(self.found.values()), self.x)
            places = [place for place, value in enumerate(args) if value is shortcut]
            other = args[1 - places[0]] if places else None
            if isinstance(other, Tensor) and other.shape == shortcut.shape:
                with torch._C.DisableTorchFunction():
                    return self.function(shortcut, other)
        return func(*args, **(kwargs or {}))
