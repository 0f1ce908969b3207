"""Run: stage, bars, curves and log while it lasts; Stop and Resume; when it is done, its report."""

from __future__ import annotations

import shlex
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from striate.learning.run_folder import REPORT
from striate.reading import read_file
from striate.studio.charts import curves
from striate.studio.describing import job_facts, run_facts
from striate.studio.studio import Studio
from striate.studio.trainings import require_own
from striate.web.refusals import Refused

LARGEST_REPORT = 2**24  # bytes; Striate's own have at most three million
# A stranger's run may have any report: without a script, without our origin, and sending nothing.
SANDBOX = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"


def add(app: FastAPI, studio: Studio) -> None:
    """Add /runs/R."""

    @app.get("/runs/{name}", include_in_schema=False)
    def run(request: Request, name: str) -> Response:
        facts = _facts(studio, name)
        values = {"title": name, "run": facts, "curves": _curves(studio, name), "event": studio.hub.last}
        return studio.pages.page(request, "run.html", values)

    @app.get("/api/runs/{name}", tags=["runs"])
    def facts(name: str) -> dict[str, Any]:
        """State, stage, bars, messages and score of a run."""
        return _facts(studio, name)

    @app.get("/runs/{name}/curves", include_in_schema=False)
    def drawn(name: str) -> Response:
        return HTMLResponse(_curves(studio, name))

    @app.get("/runs/{name}/report.html", include_in_schema=False)
    def report(name: str) -> Response:
        try:
            content = read_file(studio.runs.file(name, REPORT), LARGEST_REPORT)
        except OSError as error:
            raise Refused(413, f"the report cannot be shown: {error.strerror or error}") from None
        return HTMLResponse(content, headers={"content-security-policy": SANDBOX})

    @app.post("/api/runs/{name}/resume", tags=["runs"])
    def resume(name: str) -> dict[str, Any]:
        """Resume a run that was stopped or interrupted: a job at the end of the queue."""
        found = studio.runs.get(name).name
        if studio.runs.resumable(found):
            require_own(studio, found)
        return job_facts(studio, studio.jobs.resume(found))


def _facts(studio: Studio, name: str) -> dict[str, Any]:
    """Of the run folder, and of its last job. Raises Refused if there is neither."""
    job, found = studio.jobs.of_run(name), studio.runs.all().get(name)
    if job is None and found is None:
        raise Refused(404, f"there is no run {name!r}")
    facts: dict[str, Any] = {
        "job": 0, "data": 0, "stage": "", "bars": [], "lines": [], "error": "", "result": "", "net": "", "strategy": "",
        "why": "", "seconds": None, "shown": f"striate compare {shlex.quote(studio.runs.place(name))}",
    }  # fmt: skip
    if job is not None:
        facts |= job_facts(studio, job) | {"name": name}
    if found is not None:
        facts |= run_facts(studio, found)
    facts["has_report"] = found is not None and (found.path / REPORT).is_file()
    facts["resumable"] = facts["state"] in ("stopped", "interrupted") and studio.runs.resumable(name)
    return facts


def _curves(studio: Studio, name: str) -> str:
    found = studio.runs.all().get(name)
    return curves(studio.runs.epochs(found)) if found else curves([])
