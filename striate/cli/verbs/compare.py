"""`striate compare`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer
from striate.errors import printable

HELP = "compare several runs on one page"
EXAMPLE = "striate compare runs/photos runs/photos-2 --out comparison.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders of striate train; two or more")
    parser.add_argument(
        "--out", metavar="FILE", default="comparison.html", help="the page to write (default: comparison.html)"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    import dataclasses

    from striate.jobs.compare import compare as job

    done = job(chosen.runs, out=chosen.out)
    rows = [{k: v for k, v in dataclasses.asdict(run).items() if k != "outcomes"} for run in done.runs]
    for row in rows:
        row["score"] = row["score"] if row["score"] == row["score"] else None  # JSON has no NaN
    return Answer(f"{done.text}\nPage {printable(chosen.out)}", {"page": str(chosen.out), "runs": rows})
