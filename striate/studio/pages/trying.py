"""Try: a picture by camera, drop or paste, and what the model says to it; a wrong answer goes back into the data."""

from __future__ import annotations

import shlex
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from striate.errors import RequestError
from striate.learning.run_folder import MODEL
from striate.serving.schemas import IMAGE_BODY
from striate.studio.datasets import DataSet
from striate.studio.held_out import data_of
from striate.studio.runs import task_of
from striate.studio.studio import Studio

PART = "train"  # of a set that has parts: what was tried is trained on, never measured on


def add(app: FastAPI, studio: Studio) -> None:
    """Add /try/R."""

    @app.get("/try/{name}", include_in_schema=False)
    def page(request: Request, name: str) -> Response:
        run = studio.runs.get(name)
        shown = f"striate predict {shlex.quote(studio.runs.place(name))} PICTURE"
        values: dict[str, Any] = {"title": f"Try {name}", "name": name, "classes": [], "problem": "", "data": 0,
                                  "targets": [], "why_not": "", "state": run.state,
                                  "shown": shown}  # fmt: skip
        if run.state == "done":
            values |= _told(studio, name)
        return studio.pages.page(request, "try.html", values)

    @app.post("/api/runs/{name}/predict", tags=["runs"], openapi_extra=IMAGE_BODY)
    async def predict(name: str, request: Request) -> dict[str, Any]:
        """Predict one image: the body is the image file, as of `striate serve`; with what the net sees of it."""
        model = await run_in_threadpool(studio.runs.file, name, MODEL)
        async with studio.images.body(request.headers, request.receive) as content:
            return await run_in_threadpool(studio.predictors.predict, model, content)


def _told(studio: Studio, name: str) -> dict[str, Any]:
    """The classes of a model, and where a wrong answer can go."""
    try:
        task = task_of(studio.runs.file(name, MODEL))
    except (RequestError, KeyError, TypeError) as error:
        return {"problem": f"The model cannot be opened: {error}"}
    data = data_of(studio, name)
    told: dict[str, Any] = {"classes": list(task.names), "data": data.number if data else 0}
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
