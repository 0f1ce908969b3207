"""Changing the layers of a network in place, so that `create` can make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from striate.errors import RequestError
from striate.nets.base import Network


def replace_layers(net: nn.Module, layers: Mapping[nn.Module, nn.Module]) -> None:
    """Put the values of `layers` where the keys are in `net`, at every place where they are registered."""
    for parent in list(net.modules()):
        for place, child in list(parent._modules.items()):  # named_children would leave out a layer's second place
            if child is not None and child in layers:
                setattr(parent, place, layers[child])


def like(net: nn.Module, layer: nn.Module) -> nn.Module:
    """The layer, moved to the device and the number format of the net's parameters."""
    first = next((each for each in net.parameters() if each.is_floating_point()), None)
    return layer if first is None else layer.to(first.device, first.dtype)


def record(net: nn.Module, chosen: Mapping[str, object]) -> None:
    """Keep choices in the options of a network that `create` made, so that they make the changed network again.

    chosen: values by the names of options.
    """
    if isinstance(net, Network) and net.options:
        own: Any = net.options["options"]
        net.options = {**net.options, "options": {**own, **chosen}}


def check_once(net: nn.Module, *names: str) -> None:
    """Raise RequestError if a choice was kept under one of these names."""
    for name in names:
        if (before := recorded(net, name)) is not None:
            raise RequestError(f"this net was created with {name} {before!r} already: create it anew to choose another")


def recorded(net: nn.Module, name: str) -> object:
    """The choice that was kept under this name; None where there is none."""
    own: Any = net.options.get("options") if isinstance(net, Network) else None
    return (own or {}).get(name)
