"""A report as one HTML page: no script, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

from striate.report import frame
from striate.report.blocks import STYLE, Page, block, facts, holds_matrix, section
from striate.report.thumbnails import Album
from striate.report.wording import text, words
from striate.sections import Facts, Report


def render(report: Report) -> str:
    """The whole page as one string of HTML: pictures inside, nothing loaded from anywhere, no script, under 3 MB.

    The text has no lone surrogates, so it can be written as UTF-8 whatever the file names were.
    """
    body = f"{_first_screen(report)}{_facts(report)}{_sections(report)}"
    links = frame.contents([(part.anchor, text(part.title)) for part in report.sections])
    return frame.document(text(report.title), text(report.lead), f"{links}<main>{body}</main>", STYLE)


def _first_screen(report: Report) -> str:
    """The headline beside what to look at next."""
    headline, page = report.headline, Page(Album())
    body = "".join(block(one, page) for one in headline.blocks)
    steps = frame.next_steps(
        "What to look at next", [(step.anchor, text(step.title), words(step.why)) for step in report.steps]
    )
    return (
        f'<section class="hero" id="result"><div><h2>{text(headline.title)}</h2>'
        f'<div class="big">{text(headline.value)}</div>{body}</div>{steps}</section>\n'
    )


def _facts(report: Report) -> str:
    return f'<section id="facts" aria-label="The run">{facts(Facts(report.facts), Page(Album()))}</section>\n'


def _sections(report: Report) -> str:
    """The sections in order; those with pictures behind a confusion matrix take from the album last."""
    page = Page(Album())
    order = sorted(range(len(report.sections)), key=lambda place: holds_matrix(report.sections[place].blocks))
    drawn = {place: section(report.sections[place], page) for place in order}
    return "".join(drawn[place] for place in range(len(report.sections)))
