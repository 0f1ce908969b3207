"""New: a data set from a dropped folder, from the camera, from a folder below the root, or from a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from striate.data.sources.named import PACKAGED
from striate.errors import RequestError
from striate.studio import names
from striate.studio.datasets import DataSet
from striate.studio.studio import Studio
from striate.web.refusals import Refused


class NewData(BaseModel):
    """name: of a new data set, to upload images to; or path: of a folder below the root, or a set of a package."""

    name: str = ""
    path: str = ""


class Contents(BaseModel):
    """The SHA-256 of files, of which those that are there already need not be sent."""

    class_: str = Field(alias="class")
    part: str = ""
    sha256: list[str] = Field(max_length=1000)


def add(app: FastAPI, studio: Studio) -> None:
    """Add /data/new and uploading."""

    @app.get("/data/new", include_in_schema=False)
    def new(request: Request) -> Response:
        values = {
            "title": "New data",
            "folders": studio.data.folders(),
            "sets": list(PACKAGED),
            "root_path": studio.root,
        }
        return studio.pages.page(request, "new.html", values)

    @app.post("/api/data", tags=["data"])
    def make(wanted: NewData) -> dict[str, Any]:
        """A new data set."""
        if bool(wanted.name) == bool(wanted.path):
            raise RequestError("give a name, for images to upload, or the path of a folder")
        made = studio.data.make(wanted.name) if wanted.name else studio.data.use(wanted.path)
        studio.index.hide("data", str(made.number), hidden=False)
        studio.hub.publish({"home": True})
        return made.facts()

    @app.post("/api/data/{number}/known", tags=["data"])
    def which(number: int, wanted: Contents) -> dict[str, Any]:
        """Which of these contents a class has already."""
        folder = _folder(studio.data.get(number), wanted.class_, wanted.part)
        return {"known": [one for one in wanted.sha256 if studio.uploads.known(folder, one)]}

    @app.put("/api/data/{number}/files/{class_}", tags=["data"])
    async def upload(number: int, class_: str, request: Request, name: str = "image", part: str = "") -> dict[str, Any]:
        """Add an image to a class: the body is the file. The answer has its name and SHA-256."""
        folder = _folder(studio.data.get(number), class_, part)
        got = await studio.uploads.receive(folder, name, request.headers, request.receive)
        studio.hub.publish({"data": number, "uploaded": True})
        return {"name": got.name, "sha256": got.sha256, "size": got.size, "known": got.known}


def _folder(data: DataSet, class_: str, part: str) -> Path:
    """Where images of a class go. Raises RequestError for a name that is none, Refused for data not made here."""
    if not data.made:
        raise Refused(409, f"{data.name!r} is a folder that you made: copy images there, and they appear here")
    folder = data.home / names.part_name(part) / names.class_name(class_)
    if data.home.is_symlink() or not folder.resolve().is_relative_to(data.home.resolve()):
        raise Refused(403, f"{names.class_name(class_)!r} is a link that leads out of {data.name!r}")
    return folder
