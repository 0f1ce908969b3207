"""The report of a search: the best recipe, by how much the search flatters itself, and what the trials show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.sections import (
    Axis,
    Bars,
    Column,
    Dot,
    Fact,
    Grid,
    Headline,
    Intervals,
    Line,
    Lines,
    Listing,
    Parallel,
    Preformatted,
    Report,
    Section,
    Slice,
    Step,
    Table,
    Text,
    Upright,
)
from striate.sections.wording import DASH, Format, counted, formatted, number, seconds
from striate.tasks.report_common import score_form
from striate.tasks.values import Metric
from striate.tuning.nested import NestedEstimate
from striate.tuning.outcomes import COMPLETE, FAILED, PRUNED, Flattery, TrialRow, best_so_far
from striate.tuning.space import Choices, Dimension, Range, Space, described, label

MOST_AXES = 8  # of parallel coordinates
REASONS = 40  # failed trials that are listed


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found. flattery: None before the best recipe was judged on held-out images.

    importance: of each key, in all 1; empty where it cannot be said, and `why_not` says why.
    """

    name: str
    metric: Metric
    space: Space
    rows: Sequence[TrialRow]
    best: TrialRow
    validated_on: str
    recipe: str
    flattery: Flattery | None = None
    held_out_interval: tuple[float, float] | None = None
    held_out_images: int = 0
    nested: NestedEstimate | None = None
    importance: Mapping[str, float] | None = None
    why_not: str = ""
    method: str = "random"
    notes: tuple[str, ...] = ()

    @property
    def form(self) -> Format:
        """How a score is written."""
        return score_form(self.metric)


def search_report(found: Found) -> Report:
    """The content of report.html."""
    sections = [
        _flattery_section(found),
        _progress_section(found),
        _importance_section(found),
        _parallel_section(found),
        _slice_section(found),
        _trial_section(found),
        _recipe_section(found),
    ]
    steps = (
        Step("flattery", "Compare both scores", _gap_words(found)),
        Step("slices", "Look at the edges", "A best value at the end of a range may lie beyond it."),
    )
    return Report(
        f"Search: {found.name}",
        f"{counted(len(found.rows), 'trial')} over {counted(len(found.space.dimensions), 'key')}",
        _headline(found),
        steps,
        _facts(found),
        tuple(sections),
    )


def _headline(found: Found) -> Headline:
    title = f"{found.metric.name[:1].upper()}{found.metric.name[1:]} of the best recipe"
    blocks = [Text(f"Trial {found.best.number}: {described(found.best.values)}.")]
    if found.flattery is None:
        value = formatted(found.best.value, found.form)
        blocks.append(
            Text(f"Only on {found.validated_on}, which chose it: held-out images are not judged yet.", "quiet")
        )
        return Headline(title, value, tuple(blocks))
    if found.held_out_interval and all(map(math.isfinite, found.held_out_interval)):
        low, high = (formatted(end, found.form) for end in found.held_out_interval)
        images = counted(found.held_out_images, "held-out image")
        blocks.append(Text(f"On {images} that no trial saw; 95 % interval {low} to {high}.", "quiet"))
    return Headline(title, formatted(found.flattery.held_out, found.form), tuple(blocks))


def _facts(found: Found) -> tuple[Fact, ...]:
    states = {state: sum(row.state == state for row in found.rows) for state in (COMPLETE, PRUNED, FAILED)}
    known = [row.seconds for row in found.rows if math.isfinite(row.seconds)]
    workers = {row.worker for row in found.rows if row.worker}
    return (
        Fact("Method", found.method),
        Fact("Trials", number(len(found.rows)), ", ".join(f"{many} {state}" for state, many in states.items() if many)),
        Fact("Workers", number(len(workers))),
        Fact("Time of all trials", seconds(sum(known)), f"median {seconds(float(np.median(known)))}" if known else ""),
    )


def _gap_words(found: Found) -> str:
    if found.flattery is None:
        return "The best trial has not been judged on held-out images yet."
    return f"The best trial was chosen by its score; {_by_words(found)}."


def _by_words(found: Found) -> str:
    assert found.flattery is not None
    by, form = found.flattery.by, found.form
    size = _difference(abs(by), form)
    text = f"validation looks better by {size}" if by > 0 else f"held-out images came out better by {size}"
    if by == 0:
        text = "both scores are equal"
    if found.flattery.interval is not None:
        low, high = (_difference(side, form) for side in found.flattery.interval)
        text += f" (95 % interval of the difference {low} to {high})"
    return text


def _difference(value: float, form: Format) -> str:
    return f"{100 * value:.1f} points".replace("-", "\u2212") if form == "percent" else formatted(value, form)


def _flattery_section(found: Found) -> Section:
    dots = [Dot("validation", found.best.value, found.best.interval, "of the best trial", "bad")]
    if found.flattery is not None:
        dots.append(
            Dot("held out", found.flattery.held_out, found.held_out_interval, "of its recipe, trained once more")
        )
    if found.nested is not None:
        dots.append(Dot("nested", found.nested.score, found.nested.interval, "of the whole procedure"))
    blocks: list[Any] = [
        Text(f"{_gap_words(found)}", "large"),
        Grid((Intervals("Scores with their 95 % intervals", tuple(dots), found.form),)),
    ]
    if found.nested is not None:
        scores = ", ".join(formatted(score, found.form) for score in found.nested.scores)
        outer = counted(len(found.nested.scores), "outer fold")
        words = f"Nested: {outer}, each with a search of its own, scored {scores}."
        blocks.append(Text(f"{words} That estimates what this procedure gives, choice included."))
    return Section(
        "flattery",
        "By how much the search flatters itself",
        tuple(blocks),
        "The best of many scores is high also by luck, and the more so, the more trials there are. Only images that "
        "no trial saw tell how good its recipe is.",
    )


def _progress_section(found: Found) -> Section:
    points = best_so_far(found.rows, found.metric.share)
    if len(points) < 2:
        return Section("progress", "Best so far", (Text("There are too few trials for a curve.", "quiet"),))
    xs: list[float] = []
    ys: list[float] = []
    for place, best in points:  # in steps: the best stays until a better one comes
        xs, ys = [*xs, *([float(place)] if ys else []), float(place)], [*ys, *([ys[-1]] if ys else []), best]
    chart = Lines("Best score so far", (Line(xs, ys),), x=Axis("trial", "count"), y=Axis("", found.form))
    tried = [(place + 1, row) for place, row in enumerate(found.rows) if row.complete]
    each = Slice(
        "Score of each trial",
        [place for place, _ in tried],
        [row.value for _, row in tried],
        form=found.form,
        best=_place_of(found.best, [row for _, row in tried]),
    )
    return Section("progress", "Best so far", (Grid((chart, each)),))


def _place_of(best: TrialRow, rows: Sequence[TrialRow]) -> int | None:
    """Where the best trial is among these; None if it is not."""
    return next((place for place, row in enumerate(rows) if row.number == best.number), None)


def _importance_section(found: Found) -> Section:
    title = "Importance of the keys"
    if not found.importance:
        return Section("importance", title, (Text(found.why_not or "There is nothing to compare.", "quiet"),))
    return Section(
        "importance",
        title,
        (Bars(tuple(found.importance.items()), "percent"),),
        "How much of the difference between good trials and the others lies in each key (PED-ANOVA, Watanabe et al. "
        "2023, arXiv:2304.10255). From few trials it is uncertain.",
    )


def _parallel_section(found: Found) -> Section:
    rows = [row for row in found.rows if row.complete]
    dimensions = list(found.space.dimensions)
    if found.importance:
        dimensions.sort(key=lambda one: -(found.importance or {}).get(one.key.name, 0.0))
    dimensions = dimensions[:MOST_AXES]
    scores = np.array([row.value for row in rows])
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    heights = (scores - scores.min()) / spread if spread else np.full(len(scores), 0.5)
    shares = np.array(
        [[*(_share(one, row) for one in dimensions), height] for row, height in zip(rows, heights, strict=True)]
    )
    marks = (
        [(0.0, formatted(float(scores.min()), found.form)), (1.0, formatted(float(scores.max()), found.form))]
        if spread
        else []
    )
    axes = (*(Upright(one.key.name, _marks(one)) for one in dimensions), Upright(found.metric.name, tuple(marks)))
    chart = Parallel(
        "Scores over all keys",
        axes,
        shares,
        heights if found.metric.share else -heights,
        _place_of(found.best, rows),
    )
    left = len(found.space.dimensions) - len(dimensions)
    lead = "A line for each trial with a score, the stronger the better; the best one stands out."
    return Section("parallel", "All keys at once", (chart,), lead + (f" {left} keys are left out." if left else ""))


def _share(one: Dimension, row: TrialRow) -> float:
    """Where the trial's value lies on the key's axis, 0 to 1; NaN where it has none."""
    if one.key.name not in row.labels:
        return math.nan
    if isinstance(one, Range):
        return one.place(row.labels[one.key.name])
    return _place(one, row) / max(1, len(one.values) - 1)


def _place(one: Choices, row: TrialRow) -> int:
    return [repr(value) for value in one.values].index(repr(row.values[one.key.name]))


def _marks(one: Dimension) -> tuple[tuple[float, str], ...]:
    if isinstance(one, Range):
        return ((0.0, f"{one.low:.3g}"), (1.0, f"{one.high:.3g}"))
    last = max(1, len(one.values) - 1)
    return tuple((place / last, _said(value)) for place, value in enumerate(one.values))


def _said(value: Any) -> str:
    return "unset" if value is None else str(label(value))


def _slice_section(found: Found) -> Section:
    charts = []
    for one in found.space.dimensions:
        rows = [row for row in found.rows if row.complete and one.key.name in row.labels]
        best = _place_of(found.best, rows)
        scores = [row.value for row in rows]
        if isinstance(one, Range):
            values = [float(row.labels[one.key.name]) for row in rows]
            charts.append(
                Slice(one.key.name, values, scores, log=one.log, range=(one.low, one.high), form=found.form, best=best)
            )
        else:
            names = tuple(_said(value) for value in one.values)
            charts.append(
                Slice(one.key.name, [_place(one, row) for row in rows], scores, names, form=found.form, best=best)
            )
    lead = "Each point is a trial; the other keys differ from point to point. The best one stands out."
    return Section("slices", "Each key by itself", (Grid(tuple(charts)),), lead)


def _trial_section(found: Found) -> Section:
    names = found.space.names
    columns = (Column("trial"), Column("score"), Column("state", optional=True), *(Column(name) for name in names))
    ordered = sorted(found.rows, key=lambda row: _order(row, found.metric.share))
    rows = tuple(
        (
            str(row.number),
            formatted(row.value, found.form) if row.complete else DASH,
            row.state + ("" if row.same_as is None else f", as {row.same_as}"),
            *(_said(row.values[name]) if name in row.values else DASH for name in names),
        )
        for row in ordered
    )
    blocks: list[Any] = [Table(columns, rows, ("trial", "trials"), "trials")]
    failed = [row for row in found.rows if row.error]
    if failed:
        blocks.append(
            Listing(f"{counted(len(failed), 'failed trial')}", [f"{r.number}: {r.error}" for r in failed[:REASONS]])
        )
    return Section("trials", "Trials", tuple(blocks), "The best first; trials.csv has all of them.")


def _order(row: TrialRow, maximize: bool) -> tuple[bool, float, int]:
    known = row.complete and math.isfinite(row.value)
    return not known, (-row.value if maximize else row.value) if known else 0.0, row.number


def _recipe_section(found: Found) -> Section:
    blocks: list[Any] = [
        Text(("best.toml trains it again: striate train --recipe best.toml",)),
        Preformatted("Recipe", found.recipe),
        Preformatted("Space", found.space.toml()),
    ]
    blocks += [Text(note, "quiet") for note in found.notes]
    return Section("recipe", "The best recipe", tuple(blocks))
