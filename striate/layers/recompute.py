"""Less memory for more time: a module's activations are not kept for backward but computed again there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn
from torch.utils.checkpoint import checkpoint

from striate.errors import RequestError


def recompute(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)`, of which only the inputs are kept for backward; it runs again there, up to what is needed.

    Outputs and gradients are those of the plain call, bit for bit: the second run draws the same random numbers, and
    buffers (the running statistics of batch norm) are moved by the first run only. A layer whose output in training
    depends on a buffer that it changes must not be in it. Where no gradient is recorded, or a tracer or compiler looks
    on, it is the plain call. Source: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174.
    """
    return _recomputed(module, module, *inputs)


@contextlib.contextmanager
def recomputing(*modules: nn.Module) -> Iterator[None]:
    """Within it, every call of these modules is a `recompute`; backward may come after, names and state stay.

    For a network, give it a few parts that follow one another, such as its stages: memory is then that of the maps
    between them and of the largest part. Raises RequestError for a part that is inside another.
    """
    for module in modules:
        # Run again after the context, the outer one would find the inner one plain, which it was not the first time.
        if sum(module in set(other.modules()) for other in modules) > 1:
            raise RequestError(f"modules to recompute must not be inside one another: {type(module).__name__} is")
    changed: list[nn.Module] = []
    try:
        for module in modules:
            # On the instance, where it comes before the class's: what is called through the module runs its hooks once.
            module.forward = _forward(module)
            changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _forward(module: nn.Module) -> Callable[..., Tensor]:
    plain = module.forward
    return lambda *inputs: _recomputed(module, plain, *inputs)


def _recomputed(module: nn.Module, call: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    watched = torch._C._get_tracing_state() is not None or torch.compiler.is_compiling()
    if watched or isinstance(inputs[0], fx.Proxy) or not torch.is_grad_enabled():
        return call(*inputs)
    output: Tensor = checkpoint(
        call, *inputs, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _BuffersStanding(module))
    )
    return output


class _BuffersStanding:
    """While it is entered, what forward writes into a buffer goes into a copy; it can be entered again and again.

    Turning `track_running_stats` off would be simpler, but then batch norm saves fewer tensors for backward than it did
    the first time, and the checkpoint refuses that.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kept: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        for part in self.module.modules():
            for name, buffer in list(part.named_buffers(recurse=False)):
                self.kept.append((part, name, buffer))
                setattr(part, name, buffer.clone())

    def __exit__(self, *_: object) -> None:
        while self.kept:
            setattr(*self.kept.pop())
