"""From a finished run to the page's content: counts, examples and thumbnails as plain data."""

from __future__ import annotations

from collections import Counter

import numpy as np

from striate.data.audit import Usable
from striate.data.looking import look
from striate.data.sources import Source
from striate.jobs.learned import Learned
from striate.jobs.measure import Measured, worst_mistakes
from striate.model import Model
from striate.pixels import Images
from striate.recipe import Recipe
from striate.report.content import Example, Finding, RunReport, Seen
from striate.transfer.strategy import Plan

SHOWN = 8  # training images shown as the network sees them


def run_report(
    source: Source,
    plan: Plan,
    recipe: Recipe,
    learned: Learned,
    measured: Measured,
    model: Model,
    timings: dict[str, float],
) -> RunReport:
    """The content of report.html."""
    found, classes = learned.audit, model.classes
    mistakes, seen = _pictures(source, model, learned, measured)
    return RunReport(
        title=source.name,
        data=f"{len(found.usable):,} images in {len(classes)} classes",
        net=model.net,
        strategy=plan.strategy,
        why=plan.why,
        classes=classes,
        images=Counter(learned.parts),
        held_out=measured.part,
        correct=measured.correct,
        total=measured.total,
        accuracy=measured.accuracy,
        interval=measured.interval,
        balanced_accuracy=measured.balanced_accuracy,
        confusion=measured.confusion,
        mistakes=mistakes,
        seen=seen,
        findings=tuple(Finding(f.kind, len(f.paths), f.action, f.explanation, f.listed[:20]) for f in found.findings),
        set_aside=tuple((oddity.path, f"{oddity.kind}: {oddity.why}") for oddity in found.set_aside),
        curve=tuple(learned.curve),
        timings=tuple(timings.items()),
        engine=learned.engine,
        recipe=recipe.toml(),
        versions=model.versions,
        notes=tuple(learned.notes),
    )


def _pictures(
    source: Source, model: Model, learned: Learned, measured: Measured
) -> tuple[tuple[Example, ...], tuple[Seen, ...]]:
    """Worst mistakes, and a few training images, as the network sees them.

    These twenty images at most are decoded a second time: keeping every crop until the mistakes are known would not do.
    """
    usable, classes = learned.audit.usable, model.classes
    places = learned.rows(measured.part) if measured.total else []
    wrong = worst_mistakes(measured) if measured.total else []
    trained = learned.rows("train")
    chosen = np.random.default_rng(0).permutation(len(trained))[:SHOWN]
    shown = [usable[trained[index]] for index in sorted(chosen)]
    crops = _crops(source, model, [usable[places[row]] for row in wrong] + shown)
    mistakes = []
    for row in wrong:
        entry, answer = usable[places[row]], int(measured.probabilities[row].argmax())
        if entry.item.key in crops:
            sureness = float(measured.probabilities[row, answer])
            truth = model.task.spoken(entry.item.target)
            mistakes.append(Example(entry.item.key, crops[entry.item.key], truth, classes[answer], sureness))
    seen = [Seen(e.item.key, crops[e.item.key], model.task.spoken(e.item.target)) for e in shown if e.item.key in crops]
    return tuple(mistakes), tuple(seen)


def _crops(source: Source, model: Model, entries: list[Usable]) -> dict[str, Images]:
    items = [entry.item for entry in entries]
    return {
        looked.item.key: looked.crop[..., 0] if looked.crop.shape[-1] == 1 else looked.crop
        for looked in look(source, model.pixels, items=items)
        if looked.crop is not None
    }
