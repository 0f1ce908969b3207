"""Try: a picture by camera, drop or paste, and what the model says to it; a wrong answer goes back into the data."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from striate.errors import RequestError
from striate.learning.run_folder import MODEL
from striate.lines.composing import NONE
from striate.lines.preparing import WINDOW
from striate.model.file import description
from striate.serving.answers import Answers
from striate.serving.asked import Asked
from striate.serving.schemas import IMAGE_BODY, LEAST_SIDE, MOST_NEIGHBOURS, MOST_SIDE
from striate.studio.datasets import DataSet
from striate.studio.held_out import data_of
from striate.studio.predicting import Asking
from striate.studio.runs import task_of
from striate.studio.studio import Studio

SIDES = (256, 512, MOST_SIDE)  # of a painted picture, to choose from
PART = "train"  # of a set that has parts: what was tried is trained on, never measured on


def add(app: FastAPI, studio: Studio) -> None:
    """Add /try/R, of a run, an index or a network of style."""

    @app.get("/try/{name}", include_in_schema=False)
    def page(request: Request, name: str) -> Response:
        if name not in studio.runs.all() and (other := studio.applications.all().get(name)):
            of_file = {"title": f"Try {name}", "one": other, "shown": other.shown, "sides": SIDES}
            return studio.pages.page(request, "apply.html", of_file)
        run = studio.runs.get(name)
        shown = f"striate predict {shlex.quote(studio.runs.place(name))} PICTURE"
        values: dict[str, Any] = {"title": f"Try {name}", "name": name, "classes": [], "problem": "", "data": 0,
                                  "targets": [], "why_not": "", "state": run.state, "lines": False,
                                  "shown": shown}  # fmt: skip
        if run.state == "done":
            values |= _told(studio, name)
            if values["lines"]:
                values["shown"] += f"\nstriate read {shlex.quote(studio.runs.place(name))} LINE"
        return studio.pages.page(request, "try.html", values)

    @app.post("/api/runs/{name}/predict", tags=["runs"], openapi_extra=IMAGE_BODY)
    async def predict(name: str, request: Request, line: bool = False) -> dict[str, Any]:
        """Predict one image: the body is the image file, as of `striate serve`; with what the net sees of it.

        line: read it as a line of digits, by a model of windows that is slid over it.
        """
        model = await run_in_threadpool(studio.runs.file, name, MODEL)
        async with studio.images.body(request.headers, request.receive) as content:
            if line:
                asking = Asking(model, "lines", partial(_reading, model))
                return (await run_in_threadpool(studio.predictors.ask, asking, content, Asked())).facts
            return await run_in_threadpool(studio.predictors.predict, model, content)

    @app.post("/api/applications/{name}/predict", tags=["applications"], openapi_extra=IMAGE_BODY)
    async def apply(
        name: str,
        request: Request,
        top: Annotated[int | None, Query(ge=1, le=MOST_NEIGHBOURS)] = None,
        size: Annotated[int | None, Query(ge=LEAST_SIDE, le=MOST_SIDE)] = None,
        keep_colours: bool = False,
    ) -> dict[str, Any]:
        """Search by an image in an index of the studio's folder, or paint it by a network of style there."""
        await run_in_threadpool(studio.applications.get, name)
        asked = Asked(top=top, size=size, keep_colours=keep_colours)
        async with studio.images.body(request.headers, request.receive) as content:
            return await run_in_threadpool(studio.applications.answer, name, content, asked)


def _reading(model: Path) -> Answers:
    from striate.serving.lines_read import LinesRead  # imports torch

    return LinesRead.of_file(str(model))


def _reads_lines(model: Path, classes: tuple[str, ...]) -> bool:
    """Whether it is a model of windows as `striate compose` makes them."""
    pixels = description(model)["pixels"]
    return NONE in classes and (pixels["height"], pixels["width"]) == (WINDOW, WINDOW)


def _told(studio: Studio, name: str) -> dict[str, Any]:
    """The classes of a model, and where a wrong answer can go."""
    try:
        file = studio.runs.file(name, MODEL)
        task = task_of(file)
        lines = task.one_class and _reads_lines(file, task.names)
    except (RequestError, KeyError, TypeError) as error:
        return {"problem": f"The model cannot be opened: {error}"}
    data = data_of(studio, name)
    told: dict[str, Any] = {"classes": list(task.names), "data": data.number if data else 0, "lines": lines}
    if not task.one_class:
        return told | {"why_not": f"This model is of the task {task.kind}, whose targets are not folders of images: a "
                       "wrong answer is corrected in the annotations that it was trained on."}  # fmt: skip
    made = [one for one in studio.data.all() if one.made]
    made.sort(key=lambda one: one is not data)
    if data is not None and not data.made:
        told["why_not"] = (
            f"{data.name} is a folder of your own, which the studio does not write to. Save the picture there, "
            "or add it to data that were made here."
        )
    elif not made:
        told["why_not"] = "There are no data that were made here: drop a folder on Home, and they take pictures."
    return told | {"targets": [_target(one) for one in made]}


def _target(data: DataSet) -> dict[str, Any]:
    facts = data.facts()
    parts = set() if "error" in facts else {item.part for item in data.listed().items.values()} - {""}
    return {"number": data.number, "name": data.name, "classes": facts["classes"], "part": PART if parts else ""}
