"""The sections that only several labels an image, or a number an image, have."""

from __future__ import annotations

import math

from striate.report import charts, figures
from striate.report.frame import quiet, section
from striate.report.run.content import LabelMistake, Numbers, RunReport
from striate.report.run.sections import NOT_MEASURED, ROW, few_first, gallery
from striate.report.thumbnails import Album
from striate.report.wording import number, plain, quantity, text

PANELS = 12


def labels(content: RunReport) -> str:
    """Label by label: how well its images are ranked first, and what its threshold gives."""
    if not content.total:
        return section("classes", "Label by label", "", NOT_MEASURED)
    scores = sorted(content.label_scores, key=lambda score: _weakness(score.average_precision))
    lead = (
        "Average precision: 100&nbsp;% when every image that has the label is ranked before every one that has not. "
        "From its threshold on a label counts as given; precision, recall and F1 are those of that threshold. "
        "Weakest first."
    )
    body = few_first(scores, figures.label_rows, figures.label_table, "labels", "stronger labels")
    return section("classes", "Label by label", lead, body)


def _weakness(share: float) -> tuple[bool, float]:
    """What sorts the weakest first and what was not measured last."""
    return math.isnan(share), share


def label_curves(content: RunReport) -> str:
    """Precision by recall of up to a dozen labels, weakest first."""
    average = {score.name: score.average_precision for score in content.label_scores}
    curves = [curve for curve in content.label_curves if curve.name in average]
    if not curves:
        return ""
    curves.sort(key=lambda curve: _weakness(average[curve.name]))
    panels = "".join(charts.precision_recall_panel(curve, average[curve.name]) for curve in curves[:PANELS])
    few = f" The {PANELS} weakest of {number(len(curves))} labels." if len(curves) > PANELS else ""
    lead = (
        "Upwards: of the images given the label, the share that has it. To the right: of those that have it, the share "
        f"found. A line along the top is perfect.{few}"
    )
    return section("ranking", "Precision by recall", lead, f'<div class="charts small">{panels}</div>')


def label_mistakes(content: RunReport, album: Album) -> str:
    """Images whose labels were not all right."""
    title = "The worst mistakes"
    if not content.total:
        return section("mistakes", title, "", quiet("No held-out images, so no mistakes to show."))
    if not content.wrong:
        return section("mistakes", title, "", quiet("Every label of every held-out image was answered right."))
    photos = [_label_mistake(one, album) for one in content.label_mistakes[:ROW]]
    lead = (
        f"{number(content.wrong)} of {number(content.total)} held-out images have a label too few or too many. "
        "Look at each: are its labels right and complete?"
    )
    return section("mistakes", title, lead, gallery(photos, content.wrong))


def _label_mistake(one: LabelMistake, album: Album) -> str:
    missed = [name for name in one.truth if name not in one.given]
    added = [name for name in one.given if name not in one.truth]
    right = [name for name in one.truth if name in one.given]
    said = [
        f"{word} <b>{', '.join(text(name) for name in names)}</b>"
        for word, names in (("missed", missed), ("wrongly", added), ("right:", right))
        if names
    ]
    return album.photo(one.image, text(", ".join(one.truth) or "no label"), "; ".join(said), text(one.path))


def numbers(found: Numbers) -> str:
    """True against answered numbers, the errors, and the further figures."""
    if not len(found.true):
        return section("numbers", "Answered against true", "", NOT_MEASURED)
    drawn = charts.number_scatter(found) + charts.error_histogram(found)
    bias = float(found.errors.mean())
    facts = (
        ("Half of the answers are within", quantity(found.median_error)),
        ("Root mean square error", quantity(found.root_mean_square_error)),
        ("Variance explained (R&sup2;)", quantity(found.r2)),
        ("On average", f"{quantity(abs(bias))} too {'high' if bias > 0 else 'low'}"),
    )
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    lead = "Each dot is a held-out image. On the dashed line the answer is right; the further off, the worse."
    return section("numbers", "Answered against true", lead, f'<dl>{items}</dl><div class="charts under">{drawn}</div>')


def number_mistakes(found: Numbers, album: Album) -> str:
    """The images that were missed by most."""
    photos = [
        album.photo(
            one.image,
            f"said {plain(one.predicted)}, is {plain(one.truth)}",
            f"said <b>{quantity(one.predicted)}</b>, is <b>{plain(one.truth)}</b>",
            text(one.path),
        )
        for one in found.mistakes[:ROW]
    ]
    lead = "The answers that are furthest off, the worst first. Look at each: is the given number right?"
    body = gallery(photos, len(found.mistakes)) or quiet("No pictures of them were kept.")
    return section("mistakes", "The worst errors", lead if any(photos) else "", body)
