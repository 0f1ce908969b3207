"""Compare: runs side by side as `striate compare` has them, and the images on which they disagree."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from striate.errors import RequestError
from striate.jobs.compare import summary
from striate.learning.run_folder import MODEL
from striate.report.compare.comparing import Comparison
from striate.report.compare.page import comparison_sections
from striate.studio.describing import run_facts
from striate.studio.held_out import data_of, said
from striate.studio.studio import Studio

MOST = 12  # runs of one page
DISPUTED = 24  # images that are shown


def add(app: FastAPI, studio: Studio) -> None:
    """Add /compare."""

    @app.get("/compare", include_in_schema=False)
    def page(request: Request, r: Annotated[list[str] | None, Query()] = None) -> Response:
        every = studio.runs.all()
        hidden = studio.index.hidden("runs")
        chosen = _names(r or [], every)
        done = [run_facts(studio, run) for name, run in every.items()
                if run.state == "done" and (name not in hidden or name in chosen)]  # fmt: skip
        values: dict[str, Any] = {"title": "Compare", "runs": done, "chosen": chosen, "body": "", "disputed": [],
                                  "problem": "", "shown": "striate compare runs/A runs/B"}  # fmt: skip
        if chosen:
            places = " ".join(shlex.quote(studio.runs.place(name)) for name in chosen)
            values["shown"] = f"striate compare {places}"
        if len(chosen) > 1:
            try:
                values |= _compared(studio, chosen)
            except RequestError as error:
                values["problem"] = str(error)
        return studio.pages.page(request, "compare.html", values)


def _names(given: Sequence[str], known: dict[str, Any]) -> list[str]:
    """The runs that are asked for: r=A,B, or r=A&r=B. Raises RequestError for too many."""
    names = [name for one in given for name in ([one] if one in known else one.split(",")) if name]
    if len(names) > MOST:
        raise RequestError(f"at most {MOST} runs are compared, not {len(names)}")
    return list(dict.fromkeys(names))


def _compared(studio: Studio, names: Sequence[str]) -> dict[str, Any]:
    found = Comparison(
        tuple(dataclasses.replace(summary(studio.runs.file(name, MODEL).parent), name=name) for name in names)
    )  # their paths would not tell more
    return {"body": Markup(comparison_sections(found)), "disputed": _disputed(studio, found)}


def _disputed(studio: Studio, found: Comparison) -> list[dict[str, Any]]:
    """Images that all runs were measured on, where they differ most. number: of the picture; None without one."""
    first, *others = [run.outcomes for run in found.runs]
    common = [key for key in first if all(key in run for run in others)]
    scores = {key: [run.outcomes[key][1] for run in found.runs] for key in common}
    apart = sorted((key for key in common if max(scores[key]) != min(scores[key])),
                   key=lambda key: min(scores[key]) - max(scores[key]))  # fmt: skip
    data = data_of(studio, found.runs[0].name)
    try:
        listed = data.listed() if data else None
    except RequestError:
        listed = None
    share = all(run.higher_is_better for run in found.runs)
    return [
        {"key": key, "target": first[key][0], "data": data.number if data else 0, "word": listed.word if listed else "",
         "number": listed.number(key) if listed else None, "said": [said(one, share=share) for one in scores[key]],
         "of": len(apart)}
        for key in apart[:DISPUTED]
    ]  # fmt: skip
