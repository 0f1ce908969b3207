"""The section of a cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from striate.sections import Column, Dot, Grid, Intervals, Section, Step, Strong, Table, Text
from striate.sections.wording import Format, counted, formatted, number
from striate.tasks.metrics import mean_interval

ANCHOR = "folds"
APART = 0.1  # of two folds' scores that are shares


@dataclass(frozen=True)
class FoldScores:
    """The folds of a cross-validation: images and score of each, and the pooled score with its 95 % interval.

    form: number format of a score. title: its name.
    """

    images: Sequence[int]
    scores: Sequence[float]
    pooled: float
    interval: tuple[float, float]
    form: Format
    title: str = "Score"

    @property
    def spread(self) -> tuple[float, float, float]:
        """The mean of the folds and its 95 % interval, clipped to the range of a score; NaN, -inf, inf for none."""
        known = [score for score in self.scores if math.isfinite(score)]
        low, high = mean_interval(known)
        if math.isfinite(low):
            low, high = max(0.0, low), min(1.0, high) if self.form == "percent" else high
        return math.fsum(known) / len(known) if known else math.nan, low, high


def fold_section(found: FoldScores) -> Section:
    """Each fold's score, their mean, and the score of all predictions pooled."""
    (mean, low, high), form = found.spread, found.form
    text: list[str | Strong] = [
        f"Mean of {counted(len(found.scores), 'fold')}: ", Strong(formatted(mean, form))
    ]  # fmt: skip
    if math.isfinite(low):
        text.append(f" (95 % interval {formatted(low, form)} to {formatted(high, form)})")
    text += [". All predictions pooled: ", Strong(formatted(found.pooled, form))]
    text.append(f" ({formatted(found.interval[0], form)} to {formatted(found.interval[1], form)}).")
    title, folds = found.title, list(zip(found.images, found.scores, strict=True))
    dots = [
        Dot(f"fold {number(place)}", score, more=f"of {number(images)}")
        for place, (images, score) in enumerate(folds, 1)
    ]
    dots.append(Dot("pooled", found.pooled, found.interval))
    names = ("mean of the folds", "its 95 % interval")
    drawn = Intervals(f"{title} of each fold", tuple(dots), form, (mean, (low, high)), names)
    rows = [(number(place), number(images), formatted(score, form)) for place, (images, score) in enumerate(folds, 1)]
    table = Table((Column("Fold"), Column("Images"), Column(title)), rows, ("fold", "folds"), "folds")
    lead = "Each fold is predicted by a model trained on all other folds."
    return Section(ANCHOR, "Cross-validation", (Text(tuple(text), "large"), Grid((drawn, table))), lead)


def fold_step(found: FoldScores) -> list[Step]:
    """The advice where the folds differ a lot."""
    known = [score for score in found.scores if math.isfinite(score)]
    if found.form != "percent" or not known or max(known) - min(known) <= APART:
        return []
    low, high = formatted(min(known), found.form), formatted(max(known), found.form)
    return [Step(ANCHOR, "The folds differ", f"From {low} to {high}: a few images decide. Compare runs with care.")]
