"""The options of a network as keys of a space: "net.options.width", with the type that its constructor takes."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from striate.errors import RequestError, unknown
from striate.recipe import Key, Recipe

PREFIX = "net.options."
STRATEGIES = ("scratch",)  # other strategies start from a model, whose options are settled
_TYPES: dict[Any, str] = {int: "int", float: "float", bool: "bool", str: "str"}


def option_key(name: str, recipe: Recipe) -> Key:
    """The key of an option of the recipe's network, also of a parameter of its net file.

    Raises RequestError where the recipe has no network or this one no such option, and for an option of another type.
    """
    from striate.nets.build import option_types

    option = name.removeprefix(PREFIX)
    if recipe.net.name is None:
        raise RequestError(f"{name} is an option of a network: give the network with --net")
    types = option_types(recipe.net.name, recipe.net.options)
    if option not in types:
        raise unknown(f"option of {recipe.net.name} in the space:", option, types)
    hint, what = types[option], f"option of {recipe.net.name}"
    if get_origin(hint) is Literal and all(isinstance(one, str) for one in get_args(hint)):
        return Key(name, "str", None, what, choices=get_args(hint), strategies=STRATEGIES)
    if hint not in _TYPES:
        raise RequestError(f"{name} cannot be searched: it is neither a number, true or false, nor a text")
    return Key(name, _TYPES[hint], None, what, strategies=STRATEGIES)
