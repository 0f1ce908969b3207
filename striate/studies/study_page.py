"""The page of a study: the question, the verdict, published and measured numbers side by side, and the curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from striate.sections import (
    Axis,
    Block,
    Column,
    Dot,
    Fact,
    Grid,
    Headline,
    Intervals,
    Line,
    Lines,
    Link,
    Preformatted,
    Report,
    Section,
    Step,
    Table,
    Text,
)
from striate.sections.charts import Tone
from striate.sections.wording import DASH, counted, seconds, with_interval
from striate.studies.outcome import Outcome, page_of
from striate.studies.study import TEST_ERROR, TRAINING_ERROR
from striate.studies.verdicts import REPRODUCED
from striate.tasks.metrics import mean_interval

TONES: tuple[Tone, ...] = ("t0", "t1", "t2", "t3", "t4", "t5")
PERCENT = (TEST_ERROR, TRAINING_ERROR)


def study_report(found: Outcome, command: str) -> Report:
    """The page. command: that runs it again."""
    study, scale = found.study, found.scale
    facts = (
        Fact("data", found.data or "none"),
        *([Fact("images", found.images, "trained and scored on")] if found.images else []),
        Fact("seeds", str(scale.seeds)),
        Fact("scale", found.name, f"{seconds(found.seconds)} of work"),
    )
    claims = (Text(study.question, "large"), *(Text(line) for line in _said(found)))
    sections = (_claims(found), _published(found), _measured(found), *_curves(found), _protocol(found, command))
    steps = (Step("claims", "The claims and their intervals", "The rule of each is in the study's file."),)
    headline = Headline("Verdict", _capital(found.verdict), claims)
    return Report(study.title, study.source, headline, steps, facts, sections)


def _said(found: Outcome) -> list[str]:
    return [f"{_capital(one.claim.text)}: {one.verdict}." for one in found.findings]


def _claims(found: Outcome) -> Section:
    columns = (
        Column("claim"), Column("measure", prose=True), Column("difference"), Column("95 % interval"),
        Column("verdict", prose=True), Column("by", optional=True, prose=True),
    )  # fmt: skip
    rows = []
    for one in found.findings:
        known = math.isfinite(one.low) and math.isfinite(one.high)
        span = f"{one.low:+.3g} to {one.high:+.3g}" if known else DASH
        rows.append((one.claim.text, one.claim.measure, f"{one.value:+.3g}", span, one.verdict, one.by))
    lead = (
        "A claim is reproduced in direction where the interval of the paired difference lies above what counts as no "
        "effect, not reproduced where it lies below, and undecided where it holds it."
    )
    return Section("claims", "Claims", (Table(columns, rows, ("claim", "claims")),), lead)


def _published(found: Outcome) -> Section:
    """What was published, what the lectures print of it, and what was measured here in its place."""
    study = found.study
    garbled = any(row.lecture for row in study.published)
    beside = any(row.arm for row in study.published)
    columns = [Column("published"), Column("value", prose=True)]
    columns += [Column("the lecture says", prose=True)] if garbled else []
    columns += [Column("measured here", prose=True)] if beside else []
    rows = []
    for row in study.published:
        measure = row.measure or study.measures[0]
        here = f"{_unit(measure)}: {_cell(found, row.arm, measure)} ({row.arm})" if row.arm else DASH
        cells = [row.what, row.value]
        rows.append((*cells, *([row.lecture or DASH] if garbled else []), *([here] if beside else [])))
    title = "Published, and measured beside it" if beside else "Published"
    return Section("published", title, (Table(tuple(columns), rows),), study.source)


def _measured(found: Outcome) -> Section:
    study = found.study
    columns = (Column("arm"), *(Column(_unit(measure), prose=True) for measure in study.measures))
    rows = [(arm.label, *(_cell(found, arm.label, measure) for measure in study.measures)) for arm in study.arms]
    blocks: list[Block] = [Table(columns, rows, ("arm", "arms"))]
    charts = []
    for measure in study.measures:
        dots = []
        for place, arm in enumerate(study.arms):
            values = [value for value in found.values(arm.label, measure) if math.isfinite(value)]
            if values:
                span = (min(values), max(values)) if len(values) > 1 else None
                dots.append(Dot(arm.label, statistics.fmean(values), span, "range over the seeds", TONES[place % 6]))
        if dots:
            charts.append(Intervals(_capital(_unit(measure)), tuple(dots), "digits"))
    blocks.append(Grid(tuple(charts)))
    lead = "The mean over the seeds, and its 95 % interval (Student's); in the charts, the range over the seeds."
    return Section("measured", "Measured", tuple(blocks), lead)


def _cell(found: Outcome, label: str, measure: str) -> str:
    values = [value for value in found.values(label, measure) if math.isfinite(value)]
    if not values:
        return DASH
    return with_interval(statistics.fmean(values), *mean_interval(values))


def _curves(found: Outcome) -> tuple[Section, ...]:
    """The study's charts, of the first seed."""
    blocks: list[Block] = []
    for curve in found.study.curves:
        lines, names = [], []
        drawn = [arm for arm in found.study.arms if any(curve.key in row for row in found.results[arm.label][0].curve)]
        for place, arm in enumerate(drawn[: len(TONES)]):
            rows = [row for row in found.results[arm.label][0].curve if curve.key in row]
            if len(rows) > 1:
                tone = TONES[place]
                lines.append(Line([row[curve.over] for row in rows], [row[curve.key] for row in rows], tone))
                names.append((arm.label, tone))
        if lines:
            axes = Axis(curve.over, log=curve.log), Axis("", curve.form)
            title = curve.title if len(drawn) <= len(TONES) else f"{curve.title}, of the first {len(TONES)} arms"
            blocks.append(Lines(title, tuple(lines), *axes, key=tuple(names)))
    return (Section("curves", "Curves", (Grid(tuple(blocks)),), "Of the first seed."),) if blocks else ()


def _protocol(found: Outcome, command: str) -> Section:
    quiet = "It compares times: what else the machine does disturbs them." if found.study.compares_times else ""
    said = " ".join(filter(None, (found.deviation, quiet)))
    blocks = (Text(said), Preformatted("To repeat", command))
    return Section("protocol", "How the protocol differs", blocks, f"Rows of the lectures: {found.study.rows}")


def _unit(measure: str) -> str:
    return f"{measure}, %" if measure in PERCENT else measure


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


LISTED = ("study", "question", "scale", "seeds", "verdict")  # what the list of studies shows of each


def index_report(found: Sequence[Mapping[str, Any]], not_run: Mapping[str, str]) -> Report:
    """The page that lists the studies of a folder with their verdicts: see `Outcome.as_dict`. not_run: reasons."""
    rows = [
        (
            (Link(one["study"], page_of(one["study"], one["scale"])),),
            one["question"],
            one["scale"],
            counted(one["seeds"], "seed"),
            one["verdict"],
        )
        for one in found
    ]
    columns = (Column("study"), Column("question", prose=True), Column("scale"), Column("seeds"),
               Column("verdict", prose=True))  # fmt: skip
    sections = [Section("studies", "Studies", (Table(columns, rows, ("study", "studies"), shown=60),))]
    if not_run:
        left = Table(
            (Column("study"), Column("why", prose=True)), list(not_run.items()), ("study", "studies"), shown=60
        )
        sections.append(Section("left", "Not run", (left,)))
    steps = (Step("studies", "Each study's own page", "Its name leads to it."),)
    facts = (Fact("studies", str(len(found))), Fact("not run", str(len(not_run))))
    verdicts = [one["verdict"] for one in found]
    others = [f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts) if one != REPRODUCED]
    reached = Headline(_capital(REPRODUCED), f"{verdicts.count(REPRODUCED)} of {len(found)}", tuple(map(Text, others)))
    return Report(
        "Studies", "Published experiments, run again beside their numbers", reached, steps, facts, tuple(sections),
    )  # fmt: skip
