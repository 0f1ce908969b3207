"""`striate recipe`."""

from __future__ import annotations

import argparse
from pathlib import Path
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
    parser.add_argument("--plot", choices=["schedule"], help="draw the learning-rate schedules, or that of --recipe")
    parser.add_argument("--recipe", metavar="FILE", help="with --plot: a recipe file, such as a run's recipe.toml")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments", help="with --plot: set a key"
    )
    parser.add_argument("--html", metavar="FILE", help="with --plot: write a page")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import RequestError
    from striate.recipe import keys_called

    if chosen.plot:
        return _plotted(chosen)
    if chosen.recipe or chosen.assignments or chosen.html:
        raise RequestError("--recipe, --set and --html go with --plot schedule")
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


def _plotted(chosen: argparse.Namespace) -> Answer:
    from striate.errors import printable
    from striate.jobs.schedules import drawn_schedules
    from striate.recipe import Recipe

    recipe = None
    if chosen.recipe or chosen.assignments:
        recipe = Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()
        recipe = recipe.assigned(chosen.assignments)
    drawn = drawn_schedules(recipe, html=chosen.html)
    lines = []
    for one in drawn:
        lines += [
            f"{one.name:14}  {one.bars()}",
            f"{'':16}{one.title} Here from {min(one.rates):.3g} to {max(one.rates):.3g}.",
        ]
    lines += [f"Page {printable(chosen.html)}"] if chosen.html else []
    facts = [{"name": one.name, "epochs": one.epochs, "rates": list(one.rates)} for one in drawn]
    return Answer("\n".join(lines), {"schedules": facts})


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
