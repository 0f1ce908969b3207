"""The curves of a training run, from the rows of its log, as line charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from striate.sections import Axis, Line, Lines, Strong
from striate.sections.charts import Tone
from striate.sections.wording import Format, formatted

EPOCH = "epoch"

CURVES: tuple[tuple[str, str, Tone, Format], ...] = (  # key of a row, title, tone, how its values are written
    ("accuracy", "Validation accuracy", "good", "percent"),
    ("average_precision", "Validation mean average precision", "good", "percent"),
    ("error", "Validation mean absolute error", "good", "digits"),
    ("loss", "Training loss", "bad", "loss"),
    ("held_out_loss", "Validation loss", "good", "loss"),
)


def learning_curves(curve: Sequence[Mapping[str, float]]) -> tuple[Lines, ...]:
    """Each of CURVES that the rows hold, by epoch, with its last value."""
    found = []
    for key, name, tone, form in CURVES:
        line = curve_line(curve, key, tone)
        if line.points:
            first, last = formatted(line.points[0][1], form), formatted(line.points[-1][1], form)
            title = (f"{name}: ", Strong(last), " at the end")
            label = f"{name} by epoch, {first} to {last}"
            found.append(Lines(title, (line,), Axis(EPOCH), Axis(form=form), label=label))
    return tuple(found)


def curves_together(curves: Sequence[Sequence[Mapping[str, float]]], tones: Sequence[Tone]) -> tuple[Lines, ...]:
    """Each of CURVES that any of the runs holds, the runs in one chart."""
    found = []
    for key, name, _, form in CURVES:
        lines = [curve_line(curve, key, tone) for curve, tone in zip(curves, tones, strict=True)]
        if shown := tuple(line for line in lines if line.points):
            found.append(Lines(name, shown, Axis(EPOCH), Axis(form=form), label=f"{name} by epoch"))
    return tuple(found)


def curve_line(curve: Sequence[Mapping[str, float]], key: str, tone: Tone) -> Line:
    """The value of a key by epoch, of the rows that have it."""
    rows = [(row.get(EPOCH, place + 1), row[key]) for place, row in enumerate(curve) if row.get(key) is not None]
    finite = [(float(epoch), float(value)) for epoch, value in rows if math.isfinite(epoch) and math.isfinite(value)]
    return Line([epoch for epoch, _ in finite], [value for _, value in finite], tone)
