"""The section of the learning curve over the number of training images: would more data help?"""

from __future__ import annotations

from striate.learning.learning_curve import LearningCurve
from striate.sections import Axis, Block, Column, Grid, Line, Lines, Section, Step, Strong, Table, Text
from striate.sections.wording import Format, counted, formatted, number
from striate.tasks.report_common import score_form

ANCHOR = "more-data"


def learning_curve_section(found: LearningCurve) -> Section:
    """The measured scores, the fitted law with its extrapolation, and both as figures."""
    form, name = score_form(found.metric), found.metric.name.capitalize()
    blocks: list[Block] = []
    if found.why_not:
        blocks.append(Text((Strong("Nothing can be said of more images"), f": {found.why_not}."), "large"))
    for one in found.forecasts:
        low, high = (formatted(end, form) for end in one.interval)
        words = (f"With {number(one.images)} images: about ", Strong(formatted(one.score, form)), f", {low} to {high}.")
        blocks.append(Text(words, "large"))
    if found.points:
        columns = (Column("Training images"), Column(name), Column("95 % interval", optional=True), Column("Draws"))
        rows = [
            (number(p.images), formatted(p.score, form), _interval(p.interval, form), number(p.draws))
            for p in found.points
        ]
        rows += [
            (f"{number(f.images)} (extrapolated)", formatted(f.score, form), _interval(f.interval, form), "")
            for f in found.forecasts
        ]
        table = Table(columns, rows, ("size", "sizes"), "sizes")
        blocks.append(Grid((_chart(found, name, form), table)))
    lead = (
        "Heads fitted to parts of the training images, all judged on the held-out images. A power law with an offset "
        "is fitted to the scores; the interval is that of its extrapolation."
    )
    return Section(ANCHOR, "Would more data help?", tuple(blocks), lead)


def _chart(found: LearningCurve, name: str, form: Format) -> Lines:
    sizes = [point.images for point in found.points]
    now, last = sizes[-1], found.points[-1].score
    lines = [Line(sizes, [point.score for point in found.points], "good")]
    if found.drawn:
        lines.append(Line([size for size, _ in found.drawn], [score for _, score in found.drawn], "t2"))
    ahead = [*((p.images, p.interval) for p in found.points), *((f.images, f.interval) for f in found.forecasts)]
    lines += [Line([size for size, _ in ahead], [interval[side] for _, interval in ahead], "t1") for side in (0, 1)]
    return Lines(
        (f"{name} by training images; now ", Strong(formatted(last, form))),
        tuple(lines),
        Axis("training images", log=True),
        Axis(form=form),
        band=(now, found.forecasts[-1].images) if found.forecasts else None,
        band_name="extrapolated" if found.forecasts else "",
        rule=now if found.forecasts else None,
        label=f"{name} by the number of training images, {formatted(found.points[0].score, form)} with "
        f"{counted(sizes[0], 'image')} to {formatted(last, form)} with {counted(now, 'image')}",
    )


def _interval(interval: tuple[float, float], form: Format) -> str:
    low, high = (formatted(end, form) for end in interval)
    return f"{low} to {high}"


def learning_curve_step(found: LearningCurve | None) -> list[Step]:
    """Collecting more images, where that would help beyond noise."""
    if found is None or not found.forecasts:
        return []
    twice = found.forecasts[0]
    if not twice.surely_better(found.metric):
        return []
    score = found.metric.text(twice.score)
    return [Step(ANCHOR, "Collect more images", f"With twice as many, {found.metric.name} would be about {score}.")]
