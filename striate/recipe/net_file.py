"""A network as a small TOML file: its name, and the options of its constructor, in a recipe's table [net]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from striate.errors import RequestError
from striate.recipe import Recipe
from striate.recipe.tables import Net
from striate.recipe.toml import text_of

SUFFIX = ".toml"


def is_net_file(name: object) -> bool:
    """Whether the name of a network is that of a net file."""
    return isinstance(name, str) and name.endswith(SUFFIX)


def net_of_file(path: str) -> Net:
    """Name and options of the network in a net file, or in any recipe that names one.

    Raises RequestError for a file that is not a recipe, or names no network.
    """
    net = Recipe.from_file(Path(path)).net
    if net.name is None:
        raise RequestError(f'{path!r} names no network: a net file has name = "..." in its table [net]')
    return net


def net_toml(name: str, options: Mapping[str, object]) -> str:
    """The text of a net file; an option of several lines, a table, is written as such."""
    lines = ["[net]", f"name = {text_of(name)}", "", "[net.options]"]
    for option, value in options.items():
        several = isinstance(value, str) and "\n" in value and "'''" not in value
        lines.append(f"{option} = '''\n{value}'''" if several else f"{option} = {text_of(value)}")
    return "\n".join(lines) + "\n"
