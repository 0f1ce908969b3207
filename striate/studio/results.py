"""What jobs that are no trainings leave behind: found by the command line that they show, so that none runs twice."""

from __future__ import annotations

import json
from typing import Any

from striate.reading import LOG, read_file
from striate.studio.describing import job_facts
from striate.studio.jobs import Job
from striate.studio.studio import Studio


def last(studio: Studio, kind: str, shown: str) -> Job | None:
    """The last job of a kind with this command line."""
    return next((job for job in reversed(studio.jobs.all()) if job.kind == kind and job.shown == shown), None)


def answer(job: Job) -> dict[str, Any]:
    """The JSON of the command, of a job that is done; {} if there is none."""
    try:
        found = json.loads(read_file(job.folder / "stdout", LOG).splitlines()[-1])
    except (OSError, ValueError, IndexError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def facts(studio: Studio, job: Job | None) -> dict[str, Any]:
    """State and progress for a page; state "" without a job."""
    if job is None:
        return {"job": 0, "state": "", "words": "", "stage": "", "bars": [], "lines": [], "error": ""}
    return job_facts(studio, job)


def begun(studio: Studio, job: Job | None) -> Job | None:
    """The job, if it is done, runs or waits: there is no need to start it again."""
    return job if job is not None and studio.jobs.known_state(job) in ("waiting", "running", "done") else None
