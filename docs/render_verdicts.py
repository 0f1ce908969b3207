"""Render the records of studies as docs/verdicts.md: every study, its claims, and what was found at which scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from striate.sections.wording import DASH, with_interval
from striate.studies import catalog
from striate.studies.study import SCALES, Study
from striate.studies.verdicts import OPPOSITE, REPRODUCED, UNDECIDED

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "benchmarks" / "records" / "studies"
INTRODUCTION = """# Verdicts of the studies

What `striate reproduce` found so far, generated from `benchmarks/records/studies` by `python docs/render_verdicts.py`.
The rule of each claim is in the study's file and was written before its first run; [how studies work](studies.md) has
the exceptions. At the scale `quick` most experiments are too small to decide; `cpu` is what two cores do in an hour. Of
CIFAR-10 the runs here had 4,000 training and 1,000 test images, where a protocol says 5,000 and 2,000. `paper` needs a
GPU, which the machine of these runs did not have.
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
    lines = [
        INTRODUCTION,
        *counts(known),
        "",
        "| study | question | scale | data | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for name in catalog.names():
        question = catalog.study(name).question
        lines += [
            f"| [{name}](#{name}) | {question} | {one['scale']} | {one['data']} | {one['seeds']} | {one['verdict']} |"
            for one in known.get(name, [{"scale": "not run yet", "data": "", "seeds": "", "verdict": ""}])
        ]
    for name in catalog.names():
        lines += ["", *section(name, known.get(name, []))]
    return "\n".join(lines) + "\n"


def counts(known: dict[str, list[dict[str, Any]]]) -> list[str]:
    """How many studies came to which verdict, by scale."""
    lines = [
        "| scale | studies | reproduced in direction | not reproduced | undecided at this scale |",
        "|---|---|---|---|---|",
    ]
    own = [one for found in known.values() for one in found if " --data " not in one["command"]]
    for scale in SCALES:
        if verdicts := [one["verdict"] for one in own if one["scale"] == scale]:
            numbers = (verdicts.count(verdict) for verdict in (REPRODUCED, OPPOSITE, UNDECIDED))
            lines.append(f"| {scale} | {len(verdicts)} | {' | '.join(map(str, numbers))} |")
    return lines


def section(name: str, found: list[dict[str, Any]]) -> list[str]:
    """A study: what was published, each record's claims and numbers, and what the other scales would take."""
    study = catalog.study(name)
    lines = [f"## {name}", f"{study.title}. {study.source}. Rows of the lectures: {study.rows}.", ""]
    garbled = any(row.lecture for row in study.published)
    lines += table(
        ("published", "value", *(["the lecture says"] if garbled else [])),
        [(row.what, row.value, *([row.lecture] if garbled else [])) for row in study.published],
    )
    for one in found:
        other = f" --data {one['data']}" if " --data " in one["command"] else ""
        ran = f"`{command(study, one['scale'])}{other}`, {one['data']}, {one['n']} seeds, {one['date']}."
        images = f"Images trained and scored on: {one['images']}." if one.get("images") else ""
        lines += ["", " ".join(filter(None, (ran, one["deviation"], images, one.get("note", "")))), ""]
        lines += table(
            ("claim", "measure", "difference", "95 % interval", "verdict"),
            [
                (claim["claim"], claim["measure"], signed(claim["difference"]), span(claim["interval"], signed),
                 claim["verdict"])
                for claim in one["claims"]
            ],
        )  # fmt: skip
        lines += ["", *measured(study, one["arms"])]
    run = {one["scale"] for one in found}
    for scale, chosen in study.scales.items():
        if scale not in run:
            lines += [
                "",
                f"Not run here: `{command(study, scale)}`, {chosen.time}. {chosen.deviation}",
            ]
    return lines


def command(study: Study, scale: str) -> str:
    """What runs a study."""
    return f"striate reproduce {study.name} --scale {scale}{' --weights FOLDER' if study.needs else ''}"


def measured(study: Study, arms: list[dict[str, Any]]) -> list[str]:
    """The mean of each measure, and its interval."""
    rows = []
    for arm in arms:
        cells = [arm[measure] for measure in study.measures]
        rows.append((arm["label"], *(with_interval(one["mean"], *one["interval"], plain) for one in cells)))
    return table(("measured", *study.measures), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def span(ends: Sequence[float | None], form: Callable[[float | None], str]) -> str:
    """From one end to the other."""
    return f"{form(ends[0])} to {form(ends[1])}"


def plain(value: float | None) -> str:
    """A number in short."""
    return DASH if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def signed(value: float | None) -> str:
    """A difference with its sign."""
    return DASH if value is None else f"{value:+.3g}"


if __name__ == "__main__":
    (DOCS / "verdicts.md").write_text(rendered(), encoding="utf-8")
