"""A network as a small file: its rows as a table, its name and options in [net], or Caffe's prototxt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from striate.errors import RequestError
from striate.netfile.formats import READERS, net_text
from striate.recipe import Recipe
from striate.recipe.tables import Net
from striate.recipe.toml import text_of

TABLE_NET = "table_net"  # the network of the catalogue whose option `text` is a net file

# The top of a file that has a table of its own, which no recipe has.
_WRITTEN = re.compile(r"\A(?:(?!^\[).)*?^table\s*=", re.MULTILINE | re.DOTALL)


def is_net_file(name: object) -> bool:
    """Whether the name of a network is that of a net file."""
    return isinstance(name, str) and name.endswith(tuple(READERS))


def net_of_file(path: str) -> Net:
    """Name and options of the network in a net file, a prototxt of Caffe, or any recipe that names one.

    Raises RequestError for a file that is none of them, or names no network.
    """
    text = net_text(Path(path))
    if _WRITTEN.search(text):
        return Net(name=TABLE_NET, options={"text": text})
    net = Recipe.from_file(Path(path)).net
    if net.name is None:
        raise RequestError(f'{path!r} names no network: a net file has name = "..." in its table [net]')
    return net


def named(net: str, options: Mapping[str, object] | None = None) -> tuple[str, dict[str, object]]:
    """The name of a network and its options; those of a net file, in whose place are the given ones.

    Raises RequestError for a net file that cannot be read.
    """
    if not is_net_file(net):
        return net, dict(options or {})
    found = net_of_file(net)
    return str(found.name), {**found.options, **(options or {})}


def net_toml(name: str, options: Mapping[str, object]) -> str:
    """The text of a net file; an option of several lines, a table, is written as such."""
    lines = ["[net]", f"name = {text_of(name)}", "", "[net.options]"]
    for option, value in options.items():
        several = isinstance(value, str) and "\n" in value and "'''" not in value
        lines.append(f"{option} = '''\n{value}'''" if several else f"{option} = {text_of(value)}")
    return "\n".join(lines) + "\n"
