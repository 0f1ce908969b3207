"""Options that networks of every kind have: functions that change a network in place after it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from striate.errors import RequestError
from striate.nets.activations import Activation, swap_activation
from striate.nets.auxiliary import add_auxiliary_heads
from striate.nets.base import Net, Network
from striate.nets.dropouts import DropoutOf, DropoutPlace, add_dropout, add_input_dropout
from striate.nets.norms import Norm, Place, move_norm, swap_norm
from striate.nets.residuals import add_stochastic_depth

# The options with their types. Those with a function's name are its first argument; the others are further ones.
SWAPS: dict[str, Any] = {
    "swap_activation": Activation,
    "swap_norm": Norm,
    "move_norm": Place,
    "norm_affine": bool,
    "add_dropout": float,
    "dropout_place": DropoutPlace,
    "dropout_of": DropoutOf,
    "add_input_dropout": float,
    "add_stochastic_depth": float,
    "add_auxiliary_heads": list[str],
}

# In the order in which they are applied: each function, and its further arguments by the options' names.
_FUNCTIONS: dict[str, tuple[Callable[..., object], dict[str, str]]] = {
    "swap_norm": (swap_norm, {}),
    "move_norm": (move_norm, {"norm_affine": "affine"}),
    "swap_activation": (swap_activation, {}),
    "add_dropout": (add_dropout, {"dropout_place": "place", "dropout_of": "of"}),
    "add_input_dropout": (add_input_dropout, {}),
    "add_stochastic_depth": (add_stochastic_depth, {}),
    "add_auxiliary_heads": (add_auxiliary_heads, {}),
}
_ABOUT = {
    "norm_affine": "it is about the norms next to an activation",
    "dropout_place": "it is where the dropout is",
    "dropout_of": "it is what the dropout is of",
}


def swaps_of(kind: type[Network]) -> dict[str, Any]:
    """The options for networks of that class: self-organising ones have none, and only classifiers take heads."""
    if kind.kind == "self-organising":
        return {}
    return {name: hint for name, hint in SWAPS.items() if name != "add_auxiliary_heads" or issubclass(kind, Net)}


def swap(net: Network, options: Mapping[str, Any]) -> None:
    """Change a network that `create` made as these options say, in the order of `_FUNCTIONS`.

    Raises RequestError for what the functions refuse, and for a further argument without its function.
    """
    for name, (_, further) in _FUNCTIONS.items():
        for option in further:
            if option in options and name not in options:
                raise RequestError(f"{option} goes with {name}: {_ABOUT[option]}")
    for name, (function, further) in _FUNCTIONS.items():
        if name in options:
            function(net, options[name], **_arguments(further, options))


def as_calls(made: str, options: Mapping[str, object]) -> str:
    """The call that makes a network, with these options' calls around it: `swap_norm(ResNet(depth=50), 'group')`."""
    for name, (_, further) in _FUNCTIONS.items():
        if name in options:
            words = "".join(f", {key}={value!r}" for key, value in _arguments(further, options).items())
            made = f"{name}({made}, {options[name]!r}{words})"
    return made


def _arguments(further: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    return {argument: options[option] for option, argument in further.items() if option in options}
