"""`striate recipe`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.answer import Answer

if TYPE_CHECKING:
    from striate.recipe import Key

HELP = "list the keys of a recipe, with their types and defaults"
EXAMPLE = "striate recipe augment"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "key", nargs="?", default="", metavar="KEY|TABLE", help="a key such as train.batch, or a table (default: all)"
    )
    parser.add_argument("--paper", metavar="NET", help="the recipe of a network's paper, and measured results")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import RequestError
    from striate.recipe import keys_called

    if chosen.paper is not None:
        if chosen.key:
            raise RequestError(f"recipe takes a key or --paper, not both {chosen.key!r} and {chosen.paper!r}")
        return _of_paper(chosen.paper)
    found = keys_called(chosen.key)
    lines: list[str] = []
    for key in found:
        if key.table and (not lines or f"[{key.table}]" not in lines):
            lines += ["", f"[{key.table}]"]
        lines += _lines(key)
    return Answer("\n".join(lines).strip(), {"keys": [key.as_dict() for key in found]})


def _lines(key: Key) -> list[str]:
    """The key with its default; below it the allowed values and the strategies that read it."""
    from striate.recipe.keys import STRATEGIES
    from striate.recipe.toml import text_of

    default = "" if key.default is None else f" = {text_of(key.default) if key.default != {} else '...'}"
    more = [f"takes {key.takes}" + (f", in {key.unit}" if key.unit and key.unit not in key.takes else "")]
    more += [f"of {', '.join(key.of)}"] if key.of else []
    more += [f"read by {', '.join(key.strategies)}"] if set(key.strategies) != set(STRATEGIES) else []
    return [f"{key.field}{default}".ljust(28) + f"  {key.help}", f"{'':30}{'; '.join(more)}"]


def _of_paper(net: str) -> Answer:
    from striate.nets.papers import paper_file, paper_measured, paper_recipe

    measured = paper_measured(net)
    text = paper_file(net).read_text("utf-8").rstrip()
    lines = [text, "", f"# Measured: {measured.line()}" if measured else "# Measured: not yet"]
    facts = {"net": net, "recipe": paper_recipe(net).values(), "measured": measured.as_dict() if measured else None}
    return Answer("\n".join(lines), facts)
