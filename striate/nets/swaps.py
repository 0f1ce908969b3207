"""Options that every network has: another activation, another normalisation, and its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.errors import RequestError
from striate.nets.activations import Activation, swap_activation
from striate.nets.base import Net
from striate.nets.norms import Norm, Place, move_norm, swap_norm

# The options, named after the functions, with their types.
SWAPS: dict[str, Any] = {"swap_activation": Activation, "swap_norm": Norm, "move_norm": Place, "norm_affine": bool}


def swap(net: Net, options: Mapping[str, Any]) -> None:
    """Change a network that `create` made as these options say: the norms, their place, then the activations.

    Raises RequestError for what the functions refuse, and `norm_affine` without `move_norm`.
    """
    if "norm_affine" in options and "move_norm" not in options:
        raise RequestError("norm_affine goes with move_norm: it is about the norms next to an activation")
    if norm := options.get("swap_norm"):
        swap_norm(net, norm)
    if place := options.get("move_norm"):
        move_norm(net, place, affine=options.get("norm_affine", True))
    if activation := options.get("swap_activation"):
        swap_activation(net, activation)


def as_calls(made: str, options: Mapping[str, object]) -> str:
    """The call that makes a network, with these options' calls around it: `swap_norm(ResNet(depth=50), 'group')`."""
    if norm := options.get("swap_norm"):
        made = f"swap_norm({made}, {norm!r})"
    if place := options.get("move_norm"):
        affine = "" if options.get("norm_affine", True) else ", affine=False"
        made = f"move_norm({made}, {place!r}{affine})"
    if activation := options.get("swap_activation"):
        made = f"swap_activation({made}, {activation!r})"
    return made
