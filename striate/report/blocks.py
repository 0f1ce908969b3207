"""Every kind of block of a section as HTML, one function a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from striate.report import bubbles, charts, feedback, figures, gallery, maps, matrix, parallel, plot, thumbnails
from striate.report.thumbnails import Album
from striate.report.wording import folded_list, text, words
from striate.sections import (
    Bars,
    Block,
    Bubbles,
    ConfusionMatrix,
    Entry,
    Fact,
    Facts,
    Feedback,
    Gallery,
    Grid,
    Heading,
    Histogram,
    Histograms,
    Intervals,
    Lines,
    Listing,
    MapPictures,
    Neighbours,
    Parallel,
    Preformatted,
    Reliability,
    Scale,
    Scatter,
    Section,
    Slice,
    Strip,
    Table,
    Text,
    TileRows,
)
from striate.sections.wording import number

ENTRY_ROWS, ENTRY_ROOM = 100, 15_000  # rows of a list in an entry, and letters of HTML
PARAGRAPHS = {"body": "", "large": ' class="said"', "quiet": ' class="quiet"'}

CSS = """
.said { font-size: 1.15rem; line-height: 1.45; max-width: 40rem; margin-bottom: .5rem }
.quiet.below { margin-bottom: .7rem } .charts .said { align-self: center } .charts + .charts { margin-top: 1.3rem }
dl + .charts { margin-top: 1.3rem } * + dl { margin-top: 1.1rem } .lead + dl { margin-top: 0 }
"""
STYLE = feedback.CSS + figures.CSS + matrix.CSS + plot.CSS + thumbnails.CSS + gallery.CSS + maps.CSS + bubbles.CSS + CSS


@dataclass
class Page:
    """What one page has left to show, and where in it a block stands."""

    album: Album
    anchor: str = ""
    matrices: int = 0


def section(part: Section, page: Page) -> str:
    """A card with a heading that can be linked to."""
    page.anchor = part.anchor
    lead = f'<p class="lead">{words(part.lead)}</p>' if part.lead else ""
    body = "".join(block(one, page) for one in part.blocks)
    return f'<section id="{part.anchor}"><h2>{text(part.title)}</h2>{lead}{body}</section>\n'


def block(one: Block, page: Page) -> str:
    """A block as HTML. Raises TypeError for a kind that is none of `striate.sections`."""
    if (draw := CHARTS.get(type(one))) is not None:
        drawn = draw(one)
        return f'<div class="charts">{drawn}</div>' if drawn else ""
    if (render := RENDERERS.get(type(one))) is not None:
        return render(one, page)
    kinds = ", ".join(sorted(kind.__name__ for kind in (*RENDERERS, *CHARTS)))
    raise TypeError(f"a section is made of {kinds}; not of {type(one).__name__}")


def holds_matrix(blocks: tuple[Block, ...]) -> bool:
    """Whether a confusion matrix is among them: its pictures come last, because there are the most of them."""
    return any(isinstance(one, ConfusionMatrix) for one in blocks)


def _paragraph(one: Text, page: Page) -> str:
    return f"<p{PARAGRAPHS[one.tone]}>{words(one.words)}</p>"


def _heading(one: Heading, page: Page) -> str:
    return f"<h3>{text(one.title)}</h3>"


def facts(one: Facts, page: Page) -> str:
    """Names and values side by side."""
    return f"<dl>{''.join(map(_fact, one.facts))}</dl>"


def _fact(fact: Fact) -> str:
    wide, more = (' class="more"' if fact.wide else ""), (f"<small>{text(fact.more)}</small>" if fact.more else "")
    return f"<div{wide}><dt>{text(fact.name)}</dt><dd>{text(fact.value)}{more}</dd></div>"


def _listing(one: Listing, page: Page) -> str:
    return folded_list(text(one.title), [words(row) for row in one.rows])


def _preformatted(one: Preformatted, page: Page) -> str:
    return f"<details><summary>{text(one.title)}</summary><pre>{text(one.text, lines=True)}</pre></details>"


def _entry(one: Entry, page: Page) -> str:
    """Lists in it are short: a page may have many entries."""
    body = ""
    for inner in one.blocks:
        if isinstance(inner, Listing):
            rows = [words(row) for row in inner.rows]
            body += folded_list(text(inner.title), rows, ENTRY_ROWS, ENTRY_ROOM)
        else:
            body += block(inner, page)
    tag = f'<span class="tag">{text(one.tag)}</span>' if one.tag else ""
    said = f"<p>{words(one.words)}</p>" if one.words else ""
    return f'<div class="finding"><b>{text(one.title)}</b>: {number(one.count)}{tag}{said}{body}</div>'


def _grid(one: Grid, page: Page) -> str:
    body = "".join(CHARTS[type(inner)](inner) if type(inner) in CHARTS else block(inner, page) for inner in one.blocks)
    return f'<div class="charts{" small" if one.small else ""}">{body}</div>' if body else ""


def _matrix(one: ConfusionMatrix, page: Page) -> str:
    page.matrices += 1
    return matrix.confusion_matrix(one, page.album, page.anchor, page.matrices)


RENDERERS: dict[type[Block], Callable[[Any, Page], str]] = {
    Text: _paragraph,
    Heading: _heading,
    Facts: facts,
    Table: lambda one, page: figures.table(one),
    Bars: lambda one, page: figures.bars(one),
    Feedback: lambda one, page: feedback.feedback(one),
    Scale: lambda one, page: figures.scale(one),
    Gallery: lambda one, page: gallery.gallery(one, page.album),
    Strip: lambda one, page: gallery.strip(one, page.album),
    Neighbours: lambda one, page: gallery.neighbours(one, page.album),
    MapPictures: lambda one, page: maps.pictures(one, page.album),
    TileRows: lambda one, page: maps.tile_rows(one, page.album),
    Listing: _listing,
    Preformatted: _preformatted,
    Entry: _entry,
    Grid: _grid,
    ConfusionMatrix: _matrix,
}
CHARTS: dict[type[Block], Callable[[Any], str]] = {
    Reliability: charts.reliability,
    Lines: charts.lines,
    Scatter: charts.scatter,
    Histogram: charts.histogram,
    Histograms: charts.histograms,
    Intervals: charts.intervals,
    Bubbles: bubbles.bubbles,
    Slice: parallel.one_key,
    Parallel: parallel.coordinates,
}
