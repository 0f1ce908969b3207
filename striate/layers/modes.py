"""Modes of a network's modules, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_evaluation(net: nn.Module) -> Iterator[None]:
    """Within it, `net` is in evaluation mode; afterwards each module is in the mode that it was in."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
