"""The training recipes of the papers, as data: a file of `nets/recipes` a paper, found through the catalogue."""

from __future__ import annotations

from pathlib import Path

from striate.errors import RequestError
from striate.nets.catalog import check_classifier, entries, entry
from striate.recipe import Measured, Recipe
from striate.recipe.measured import measured_in

FOLDER = Path(__file__).with_name("recipes")


def paper_recipe(net: str) -> Recipe:
    """The training recipe of the paper of `net`, as far as recipe keys express it; its file's header has the rest.

    Raises RequestError for a net without a paper's recipe, with a list of those that have one.
    """
    return Recipe.from_file(paper_file(net)).updated({"net.name": net})


def paper_measured(net: str) -> Measured | None:
    """The results of our own runs of that recipe, None without any. Raises RequestError as `paper_recipe`."""
    return measured_in(paper_file(net).read_text("utf-8"))


def paper_file(net: str) -> Path:
    """The file of that recipe. Raises RequestError as `paper_recipe`."""
    name = entry(net).recipe
    if name is None:
        check_classifier(net)
        having = [one.name for one in entries() if one.recipe]
        shown = ", ".join(having[:12]) + (", ..." if len(having) > 12 else "")
        raise RequestError(f"there is no recipe of the paper for {net!r}; nets that have one: {shown}")
    return FOLDER / f"{name}.toml"
