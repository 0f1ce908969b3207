"""The section of the training: curves and their diagnosis, the checks before training, and the time by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from striate.report.curves import learning_curves
from striate.sections import Axis, Bars, Block, Grid, Heading, Line, Lines, Section, Step, Strong, Text
from striate.sections.wording import seconds, sentence

ANCHOR = "training"


class Remark(Protocol):
    """A diagnosis of the training curve: a title, the observation, and the advice."""

    @property
    def what(self) -> str: ...
    @property
    def seen(self) -> str: ...
    @property
    def do(self) -> str: ...


class RangeTest(Protocol):
    """A learning-rate range test: increasing rates, the smoothed losses, the range where they fall, and the choice."""

    @property
    def rates(self) -> tuple[float, ...]: ...
    @property
    def losses(self) -> tuple[float, ...]: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def rate(self) -> float: ...


def training_section(
    curve: Sequence[Mapping[str, float]],
    remarks: Sequence[Remark],
    checks: Sequence[str],
    range_test: RangeTest | None,
    unfrozen: Sequence[str],
    timings: Mapping[str, float],
) -> Section:
    """curve: one row per epoch. remarks: the most serious first. checks: lines on the checks before training.
    unfrozen: stages of a pretrained net that were trained, from the top. timings: seconds by stage."""
    blocks: list[Block] = []
    if unfrozen:
        blocks.append(Text(f"Unfrozen stages, from the top: {', '.join(unfrozen)}. Epoch 0 is the head alone."))
    blocks += [Text((Strong(f"{one.what}."), f" {sentence(one.seen)} {sentence(one.do)}"), "large") for one in remarks]
    drawn = learning_curves(curve)
    blocks.append(Grid(drawn) if drawn else Text("No epochs were recorded, so there is no training curve.", "quiet"))
    if checks or range_test:
        said = Text(" ".join(map(sentence, checks)), "large")
        blocks += [Heading("Checks before training"), Grid((rate_chart(range_test), said) if range_test else (said,))]
    if timings:
        blocks.append(Heading(f"Time: {seconds(math.fsum(timings.values()))}"))
        blocks.append(Bars(tuple(timings.items()), "seconds"))
    return Section(ANCHOR, "Training", tuple(blocks))


def rate_chart(found: RangeTest) -> Lines:
    """The loss of the range test by learning rate. A diverging loss is clipped."""
    lowest, start = min(found.losses), float(np.mean(found.losses[:20]))
    top = min(max(found.losses), start + 0.6 * max(start - lowest, 1e-9))
    label = (
        f"Loss by learning rate: it falls between {found.low:.1g} and {found.high:.1g}, and {found.rate:.2g} was chosen"
    )
    return Lines(
        ("Training loss by learning rate; chosen: ", Strong(f"{found.rate:.2g}")),
        (Line(found.rates, found.losses, "bad"),),
        Axis("learning rate", log=True),
        Axis(form="loss", range=(lowest, top)),
        band=(found.low, found.high),
        band_name="where the loss falls",
        rule=found.rate,
        label=label,
    )


def remark_step(remarks: Sequence[Remark]) -> list[Step]:
    """The advice of the most serious remark; the others are next to the curve."""
    return [Step(ANCHOR, one.what, f"{sentence(one.seen)} {sentence(one.do)}", urgent=True) for one in remarks[:1]]
