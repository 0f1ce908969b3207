"""Home: the data sets, the runs with their states and scores, the queue; a folder can be dropped."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from striate.studio.charts import sparkline
from striate.studio.describing import ended_badly, failed_facts, job_facts, run_facts
from striate.studio.studio import Studio


class Hidden(BaseModel):
    """Whether something is hidden from Home; its folder stays as it is."""

    hidden: bool


class Order(BaseModel):
    """The numbers of the waiting jobs, the next one first."""

    jobs: list[int]


def add(app: FastAPI, studio: Studio) -> None:
    """Add / and what Home asks for."""

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        found = _home(studio)
        for run in found["runs"]:
            run["spark"] = sparkline(run["points"])
        return studio.pages.page(request, "home.html", {"title": "Home", "event": studio.hub.last, **found})

    @app.get("/api/home", tags=["home"])
    def facts() -> dict[str, Any]:
        """Data sets, runs, indexes and networks of style, and the queue."""
        return _home(studio)

    @app.put("/api/queue", tags=["jobs"])
    def order(wanted: Order) -> dict[str, Any]:
        """Let the waiting jobs be in this order."""
        waiting = {job.number for job in studio.jobs.waiting()}
        studio.jobs.order([number for number in dict.fromkeys(wanted.jobs) if number in waiting])
        return {"queue": [job.number for job in studio.jobs.waiting()]}

    @app.post("/api/jobs/{number}/stop", tags=["jobs"])
    def stop(number: int) -> dict[str, Any]:
        """Stop a job, or take it out of the queue; a training writes a checkpoint first."""
        job = studio.jobs.get(number)
        studio.jobs.stop(job)
        return job_facts(studio, job)

    @app.get("/api/jobs/{number}", tags=["jobs"])
    def job(number: int) -> dict[str, Any]:
        """State, stage, bars and messages of a job."""
        return job_facts(studio, studio.jobs.get(number))

    @app.put("/api/data/{number}/hidden", tags=["data"])
    def hide_data(number: int, wanted: Hidden) -> dict[str, Any]:
        """Hide a data set from Home, or show it again."""
        studio.index.hide("data", str(studio.data.get(number).number), wanted.hidden)
        studio.hub.publish({"home": True})
        return {"number": number, "hidden": wanted.hidden}

    @app.put("/api/runs/{name}/hidden", tags=["runs"])
    def hide_run(name: str, wanted: Hidden) -> dict[str, Any]:
        """Hide a run from Home, or show it again."""
        if studio.jobs.of_run(name) is None:
            studio.runs.get(name)
        studio.index.hide("runs", name, wanted.hidden)
        studio.hub.publish({"home": True})
        return {"run": name, "hidden": wanted.hidden}


def _home(studio: Studio) -> dict[str, Any]:
    hidden_data, hidden_runs = studio.index.hidden("data"), studio.index.hidden("runs")
    data = [one.facts() for one in studio.data.all() if str(one.number) not in hidden_data]
    found = studio.runs.all()
    runs = [run_facts(studio, run) for name, run in found.items() if name not in hidden_runs]
    without = {job.run: job for job in studio.jobs.all() if job.run and job.run not in {*found, *hidden_runs}}
    runs = [*(failed_facts(studio, job) for job in without.values() if ended_badly(studio, job)), *runs]
    queue = [job_facts(studio, job) for job in studio.jobs.waiting()]
    active = [job_facts(studio, job) for job in studio.jobs.all() if studio.jobs.known_state(job) == "running"]
    others = [{"name": one.name, "kind": one.kind, "words": one.words} for one in studio.applications.all().values()]
    return {"data": data, "runs": runs, "applications": others, "queue": queue, "running": active,
            "hidden_runs": len(hidden_runs), "hidden_data": len(hidden_data)}  # fmt: skip
