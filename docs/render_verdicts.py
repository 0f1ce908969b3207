"""Render the records of studies as docs/verdicts.md: every study, its claims, and what was found at which scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from striate.studies import catalog

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "benchmarks" / "records" / "studies"
INTRODUCTION = """# Verdicts of the studies

What `striate reproduce` found so far, generated from `benchmarks/records/studies` by `python docs/render_verdicts.py`.
The rule of each claim is in the study's file and was written before its first run. At the scale `quick` most
experiments are too small to decide; `cpu` is what two cores do in an hour. [How studies work](studies.md).
"""


def records() -> dict[str, list[dict[str, Any]]]:
    """The records of each study, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(RECORDS.glob("*.json")):
        facts = json.loads(path.read_text("utf-8"))
        found.setdefault(facts["study"], []).append(facts)
    return found


def rendered() -> str:
    """The page."""
    known = records()
    lines = [INTRODUCTION, "| study | question | scale | seeds | verdict |", "|---|---|---|---|---|"]
    for name in catalog.names():
        question = catalog.study(name).question
        lines += [
            f"| [{name}](#{name}) | {question} | {one['scale']} | {one['seeds']} | {one['verdict']} |"
            for one in known.get(name, [{"scale": "not run yet", "seeds": "", "verdict": ""}])
        ]
    for name in catalog.names():
        lines += ["", *section(name, known.get(name, []))]
    return "\n".join(lines) + "\n"


def section(name: str, found: list[dict[str, Any]]) -> list[str]:
    """A study: what was published, and each record's claims."""
    study = catalog.study(name)
    lines = [f"## {name}", f"{study.title}. {study.source}.", "", "| published | value |", "|---|---|"]
    lines += [f"| {row.what} | {row.value} |" for row in study.published]
    if not found:
        return [*lines, "", f"Not run yet: `striate reproduce {name}`."]
    for one in found:
        lines += [
            "",
            f"`{one['command']}`, {one['data']}, {one['n']} seeds, {one['date']}. {one['deviation']}",
            "",
            "| claim | measure | difference | 95 % interval | verdict |",
            "|---|---|---|---|---|",
            *(
                f"| {claim['claim']} | {claim['measure']} | {signed(claim['difference'])} | "
                f"{signed(claim['interval'][0])} to {signed(claim['interval'][1])} | {claim['verdict']} |"
                for claim in one["claims"]
            ),
        ]
    return lines


def signed(value: float | None) -> str:
    """A difference with its sign."""
    return "?" if value is None else f"{value:+.3g}"


if __name__ == "__main__":
    (DOCS / "verdicts.md").write_text(rendered(), encoding="utf-8")
