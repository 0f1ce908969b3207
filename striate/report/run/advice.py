"""What to look at next: the anchors, advice and reasons that a run's figures give rise to, the most useful first."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from striate.report.audit.words import SERIOUS, heading, level
from striate.report.run.content import RunReport
from striate.report.wording import counted, images, number, percent, plain, quantity, sentence, text

SURE = 0.9
MISCALIBRATED = 0.07  # expected calibration error from which on it is worth telling, ...
ENOUGH_ANSWERS = 100  # ... of so many answers at least

Step = tuple[str, str, str]


def next_steps(content: RunReport) -> list[Step]:
    """Anchor, advice and reason (HTML), the most useful first; never empty."""
    known = {"classification": _of_classes, "multilabel": _of_labels, "regression": _of_numbers}
    own = known.get(content.task_kind, _leaks)
    steps = [*_unmeasured(content), *_of_curve(content), *own(content), *_of_data(content), *_of_success(content)]
    return steps or [("seen", "What the network really sees", "Check that nothing important is cropped away.")]


def _unmeasured(content: RunReport) -> Iterator[Step]:
    if not content.total:
        yield "facts", "Hold some images out", "A score needs images the network was not trained on."


def _of_curve(content: RunReport) -> Iterator[Step]:
    for remark in content.remarks[:1]:  # the gravest; the others stand beside the curve
        yield "training", text(remark.what), f"{sentence(remark.seen)} {sentence(remark.do)}"


def _of_classes(content: RunReport) -> Iterator[Step]:
    if (
        content.commonest
        and content.interval[0] <= content.commonest.count / content.total
        and len(content.classes) > 1
    ):
        why = f"Always answering <b>{text(content.commonest.name)}</b> would do about as well on these images."
        yield "classes", "Not yet better than guessing", why
    yield from _leaks(content)
    yield from _labels_to_check(content)
    for pair in content.most_confused(1):
        say = f"{text(pair.truth)} taken for {text(pair.predicted)}"
        yield "confusion", say, f"The most common mix-up: {number(pair.count)} of {images(pair.of)}."
    if content.total and content.interval[1] - content.interval[0] > 0.1:
        why = f"{images(content.total)} leave the accuracy uncertain by more than ten points."
        yield "result", "Hold out more images before comparing", why
    weakest = content.weakest_first[0] if content.total else None
    if weakest and weakest.recall is not None and weakest.recall < content.accuracy - 0.02:
        said = f"{number(weakest.correct)} of {images(weakest.count)} recognised, {percent(weakest.recall)}"
        why = f"Only {said}. More photographs of it help most."
        yield "classes", f"Weakest class: {text(weakest.name)}", why
    yield from _of_confidence(content)
    yield from _of_strangers(content)
    yield from _of_folds(content)


def _leaks(content: RunReport) -> Iterator[Step]:
    for finding in content.findings:
        if level(finding.kind, finding.action) == SERIOUS and finding.action == "kept":
            yield "data", heading(finding.kind), f"{counted(finding.count, 'file')}: this can spoil what was measured."
            return


def _labels_to_check(content: RunReport) -> Iterator[Step]:
    """Doubts out of fold are the better evidence; without them, the surest mistakes stand in."""
    if content.doubtful:
        count = len(content.doubtful)
        why = "Networks that had not seen them would have labelled them otherwise."
        yield "doubtful", f"Check {counted(count, 'doubtful label')}", why
        return
    sure = sum(example.probability >= SURE for example in content.mistakes)
    if sure:
        say = f"Check the labels of {number(sure)} confident mistake{'s' if sure > 1 else ''}"
        yield "mistakes", say, f"Wrong, yet at least {100 * SURE:.0f}&nbsp;% sure: often the label is wrong."


def _of_confidence(content: RunReport) -> Iterator[Step]:
    found = content.calibration
    if found is None or content.total < ENOUGH_ANSWERS or found.error < MISCALIBRATED:
        return
    excess = float(np.nansum(found.counts * (found.confidence - found.accuracy))) / max(1, int(found.counts.sum()))
    say = "Surer than it should be" if excess > 0 else "Better than it says"
    yield "calibration", say, f"What it says and what happens are {100 * found.error:.0f} points apart on average."


def _of_strangers(content: RunReport) -> Iterator[Step]:
    found = content.strangers
    if found and found.strangers_refused < 0.8:
        why = f"Only {percent(found.strangers_refused)} of {images(found.count)} that show no class were refused."
        yield "strangers", "Strangers get through", why


def _of_folds(content: RunReport) -> Iterator[Step]:
    scores = [fold.score for fold in content.folds if math.isfinite(fold.score)]
    if scores and max(scores) - min(scores) > 0.1:
        why = f"From {percent(min(scores))} to {percent(max(scores))}: a few images decide. Compare with care."
        yield "folds", "The folds disagree", why


def _of_labels(content: RunReport) -> Iterator[Step]:
    yield from _leaks(content)
    yield from _labels_to_check(content)
    measured = [score for score in content.label_scores if not math.isnan(score.average_precision)]
    if measured:
        weakest = min(measured, key=lambda score: score.average_precision)
        why = f"Average precision {percent(weakest.average_precision)} with {images(weakest.positives)} held out."
        yield "classes", f"Weakest label: {text(weakest.name)}", why
    rare = [score for score in content.label_scores if score.positives < 10]
    if rare and content.total:
        few = ", ".join(text(score.name) for score in rare[:3])
        yield "classes", f"{counted(len(rare), 'label')} hardly measured", f"Fewer than ten held-out images: {few}."
    if content.label_mistakes:
        why = f"{number(content.wrong)} of {images(content.total)} have a label too few or too many."
        yield "mistakes", "Are the labels complete?", why
    yield from _of_strangers(content)
    yield from _of_folds(content)


def _of_numbers(content: RunReport) -> Iterator[Step]:
    found = content.numbers
    if found is None or not len(found.true):
        return
    if found.interval[1] >= found.usual_error:
        why = "Always answering the usual number would do about as well on these images."
        yield "result", "Not yet better than guessing", why
    yield from _leaks(content)
    if found.mistakes:
        worst = found.mistakes[0]
        why = f"The worst said {quantity(worst.predicted)} where {plain(worst.truth)} is given: is that right?"
        yield "mistakes", f"Check the {counted(len(found.mistakes), 'worst error')}", why
    if len(found.true) > 2 and found.true.std() > 0:
        slope = float(np.cov(found.true, found.said)[0, 1] / found.true.var(ddof=1))
        if slope < 0.75:
            why = "Large numbers are answered too low and small ones too high: more images of both help most."
            yield "numbers", "It keeps to the middle", why
    bias = float(found.errors.mean())
    if abs(bias) > 0.5 * found.mean_absolute_error > 0:
        yield "numbers", f"Too {'high' if bias > 0 else 'low'} on the whole", f"By {quantity(abs(bias))} on average."
    yield from _of_strangers(content)


def _of_data(content: RunReport) -> Iterator[Step]:
    if content.set_aside:
        say = f"{number(len(content.set_aside))} file{'s were' if len(content.set_aside) > 1 else ' was'} set aside"
        yield "data", say, "See which and why, and whether it belongs in the training."
    if content.atypical:
        say = f"{images(len(content.atypical))} unlike the rest"
        yield "atypical", say, "Rare and valuable, or in the wrong folder?"


def _of_success(content: RunReport) -> Iterator[Step]:
    if content.total and not content.wrong and content.task_kind != "regression":
        yield "seen", "Try harder photographs", "No mistakes here: another day, another camera, another place."
