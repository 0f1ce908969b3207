"""Gradient checkpointing: activations are recomputed in the backward pass instead of stored. Less memory, more time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn
from torch.utils.checkpoint import checkpoint

from striate.errors import RequestError


def checkpointed(module: nn.Module, *inputs: Tensor) -> Tensor:
    """`module(*inputs)` with gradient checkpointing: only the inputs are stored, and backward runs the module again.

    Outputs and gradients equal those of the plain call bit for bit: the second run draws the same random numbers, and
    only the first run updates buffers (the running statistics of batch norm). The module must not contain a layer whose
    output in training depends on a buffer that it changes. Without gradients, or under a tracer or compiler,
    it is the plain call. Source: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174.
    """
    return _checkpointed(module, module, *inputs)


@contextlib.contextmanager
def checkpointing(*modules: nn.Module) -> Iterator[None]:
    """Within it, every call of these modules is `checkpointed`; backward may run after it. The state is unchanged.

    For a network, give it a few consecutive parts, such as its stages: memory is then that of the maps between them and
    of the largest part. Raises RequestError for a part that is inside another.
    """
    for module in modules:
        # Recomputed after the context, the outer part would call the inner one without checkpointing, unlike the first
        # time.
        if sum(module in set(other.modules()) for other in modules) > 1:
            raise RequestError(f"checkpointed modules must not be inside one another: {type(module).__name__} is")
    changed: list[nn.Module] = []
    try:
        for module in modules:
            # On the instance, where it overrides the class's: a call through the module runs its hooks once.
            module.forward = _forward(module)
            changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def _forward(module: nn.Module) -> Callable[..., Tensor]:
    plain = module.forward
    return lambda *inputs: _checkpointed(module, plain, *inputs)


def _checkpointed(module: nn.Module, call: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    traced = torch._C._get_tracing_state() is not None or torch.compiler.is_compiling()
    if traced or isinstance(inputs[0], fx.Proxy) or not torch.is_grad_enabled():
        return call(*inputs)
    output: Tensor = checkpoint(
        call, *inputs, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _FrozenBuffers(module))
    )
    return output


class _FrozenBuffers:
    """A reentrant context in which writes of forward to buffers go to copies.

    Turning `track_running_stats` off would be simpler, but then batch norm saves fewer tensors for backward than it did
    the first time, and the checkpoint refuses that.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.saved: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        for part in self.module.modules():
            for name, buffer in list(part.named_buffers(recurse=False)):
                self.saved.append((part, name, buffer))
                setattr(part, name, buffer.clone())

    def __exit__(self, *_: object) -> None:
        while self.saved:
            setattr(*self.saved.pop())
