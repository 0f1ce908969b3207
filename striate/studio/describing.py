"""Runs and jobs as the facts that pages show and the API answers."""

from __future__ import annotations

from typing import Any

from striate.studio.jobs import Job
from striate.studio.runs import RunState
from striate.studio.studio import Studio

WORDS = {
    "waiting": "waiting", "running": "running", "done": "done", "failed": "failed", "stopped": "stopped",
    "interrupted": "interrupted", "lost": "lost before it began", "begun": "ended before it could be resumed",
}  # fmt: skip


def run_facts(studio: Studio, run: RunState) -> dict[str, Any]:
    """State, net, strategy and score of a run."""
    job = studio.jobs.of_run(run.name)
    state = studio.jobs.known_state(job) if job is not None else run.state
    if run.state == "done":
        state = "done"
    facts = {"points": [], "net": "", "strategy": "", **studio.runs.facts(run)}
    return {**facts, "name": run.name, "state": state, "words": WORDS[state], "changed": run.changed,
            "result": score_text(facts)}  # fmt: skip


def ended_badly(studio: Studio, job: Job) -> bool:
    """Whether a job ended without a result."""
    return studio.jobs.known_state(job) in ("failed", "lost")


def failed_facts(studio: Studio, job: Job) -> dict[str, Any]:
    """As `run_facts`, of a job that left no run folder."""
    state = studio.jobs.known_state(job)
    return {"name": job.run, "state": state, "words": WORDS[state], "points": [], "net": "", "strategy": "",
            "result": "", "changed": 0.0}  # fmt: skip


def job_facts(studio: Studio, job: Job) -> dict[str, Any]:
    """State and progress of a job, and the command line that does the same."""
    state = studio.jobs.known_state(job)
    return {"job": job.number, "kind": job.kind, "run": job.run, "data": job.data, "state": state,
            "words": WORDS[state], "shown": job.shown, **job.following.facts()}  # fmt: skip


def score_text(facts: dict[str, Any]) -> str:
    """The score of a finished run in words; "" without one."""
    metric, score = facts.get("metric"), facts.get("score")
    if not isinstance(score, (int, float)) or not metric:
        return ""
    name = str(metric).replace("_", " ")
    return f"{name} {score:.3g}" if "error" in name else f"{name} {100 * score:.1f} %"
