"""Inside: the table of the net with every stage drawn, and a class map for an image that the run was measured on."""

from __future__ import annotations

import shlex
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from striate.errors import RequestError
from striate.learning.run_folder import MODEL
from striate.model.file import description
from striate.reading import LOG, read_file
from striate.studio import looking
from striate.studio.describing import job_facts
from striate.studio.held_out import data_of, held_out
from striate.studio.pages.run import SANDBOX
from striate.studio.studio import Studio
from striate.web.refusals import Refused

IMAGES = 60  # of the grid


class Explaining(BaseModel):
    """word, image: of the data's list. class: to explain, or "" for the answer."""

    word: str
    image: int
    class_: str = Field("", alias="class", max_length=1000)


def add(app: FastAPI, studio: Studio) -> None:
    """Add /runs/R/inside and the pages of its jobs."""

    @app.get("/runs/{name}/inside", include_in_schema=False)
    def page(request: Request, name: str) -> Response:
        run = studio.runs.get(name)
        data = data_of(studio, name)
        place = shlex.quote(studio.runs.place(name))
        values: dict[str, Any] = {
            "title": f"Inside {name}", "name": name, "state": run.state, "event": studio.hub.last, "problem": "",
            "data": data.number if data else 0, "images": [], "classes": [], "why": "", "word": "", "drawable": "",
            "shown": f"striate inspect {place} IMAGE",
        }  # fmt: skip
        if run.state == "done":
            values |= _told(studio, name)
        return studio.pages.page(request, "inside.html", values)

    @app.post("/api/runs/{name}/net", tags=["runs"])
    def net(name: str) -> dict[str, Any]:
        """Draw the net of a run, stage by stage: a job, or what an earlier one drew; the page is /jobs/N/page.html."""
        return job_facts(studio, looking.start_net(studio, name))

    @app.post("/api/runs/{name}/explain", tags=["runs"])
    def explain(name: str, wanted: Explaining) -> dict[str, Any]:
        """Explain the answer for an image of the run's data by a class map: a job, whose page is /jobs/N/page.html."""
        data = data_of(studio, name)
        if data is None:
            raise Refused(404, "the data of this run are not in this studio")
        item = data.listed().item(wanted.word, wanted.image)
        return job_facts(studio, looking.start_inspection(studio, name, data, item, wanted.class_))

    @app.get("/jobs/{number}/page.html", include_in_schema=False)
    def written(number: int) -> Response:
        content = read_file(looking.page_of(studio.jobs.get(number)), LOG)
        return HTMLResponse(content, headers={"content-security-policy": SANDBOX})


def _told(studio: Studio, name: str) -> dict[str, Any]:
    """The images, worst first, and whether the net can be drawn."""
    try:
        said = description(studio.runs.file(name, MODEL))
    except RequestError as error:
        return {"problem": f"The model cannot be opened: {error}"}
    told: dict[str, Any] = {"classes": [str(one) for one in said.get("classes", [])], "undrawable": ""}
    try:
        words = looking.net_command(studio, name)
        told["drawable"] = f"striate {shlex.join(words)} --html net.html"
    except RequestError as error:
        told["undrawable"] = str(error)
    data, measured = data_of(studio, name), held_out(studio, name)
    try:
        listed = data.listed() if data else None
    except RequestError:
        listed = None
    if listed is None:
        return told | {"why": "The data of this run are not in this studio, so there are no images to choose from."}
    images = [{"number": number, "key": one.key, "target": one.target, "said": one.said}
              for one in measured if (number := listed.number(one.key)) is not None][:IMAGES]  # fmt: skip
    why = "" if images else "This run was measured on no image that its data still have."
    return told | {"images": images, "word": listed.word, "why": why}
