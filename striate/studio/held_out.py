"""The images that a run was measured on, and the data set that has them."""

from __future__ import annotations

from dataclasses import dataclass

from striate.data.sources.rows import from_cell, read_table
from striate.errors import RequestError
from striate.learning.outcomes import OUTCOME_COLUMNS, OUTCOMES
from striate.learning.run_folder import MODEL, RECIPE
from striate.model.file import description
from striate.reading import TEXT, read_file
from striate.recipe import Recipe
from striate.studio.datasets import DataSet
from striate.studio.studio import Studio
from striate.tasks.registry import task_from_dict
from striate.web.refusals import Refused

WRONG, RIGHT = "wrong", "right"


@dataclass(frozen=True)
class HeldOut:
    """One image. key: its path in the data. score: 1 or 0, right or wrong; a share; or of a number its error."""

    key: str
    target: str
    score: float
    said: str


def said(score: float, *, share: bool) -> str:
    """A score in words. share: the higher the better; else it is an error."""
    if not share:
        return f"off by {score:.3g}"
    return RIGHT if score == 1 else WRONG if score == 0 else f"{100 * score:.0f} %"


def data_of(studio: Studio, name: str) -> DataSet | None:
    """The data set that a run was trained on: of its job, else of its recipe; None if this studio has none of it."""
    job = studio.jobs.of_run(name)
    try:
        if job is not None and job.data:
            return studio.data.get(job.data)
        path = Recipe.from_toml(read_file(studio.runs.file(name, RECIPE), TEXT).decode()).data.path
    except (Refused, RequestError, OSError, ValueError):
        return None
    places = {path, str((studio.home / path).resolve())} if path else set()
    return next((one for one in studio.data.all() if one.path in places), None)


def held_out(studio: Studio, name: str) -> list[HeldOut]:
    """The images that a run was measured on, the worst first; empty if that was not recorded, or is damaged."""
    path = studio.runs.get(name).path / OUTCOMES
    if not path.is_file() or path.is_symlink():
        return []
    try:
        header = description(studio.runs.file(name, MODEL))
        share = task_from_dict(header["task"], tuple(header["classes"])).metric.share
        table = read_table(path, "evaluated images", OUTCOME_COLUMNS, errors="surrogateescape")
        rows = [(from_cell(key), from_cell(target), float(score)) for _, (key, target, score) in table.rows]
    except (RequestError, KeyError, TypeError, ValueError):
        return []
    found = [HeldOut(key, target, score, said(score, share=share)) for key, target, score in rows]
    return sorted(found, key=lambda one: one.score if share else -one.score)
