"""A run's report as one HTML page: no script, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

import re

from striate.report import figures, frame, plot, thumbnails
from striate.report.run import headline, sections, task_sections
from striate.report.run.content import RunReport
from striate.report.thumbnails import Album
from striate.report.wording import text

STYLE = figures.CSS + plot.CSS + thumbnails.CSS + sections.CSS


def render(content: RunReport) -> str:
    """The whole page as one string of HTML: pictures inside, nothing loaded from anywhere, no script, under 3 MB.

    The text has no lone surrogates, so it can be written as UTF-8 whatever the file names were.
    """
    told = _told(content, Album())
    body = "".join(told)
    links = [
        (anchor, title)
        for part in told
        for anchor, title in re.findall(r'^<section id="([a-z]+)"><h2>([^<]*)</h2>', part)
    ]
    main = f"{headline.hero(content)}{headline.facts(content)}{body}"
    page = f"{frame.contents(links)}<main>{main}</main>"
    return frame.document(text(content.title), text(content.data), page, STYLE)


def _told(content: RunReport, album: Album) -> list[str]:
    """The sections in the page's order; "" for what there is nothing to say about.

    The pictures behind the cells of the confusion matrix come last to the album: there are the most of them.
    """
    if content.task_kind == "multilabel":
        first = [task_sections.label_mistakes(content, album), task_sections.labels(content)]
        first.append(task_sections.label_curves(content))
    elif content.numbers is not None:
        first = [task_sections.numbers(content.numbers), task_sections.number_mistakes(content.numbers, album)]
    elif content.task_kind == "classification":
        first = [sections.mistakes(content, album), sections.classes(content)]
    else:
        first = []
    rest = [
        sections.calibration(content.calibration),
        sections.folds(content),
        sections.doubtful(content.doubtful, album),
        sections.atypical(content, album),
        sections.strangers(content.strangers, album),
        sections.seen(content, album),
        sections.data(content, album),
        sections.training(content),
        sections.fine_print(content),
    ]
    if content.task_kind == "classification":
        first.insert(1, sections.confusion(content, album))
    return first + rest
