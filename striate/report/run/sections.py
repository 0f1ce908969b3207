"""The sections of a run's page: each makes HTML of the content, or "" where there is nothing to say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from striate.report import charts, figures
from striate.report.audit.words import heading
from striate.report.figures import Pair
from striate.report.frame import quiet, section
from striate.report.run.content import Doubtful, Example, Finding, Picture, RunReport, Strangers
from striate.report.thumbnails import Album
from striate.report.wording import (
    counted,
    fitting,
    folded_list,
    images,
    number,
    percent,
    quantity,
    seconds,
    sentence,
    text,
)
from striate.tasks.metrics import Calibration

Score = TypeVar("Score")

CLASS_ROWS = 1000
EXAMPLES, FINDING_ROOM = 100, 15_000  # files listed under one finding, and letters of HTML
CLASS_ROOM = 400_000  # letters of HTML in the table of classes
A_PAIR = 8  # pictures behind one cell of the matrix
FIRST_PAIRS, PAIRS = 10, 60  # mix-ups listed in words, at once and in all
ROW = 24  # pictures in one section
FEW = 16  # pictures in a lesser one
NOT_MEASURED = quiet("Nothing was measured.")

CSS = """
.pair { display: none; border-top: 1px solid var(--line); margin-top: 1.3rem; padding-top: 1.1rem }
.pair:target { display: block } .pair h3 { margin-top: 0 } .pair h3 a { font-weight: 400; margin-left: .8rem }
.group { display: flex; flex-wrap: wrap; gap: .7rem; padding: .7rem 0 } .group figure { margin: 0; width: 8.4rem }
.group figcaption { font: .74rem/1.35 var(--mono); color: var(--muted) } .group .frame { height: 116px }
.said { font-size: 1.15rem; line-height: 1.45; max-width: 40rem; margin-bottom: .5rem }
.quiet.below { margin-bottom: .7rem } .charts .said { align-self: center }
.view + .view { margin-top: 1.1rem } .view p { margin: .35rem 0 0; font-size: .9rem }
.view small { color: var(--muted); font: .74rem/1.35 var(--mono); margin-left: .6em }
"""


def gallery(photos: Iterable[str], total: int, noun: str = "image", small: bool = False) -> str:
    """Figures side by side, without the empty ones, and how many of `total` are not shown."""
    shown = [one for one in photos if one]
    left = total - len(shown)
    more = quiet(f"{counted(left, f'more {noun}')} not shown.") if left > 0 and shown else ""
    if not shown:
        return quiet(f"No pictures of {counted(total, noun)} were kept.") if total else ""
    return f'<div class="photos{" small" if small else ""}">{"".join(shown)}</div>{more}'


def mistakes(content: RunReport, album: Album) -> str:
    """The surest wrong answers."""
    title = "The worst mistakes"
    if not content.total:
        return section("mistakes", title, "", quiet("No held-out images, so no mistakes to show."))
    if not content.wrong:
        return section("mistakes", title, "", quiet("No mistakes on the held-out images."))
    photos = [one for one in (_mistake(example, album) for example in content.mistakes[:ROW]) if one]
    if not photos:
        said = quiet(f"{images(content.wrong)} answered wrongly; no pictures of them were kept.")
        return section("mistakes", title, "", said)
    shown = "All" if len(photos) == content.wrong else f"{number(len(photos))} of"
    lead = (
        f"{shown} {number(content.wrong)} held-out images answered wrongly, the most confident first. "
        "Look at each: is the label right, and could you tell?"
    )
    return section("mistakes", title, lead, f'<div class="photos">{"".join(photos)}</div>')


def _mistake(example: Example, album: Album) -> str:
    truth, predicted = text(example.truth), text(example.predicted)
    caption = f"<b>{truth}</b> taken for <b>{predicted}</b>, {percent(example.probability)} sure"
    return album.photo(example.image, f"{truth} taken for {predicted}", caption, text(example.path))


def confusion(content: RunReport, album: Album) -> str:
    """The matrix, the commonest mix-ups in words, and behind the cells their images."""
    title = "What gets mixed up"
    if not content.total:
        return section("confusion", title, "", NOT_MEASURED)
    opened = _pair_panels(content, album)
    pairs = content.most_confused(PAIRS)
    listed = figures.confused_pairs(pairs[:FIRST_PAIRS], opened) or quiet("No two classes were mixed up.")
    if len(pairs) > FIRST_PAIRS:
        rest = pairs[FIRST_PAIRS:]
        listed += (
            f"<details><summary>{number(len(rest))} more</summary>{figures.confused_pairs(rest, opened)}</details>"
        )
    wide = " dense" if len(content.classes) > 12 else ""
    listed = f"<div><h3>Most often mixed up</h3>{listed}</div>"
    lead = "Choose an underlined number to see its images." if opened else ""
    body = (
        f'<div class="split{wide}">{figures.confusion_table(content, opened)}{listed}</div>{"".join(opened.values())}'
    )
    return section("confusion", title, lead, body)


def _pair_panels(content: RunReport, album: Album) -> dict[Pair, str]:
    """Behind each pair of truth and answer its images, folded until a link leads there; the commonest pairs first.

    No script is needed: a panel shows itself as the target of its link. Every pair gets one picture before any gets a
    second, so that a page of many classes opens as many cells as it can.
    """
    place = {name: index for index, name in enumerate(content.classes)}
    drawn = set(figures.shown_classes(content))
    listed = {(pair.row, pair.column) for pair in content.most_confused(PAIRS)}
    kept: dict[Pair, dict[str, Example]] = defaultdict(dict)
    for example in (*content.mistakes, *content.answers):
        pair = place.get(example.truth, -1), place.get(example.predicted, -1)
        if -1 not in pair and (drawn.issuperset(pair) or pair in listed):  # others have nothing that leads to them
            kept[pair].setdefault(example.path, example)
    order = sorted(kept, key=lambda pair: (-int(content.confusion[pair]), pair))
    photos: dict[Pair, list[str]] = {pair: [] for pair in order}
    for turn in range(A_PAIR):
        for pair in order:
            examples = list(kept[pair].values())
            if turn < len(examples) and (photo := _small(examples[turn], album)):
                photos[pair].append(photo)
    return {pair: _pair_panel(content, pair, shown) for pair, shown in photos.items() if shown}


def _small(example: Example, album: Album) -> str:
    truth, predicted = text(example.truth), text(example.predicted)
    caption = f"{percent(example.probability)} sure"
    return album.photo(example.image, f"{truth}, answered {predicted}", caption, text(example.path), small=True)


def _pair_panel(content: RunReport, pair: Pair, photos: Sequence[str]) -> str:
    count = int(content.confusion[pair])
    truth, predicted = text(content.classes[pair[0]]), text(content.classes[pair[1]])
    heading = f"<b>{truth}</b> taken for <b>{predicted}</b>" if pair[0] != pair[1] else f"<b>{truth}</b>, recognised"
    shown = gallery(photos, max(count, len(photos)), small=True)
    return (
        f'<div class="pair" id="{figures.pair_anchor(pair)}"><h3>{heading}: {images(count)}'
        f'<a href="#confusion">close</a></h3>{shown}</div>'
    )


def classes(content: RunReport) -> str:
    """Recall with its interval, and precision, class by class."""
    lead = (
        "Recall: of the images of a class, how many were recognised; the line across its bar is the range it plausibly "
        "lies in (95&nbsp;%, Wilson). Precision: of the images given its name, how many deserved it. Least recognised "
        "first."
    )
    scores = content.weakest_first
    if not content.total:
        return section("classes", "Class by class", "", NOT_MEASURED)
    body = few_first(scores, figures.class_rows, figures.class_table, "classes", "better recognised classes")
    return section("classes", "Class by class", lead, body)


def few_first(
    scores: Sequence[Score],
    rows: Callable[[Iterable[Score]], Iterable[str]],
    table: Callable[[Sequence[str]], str],
    called: str,
    unlisted: str,
) -> str:
    """The first scores as a table, and the rest, as far as there is room, in a folded one."""
    body = table(list(rows(scores[: figures.FEW_CLASSES])))
    if len(scores) <= figures.FEW_CLASSES:
        return body
    rest = fitting(rows(scores[figures.FEW_CLASSES :]), CLASS_ROWS, CLASS_ROOM)
    left = len(scores) - figures.FEW_CLASSES - len(rest)
    more = quiet(f"{number(left)} {unlisted} are not listed.") if left else ""
    return body + f"<details><summary>{number(len(rest))} more {called}</summary>{table(rest)}{more}</details>"


def calibration(found: Calibration | None) -> str:
    """Whether its confidence can be believed, in words and as a diagram."""
    if found is None or not found.counts.sum():
        return ""
    said = f'<p class="said">{calibration_words(found)}</p>'
    body = f'<div class="charts">{charts.reliability(found)}{said}</div>'
    lead = (
        "Bars on the dashed line: what it says is what happens. Bars below it: it is surer than it should be. "
        "Above: it is better than it says."
    )
    return section("calibration", "How far to believe it", lead, body)


def calibration_words(found: Calibration) -> str:
    """ "When it says 90 %, it is right in 84 %": of the range most answers fall into, and over all ranges."""
    top = int(found.counts.argmax())
    sure, right = float(found.confidence[top]), float(found.accuracy[top])
    return (
        f"When it says about {100 * sure:.0f}&nbsp;%, as it did of {images(int(found.counts[top]))}, it is right in "
        f"<b>{percent(right)}</b>. On average what it says and what happens are "
        f"<b>{100 * found.error:.1f} points</b> apart (expected calibration error)."
    )


def doubtful(found: Sequence[Doubtful], album: Album) -> str:
    """The labels most worth checking."""
    if not found:
        return ""
    lead = (
        "The labels the network doubts most, most doubtful first. Each image was judged by networks that had not seen "
        "it in training (out of fold), so they do not repeat what they were told. A doubt is a question, not a verdict."
    )
    photos = []
    for one in found[:ROW]:
        caption = (
            f"labelled <b>{text(one.label)}</b> ({percent(one.label_probability)}), "
            f"looks like <b>{text(one.suggested)}</b> ({percent(one.suggested_probability)})"
        )
        alt = f"labelled {text(one.label)}, looks like {text(one.suggested)}"
        photos.append(album.photo(one.image, alt, caption, text(one.path)))
    rest = found[sum(bool(photo) for photo in photos) :]
    rows = [f"<code>{text(one.path)}</code>: {text(one.label)}, perhaps {text(one.suggested)}" for one in rest]
    more = folded_list(f"{counted(len(rows), 'more label')} to check", rows) if rows else ""
    shown = "".join(photos)
    return section("doubtful", "Labels to check", lead, (f'<div class="photos">{shown}</div>' if shown else "") + more)


def atypical(content: RunReport, album: Album) -> str:
    """The images least like the rest of their class."""
    if not content.atypical:
        return ""
    lead = (
        "The images least like the others of their class, as the network sees them. Some are rare and valuable, some "
        "do not belong: a drawing, a close-up, the wrong folder. Beside each, how far off it lies; 1 is ordinary."
    )
    photos = [
        album.photo(
            one.image, text(one.label), f"<b>{text(one.label)}</b>, {quantity(one.distance, 2)} times", text(one.path)
        )
        for one in content.atypical[:FEW]
    ]
    return section("atypical", "Least typical images", lead, gallery(photos, len(content.atypical)))


def folds(content: RunReport) -> str:
    """Each fold's score, their mean and what they come to together."""
    if not content.folds:
        return ""
    say = quantity if content.task_kind == "regression" else percent
    mean, low, high = content.fold_spread
    said = f"The mean of {counted(len(content.folds), 'fold')} is <b>{say(mean)}</b>"
    if math.isfinite(low):
        said += f", plausibly {say(low)} to {say(high)} (95&nbsp;%)"
    if content.pooled:
        low, high = content.pooled.interval
        said += f". All answers pooled: <b>{say(content.pooled.score)}</b>, {say(low)} to {say(high)}"
    lead = "The images were split into parts; each was answered by a network trained on all the others."
    rows = "".join(
        f'<tr><th scope="row">{number(fold.number)}</th><td class="num">{number(fold.images)}</td>'
        f'<td class="num">{say(fold.score)}</td></tr>'
        for fold in content.folds[: charts.MOST_FOLDS]
    )
    table = (
        '<div><table><thead><tr><th scope="col">Fold</th><th scope="col" class="num">Images</th>'
        f'<th scope="col" class="num">Score</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    drawn = charts.fold_dots(content, say)
    body = f'<p class="said">{said}.</p><div class="charts">{drawn}{table}</div>'
    return section("folds", "Fold by fold", lead, body)


def strangers(found: Strangers | None, album: Album) -> str:
    """How well images of none of the classes are told apart."""
    if found is None:
        return ""
    said = (
        f"Of {images(found.count)} in <b>{text(found.folder)}</b>, which show none of the classes, "
        f"<b>{percent(found.strangers_refused)}</b> are refused; of the held-out images "
        f"{percent(found.known_accepted)} are accepted."
    )
    lead = (
        f"An image further from everything learnt than {quantity(found.threshold)} is answered &ldquo;none of "
        f"these&rdquo;. A stranger lies further out than a known image in {percent(found.auroc)} of all pairs (AUROC)."
    )
    photos = [
        album.photo(
            one.image, f"taken for {text(one.taken_for)}", f"taken for <b>{text(one.taken_for)}</b>", text(one.path)
        )
        for one in found.taken[:FEW]
    ]
    shown = gallery(photos, len(found.taken), "stranger")
    body = f'<div class="charts">{charts.two_histograms(found)}<p class="said">{said}</p></div>'
    body += f"<h3>Strangers taken for a class</h3>{shown}" if shown else ""
    return section("strangers", "None of these", lead, body)


def seen(content: RunReport, album: Album) -> str:
    """Training images as they enter the network, plain and varied."""
    lead = (
        "These are your photographs after rotation, resizing and cropping, as the network receives them. "
        "If what matters is cut off or too small to make out, the network cannot see it either."
    )
    photos = [
        album.photo(view.image, text(view.truth), f"<b>{text(view.truth)}</b>", text(view.path))
        for view in content.seen[:FEW]
    ]
    body = gallery(photos, len(photos))
    varied = [_view(view.images[:7], text(view.truth), text(view.path), album) for view in content.views[:6]]
    if any(varied):
        body += (
            "<h3>And as training varied them</h3>"
            f'<p class="quiet below">The framed one is plain. In every epoch the network sees another variation.</p>'
            f"{''.join(varied)}"
        )
    if not body:
        lead, body = "", quiet("No pictures were kept of this.")
    return section("seen", "What the network really sees", lead, body)


def _view(pictures: Sequence[Picture], truth: str, path: str, album: Album) -> str:
    frames = "".join(
        album.frame(image, truth if not place else f"{truth}, varied", small=True, mark="" if place else "first")
        for place, image in enumerate(pictures)
    )
    return (
        frames
        and f'<div class="view"><div class="strip">{frames}</div><p><b>{truth}</b><small>{path}</small></p></div>'
    )


def data(content: RunReport, album: Album) -> str:
    """What the check before training found."""
    body = "".join(_finding(finding, album) for finding in content.findings)
    lead = "Every file was opened before training. This is what was unusual, and what was done about it."
    if not body:
        lead, body = "", quiet("The check before training found nothing unusual.")
    if content.set_aside:
        rows = [f"<code>{text(path)}</code>: {text(reason)}" for path, reason in content.set_aside]
        body += folded_list(f"Files set aside ({number(len(rows))})", rows)
    else:
        body += quiet("No files were set aside.")
    return section("data", "The photographs themselves", lead, body)


def _finding(finding: Finding, album: Album) -> str:
    grouped = {path for group in finding.groups for path in group}
    groups = "".join(_group(finding, group, album) for group in finding.groups[:4])
    alone = "".join(
        _figure(finding, path, album)
        for path in list(dict.fromkeys(finding.examples))[:8]
        if path not in grouped and path in finding.pictures
    )
    alone = alone and f'<div class="group">{alone}</div>'
    rows = [f"<code>{text(path)}</code>" for path in finding.examples]
    rows = [" = ".join(f"<code>{text(path)}</code>" for path in group[:6]) for group in finding.groups] or rows
    title = "For example"
    if finding.groups:
        title = counted(len(finding.groups), "group")
    elif len(rows) == finding.count:
        title = f"All {number(len(rows))} files" if len(rows) > 1 else "Which file"
    listed = folded_list(title, rows, EXAMPLES, FINDING_ROOM) if rows else ""
    return (
        f'<div class="finding"><b>{heading(finding.kind)}</b>: {number(finding.count)}'
        f'<span class="tag">{text(finding.action)}</span>'
        f"<p>{text(finding.kind)}: {text(finding.explanation)}</p>{groups}{alone}{listed}</div>"
    )


def _group(finding: Finding, group: Sequence[str], album: Album) -> str:
    shown = "".join(_figure(finding, path, album) for path in group[:6] if path in finding.pictures)
    return shown and f'<div class="group">{shown}</div>'


def _figure(finding: Finding, path: str, album: Album) -> str:
    framed = album.frame(finding.pictures[path], text(finding.kind), small=True)
    return framed and f"<figure>{framed}<figcaption>{text(path)}</figcaption></figure>"


def training(content: RunReport) -> str:
    """Curves and what they say, the checks before, and timings."""
    said = "".join(
        f'<p class="said"><b>{text(one.what)}.</b> {sentence(one.seen)} {sentence(one.do)}</p>'
        for one in content.remarks
    )
    body = said + (
        charts.learning_curves(content.curve) or quiet("No epochs were recorded, so there is no learning curve.")
    )
    if content.unfrozen:
        stages = text(", ".join(content.unfrozen))
        body = f"<p>Learnt with the head, from the top: {stages}. Epoch 0 is the head alone.</p>{body}"
    if content.checks or content.finder:
        drawn = charts.rate_finder(content.finder) if content.finder else ""
        lines = " ".join(sentence(line) for line in content.checks)
        body += f'<h3>Before the training</h3><div class="charts">{drawn}<p class="said">{lines}</p></div>'
    if content.timings:
        total = seconds(math.fsum(duration for _, duration in content.timings))
        body += f"<h3>Where the time went: {total} in all</h3>{figures.timing_bars(content.timings)}"
    return section("training", "The training", "", body)


def fine_print(content: RunReport) -> str:
    """Notes, recipe and versions."""
    body = "".join(fitting((f"<p>{text(note)}</p>" for note in content.notes), 100))
    if content.recipe:
        body += f"<details><summary>Recipe</summary><pre>{text(content.recipe, lines=True)}</pre></details>"
    if content.versions:
        body += folded_list("Versions", [f"{text(name)} {text(version)}" for name, version in content.versions.items()])
    return section("details", "Notes, recipe and versions", "", body or quiet("None were recorded."))
