"""The weights of a network as tensors by name, read and written in place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones once."""
    return dict(net.named_parameters()) | dict(net.named_buffers())


@torch.no_grad()
def copy_into(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights of the same names into the network, in place."""
    for name, tensor in weights_of(net).items():
        tensor.copy_(weights[name])
