"""A training from the choices of a page: the recipe that the process reads, and the command line that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from striate.errors import RequestError, unknown
from striate.errors import shown as shown_value
from striate.recipe import Recipe, keys_called
from striate.recipe.toml import text_of
from striate.studio import names
from striate.studio.datasets import DataSet, is_below
from striate.studio.files import require_ordinary
from striate.studio.jobs import TRAIN, Job
from striate.studio.studio import Studio

FILE = "recipe.toml"
APART = ("data.path", "data.decisions", "net.options", "data.split", "data.ood")  # paths, and what has no field
FLAGS = {"strategy": "--strategy", "net.name": "--net", "train.epochs": "--epochs", "seed": "--seed",
         "data.decisions": "--decisions"}  # fmt: skip


def recipe_of(data: DataSet, chosen: Mapping[str, str]) -> Recipe:
    """The recipe of a training, with the decisions that count now, which are written to their file.

    chosen: texts by key, empty ones unset. Raises RequestError for a wrong one.
    """
    data.require_inside()
    known = {key.name for key in keys_called()} - set(APART)
    given: dict[str, Any] = {}
    for name, value in chosen.items():
        if name not in known:
            raise unknown("choice", name[:60], known)
        if value.strip():
            given[name] = value.strip()
    net = given.get("net.name", "")
    if "/" in net or "\\" in net or ":" in net or net.endswith((".toml", ".safetensors")):
        raise RequestError("the net is one of the catalogue; nets and models of files are trained on the command line")
    recipe = Recipe().updated(given).updated({"data.path": data.command})
    if data.journal.current():
        data.journal.compact(data.decisions_file)
        recipe = recipe.updated({"data.decisions": str(data.decisions_file)})
    return recipe


def shown(data: DataSet, recipe: Recipe, run: str) -> str:
    """The command line that trains this."""
    words = ["striate", "train", data.command]
    default = Recipe().updated({name: recipe.value(name) for name in ("optimizer.name", "schedule.name")})
    usual, values = default.values(), recipe.values()
    for name, value in values.items():
        named_anew = name in ("optimizer.name", "schedule.name") and value != Recipe().value(name)
        if name == "data.path" or (value == usual.get(name) and not named_anew):
            continue
        text = value if isinstance(value, str) else "none" if value is None else text_of(value)
        words += [FLAGS[name], text] if name in FLAGS else ["--set", f"{name}={text}"]
    return " ".join(map(shlex.quote, [*words, "--out", f"runs/{run}"]))


def require_own(studio: Studio, run: str) -> None:
    """Raise RequestError for a run, perhaps a stranger's, that would read data or write files from elsewhere."""
    require_ordinary(studio.runs.path(run))
    recipe = Recipe.from_file(studio.runs.path(run) / FILE)
    for name in ("data.path", "data.decisions", "data.split", "data.ood"):
        value = recipe.value(name)
        if value and not is_below(str(value), studio.root, studio.home):
            raise RequestError(
                f"the run {run!r} has {name} = {shown_value(value, 200)}, which is not below the root of this studio; "
                f"the command line resumes it: striate train --resume {shlex.quote(studio.runs.place(run))}"
            )


def run_name(studio: Studio, data: DataSet, name: str) -> str:
    """The name of a new run: what a person wrote, made a folder's name that is free."""
    return names.folder_name(name or data.name, {*studio.runs.all(), *(job.run for job in studio.jobs.all())})


def start(studio: Studio, data: DataSet, name: str, chosen: Mapping[str, str]) -> Job:
    """Train on a data set: a job at the end of the queue. Raises RequestError."""
    data.listed()  # raises RequestError for data that cannot be opened
    recipe = recipe_of(data, chosen)
    run = run_name(studio, data, name)
    arguments = ["train", "--recipe", "{job}/" + FILE, "--out", f"runs/{run}"]
    return studio.jobs.add(
        TRAIN, arguments, shown(data, recipe, run), run=run, data=data.number, files=[(FILE, recipe.toml())]
    )
