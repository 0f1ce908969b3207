"""Train: three fields, all choices of the recipe below them, and the command line that does the same."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from striate.nets.catalog import entries
from striate.recipe import keys_called
from striate.studio import trainings
from striate.studio.describing import job_facts
from striate.studio.studio import Studio
from striate.weights.registry import has_weights

STRATEGIES = (
    ("auto", "Automatic", "A head on pretrained features; fine-tuned if that should help."),
    ("quick", "Quick", "Seconds: a linear head on pretrained features."),
    ("best", "Best", "Minutes or hours: the pretrained network is fine-tuned."),
    ("scratch", "From scratch", "Random weights. For many small images, and to learn how it is done."),
)
FIRST = ("strategy", "net.name", "train.epochs")  # keys that have a field of their own above the others


class Choices(BaseModel):
    """name: of the run, or "" for the data's. choices: texts by the keys of `striate recipe`; empty ones unset."""

    name: str = ""
    choices: dict[str, str] = {}


def add(app: FastAPI, studio: Studio) -> None:
    """Add /train and starting."""

    @app.get("/train", include_in_schema=False)
    def train(request: Request, data: int, net: str = "") -> Response:
        found = studio.data.get(data)
        facts = found.facts()
        kind = found.listed().source.task.net_kind if facts["images"] else None
        nets = [one.name for one in entries(kind=kind)]
        keys = [key for key in keys_called() if key.name not in (*FIRST, *trainings.APART)]
        values = {
            "title": f"Train on {found.name}", "data": found, "facts": facts, "strategies": STRATEGIES,
            "nets": nets, "pretrained": [name for name in nets if has_weights(name)],
            "tables": [(table, list(keys)) for table, keys in groupby(keys, lambda key: key.table)],
            "decided": len(found.journal.current()), "net": net if net in nets else "", "event": studio.hub.last,
        }  # fmt: skip
        return studio.pages.page(request, "train.html", values)

    @app.post("/api/data/{number}/command", tags=["training"])
    def command(number: int, wanted: Choices) -> dict[str, Any]:
        """The command line of these choices, and nothing is started."""
        data = studio.data.get(number)
        run = trainings.run_name(studio, data, wanted.name)
        return {"command": trainings.shown(data, trainings.recipe_of(data, wanted.choices), run)}

    @app.post("/api/data/{number}/train", tags=["training"])
    def start(number: int, wanted: Choices) -> dict[str, Any]:
        """Train: a job at the end of the queue."""
        return job_facts(studio, trainings.start(studio, studio.data.get(number), wanted.name, wanted.choices))
