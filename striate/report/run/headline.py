"""The first screen of a run's page: how good, on what, against what, and what to look at next."""

from __future__ import annotations

import math

from striate.report import figures
from striate.report.frame import next_steps as steps_beside
from striate.report.run.advice import next_steps
from striate.report.run.content import RunReport
from striate.report.wording import first_names, images, number, percent, quantity, text

STEPS = 4
NOT_MEASURED = '<div class="big">Not measured</div><p>No images were held out, so nobody knows how good this is.</p>'


def hero(content: RunReport) -> str:
    """The headline beside what to look at next."""
    known = {"classification": _accuracy, "multilabel": _average_precision, "regression": _error}
    title, answer = known.get(content.task_kind, _own)(content)
    advice = steps_beside("What to look at next", next_steps(content)[:STEPS])
    return f'<section class="hero" id="result"><div><h2>{title}</h2>{answer}</div>{advice}</section>\n'


def _on_what(content: RunReport) -> str:
    """What the images measured on had to do with the training."""
    if content.cross_validated:
        return "each by a network that had not seen it: the folds, pooled."
    return f"on the held-out part <b>{text(content.held_out)}</b>, which was kept out of training."


def _own(content: RunReport) -> tuple[str, str]:
    return "Result", f"<p>{images(content.total)}, {_on_what(content)}</p>" if content.total else NOT_MEASURED


def _accuracy(content: RunReport) -> tuple[str, str]:
    if not content.total:
        return "Accuracy", NOT_MEASURED
    low, high = content.interval
    return "Accuracy", (
        f'<div class="big">{percent(content.accuracy)}</div>'
        f"<p><b>{number(content.correct)} of {images(content.total)}</b> answered right, {_on_what(content)}</p>"
        f'<p class="quiet">With this many images the true accuracy is plausibly between {percent(low)} and '
        f"{percent(high)} (Wilson 95&nbsp;% interval). Balanced over the classes: "
        f"{percent(content.balanced_accuracy)}.</p>{figures.accuracy_bar(content)}"
    )


def _average_precision(content: RunReport) -> tuple[str, str]:
    title, value = "Mean average precision", content.mean_average_precision
    if not content.total or math.isnan(value):
        return title, NOT_MEASURED
    measured = [score for score in content.label_scores if not math.isnan(score.average_precision)]
    chance = math.fsum(score.positives for score in measured) / (len(measured) * content.total)
    scale = figures.scale(
        value,
        None,
        chance,
        f"Mean average precision {percent(value)}; ranking at random would score {percent(chance)}",
        f"ranking at random: {percent(chance)}",
    )
    return title, (
        f'<div class="big">{percent(value)}</div>'
        f"<p>The mean over {number(len(measured))} labels, {_on_what(content)} It says how well the images that have a "
        "label are ranked before those that have not; 100&nbsp;% is perfect.</p>"
        f'<p class="quiet">Of {images(content.total)}, <b>{number(content.correct)}</b> have every label right '
        f"({percent(content.correct / content.total)}).</p>{scale}"
    )


def _error(content: RunReport) -> tuple[str, str]:
    found = content.numbers
    if found is None or not len(found.true):
        return "Mean error", NOT_MEASURED
    value, usual, (low, high) = found.mean_absolute_error, found.usual_error, found.interval
    better = f"{percent(1 - value / usual)} less" if usual > value else "no less"
    plausible = f"plausibly between {quantity(low)} and {quantity(high)} (95&nbsp;% interval)"
    bars = figures.two_bars(("this run", value), ("always the usual number", usual), quantity)
    return f"Mean error: {text(found.name)}", (
        f'<div class="big">{quantity(value)}</div>'
        f"<p>is how far off an answer is on average, over <b>{images(content.total)}</b>, {_on_what(content)}</p>"
        f'<p class="quiet">With this many images the true mean error is {plausible}. Always answering the usual number '
        f"would be off by {quantity(usual)}; this is {better}.</p>{bars}"
    )


def facts(content: RunReport) -> str:
    """Images, classes, network and how it was trained."""
    parts = " &middot; ".join(f"{text(part)} {number(count)}" for part, count in content.images.items())
    kind = {"classification": "Classes", "multilabel": "Labels"}.get(content.task_kind, "Number")
    named = number(len(content.classes)) if content.task_kind != "regression" else first_names(content.classes)
    rows = (
        ("", "Images", number(sum(content.images.values())), parts),
        ("", kind, named, "" if content.task_kind == "regression" else first_names(content.classes)),
        ("", "Network", text(content.net), text(content.engine)),
        (' class="more"', "How it was trained", text(content.strategy), text(content.why)),
    )
    items = "".join(
        f"<div{span}><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for span, name, value, more in rows
    )
    return f'<section id="facts" aria-label="The run"><dl>{items}</dl></section>\n'
