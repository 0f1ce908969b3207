"""Reading and replacing the outputs of a network's modules while it runs: all hooks are removed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from striate.errors import unknown


@contextmanager
def watched(net: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """The output of each named module in the last forward pass, attached to the graph of gradients.

    Raises RequestError for a name that is no module of `net`.
    """
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in names:
            handle = module_of(net, name).register_forward_hook(
                lambda module, inputs, output, name=name: found.__setitem__(name, output)
            )
            hooks.callback(handle.remove)
        yield found


@contextmanager
def replaced(net: nn.Module, name: str, function: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Within it, the output of the named module is `function(input, output)`: its first input, and its own output.

    Raises RequestError for a name that is no module of `net`.
    """
    handle = module_of(net, name).register_forward_hook(lambda module, inputs, output: function(inputs[0], output))
    try:
        yield
    finally:
        handle.remove()


def module_of(net: nn.Module, name: str) -> nn.Module:
    """The module of that name, as in `named_modules`. Raises RequestError for another name."""
    modules: dict[str, nn.Module] = dict(net.named_modules())
    if name not in modules:
        raise unknown("module", name, filter(None, modules))
    return modules[name]
