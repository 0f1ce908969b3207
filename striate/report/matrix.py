"""A confusion matrix as HTML: the table, the most frequent confusions, and behind the cells their pictures.

No script is needed: a panel of pictures shows itself as the target of its link.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from striate.report.gallery import photos
from striate.report.thumbnails import Album
from striate.report.wording import percent, text, words
from striate.sections import Confused, ConfusionMatrix, Picture, spoken
from striate.sections.wording import clipped, images, number

FEW_CLASSES = 20
A_CELL = 8  # pictures behind one cell
FIRST_PAIRS, PAIRS = 10, 60  # confusions listed in words, at once and in all

Cell = tuple[int, int]  # places of the true class and of the predicted one

CSS = """
.matrix { border-collapse: separate; border-spacing: 2px; font-size: .88rem; width: auto; --y: .45rem; --x: .35rem }
.matrix td, .matrix td:last-child { text-align: center; min-width: 2.5rem; padding: var(--y) var(--x);
  border-radius: 4px; border: 0 }
.matrix td { background: var(--well) }
.matrix td.hit { background: rgb(var(--good) / calc(var(--s) * .5)) }
.matrix td.miss { background: rgb(var(--bad) / calc(.16 + var(--s) * .34)); font-weight: 600 }
.matrix td.nil { color: var(--muted); background: none; box-shadow: inset 0 0 0 1px var(--line) }
.matrix caption span { display: block; position: sticky; left: 0; max-width: min(46rem, 100vw - 4.2rem) }
.matrix.roomy { --y: 1rem; --x: .8rem } .matrix.roomy td { min-width: 5.5rem; font-size: 1.15rem }
.matrix th { border: 0; padding: .3rem .5rem; font-weight: 500; max-width: 12rem }
.matrix thead th { text-align: center; vertical-align: bottom }
.matrix thead .corner, .matrix .axis { color: var(--muted); font-weight: 400; font-size: .78rem }
.matrix thead .corner { text-align: left }
.matrix tbody th { text-align: right; min-width: 5.5rem; position: sticky; left: 0; background: var(--card) }
.matrix.dense thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
  display: inline-block }
.matrix.dense { --y: .3rem; --x: .2rem } .matrix.dense td { min-width: 2rem; font-size: .8rem }
.matrix.dense tbody th { max-width: none; white-space: nowrap }
.matrix td a { color: inherit; display: block; margin: calc(-1 * var(--y)) calc(-1 * var(--x));
  padding: var(--y) var(--x); text-decoration: underline dotted; text-underline-offset: 3px }
.matrix thead th { color: inherit; font-size: inherit }
.pairs { margin: 0; padding: 0; list-style: none } .pairs li { display: flex; flex-wrap: wrap; gap: 0 .4em;
  padding: .38rem 0; border-bottom: 1px solid var(--line) } .pairs li:last-child { border: 0 }
.pairs span { margin-left: auto; color: var(--muted); font-variant-numeric: tabular-nums }
.pairs a { margin-left: .6em }
.pair { display: none; border-top: 1px solid var(--line); margin-top: 1.3rem; padding-top: 1.1rem }
.pair:target { display: block } .pair h3 { margin-top: 0 } .pair h3 a { font-weight: 400; margin-left: .8rem }
@media (max-width: 46rem) { .matrix.roomy { --y: .8rem; --x: .4rem } .matrix.roomy td { min-width: 4rem } }
"""


def confusion_matrix(block: ConfusionMatrix, album: Album, anchor: str, number_on_page: int) -> str:
    """The matrix beside its most frequent confusions. anchor: of its section, to which the panels lead back."""
    one = _Matrix(block, f"pair{number_on_page if number_on_page > 1 else ''}")
    opened = one.panels(album, anchor)
    pairs = block.most_confused(PAIRS)
    listed = one.pairs(pairs[:FIRST_PAIRS], opened) or '<p class="quiet">No two classes are confused.</p>'
    if rest := pairs[FIRST_PAIRS:]:
        listed += f"<details><summary>{number(len(rest))} more</summary>{one.pairs(rest, opened)}</details>"
    wide = " dense" if len(block.names) > 12 else ""
    lead = '<p class="quiet below">Choose an underlined count to see its images.</p>' if opened else ""
    return (
        f'{lead}<div class="split{wide}">{one.table(opened)}<div><h3>Most frequent confusions</h3>{listed}</div></div>'
        f"{''.join(opened.values())}"
    )


class _Matrix:
    """A matrix with the classes that are shown of it: all, or of many the most confused ones."""

    def __init__(self, block: ConfusionMatrix, anchors: str) -> None:
        self.block, self._anchors = block, anchors
        self._some = len(block.names) > FEW_CLASSES
        self._shown = list(block.confusable(FEW_CLASSES)) if self._some else list(range(len(block.names)))

    def _anchor(self, cell: Cell) -> str:
        return f"{self._anchors}-{cell[0]}-{cell[1]}"

    def panels(self, album: Album, section: str) -> dict[Cell, str]:
        """The pictures of each cell, folded until a link leads there; the most frequent cells first.

        Every cell gets one picture before any gets a second, so that a page of many classes opens as many as it can.
        """
        block, drawn = self.block, set(self._shown)
        listed = {(pair.row, pair.column) for pair in block.most_confused(PAIRS)}
        kept: dict[Cell, dict[str, Picture]] = defaultdict(dict)
        for one in block.pictures:
            cell = one.row, one.column
            if drawn.issuperset(cell) or cell in listed:  # others have nothing that leads to them
                kept[cell].setdefault(one.picture.path, one.picture)
        order = sorted(kept, key=lambda cell: (-int(block.counts[cell]), cell))
        framed: dict[Cell, list[str]] = {cell: [] for cell in order}
        for turn in range(A_CELL):
            for cell in order:
                pictures = list(kept[cell].values())
                if turn < len(pictures) and (photo := self._photo(cell, pictures[turn], album)):
                    framed[cell].append(photo)
        return {cell: self._panel(cell, shown, section) for cell, shown in framed.items() if shown}

    def _photo(self, cell: Cell, picture: Picture, album: Album) -> str:
        alt = f"{self.block.names[cell[0]]} predicted as {self.block.names[cell[1]]}, {spoken(picture.caption)}"
        return album.photo(picture.image, text(alt), words(picture.caption), text(picture.path), small=True)

    def _panel(self, cell: Cell, shown: Sequence[str], section: str) -> str:
        count = int(self.block.counts[cell])
        truth, predicted = (text(self.block.names[place]) for place in cell)
        heading = f"<b>{truth}</b> predicted as <b>{predicted}</b>"
        if cell[0] == cell[1]:
            heading = f"<b>{truth}</b>, correct"
        return (
            f'<div class="pair" id="{self._anchor(cell)}"><h3>{heading}: {images(count)}'
            f'<a href="#{section}">close</a></h3>{photos(shown, max(count, len(shown)), small=True)}</div>'
        )

    def pairs(self, pairs: Sequence[Confused], opened: Collection[Cell]) -> str:
        """The most frequent confusions as a list; those in `opened` lead to their pictures."""
        rows = []
        for pair in pairs:
            cell = pair.row, pair.column
            link = f'<a href="#{self._anchor(cell)}">images</a>' if cell in opened else ""
            truth, predicted = (text(self.block.names[place]) for place in cell)
            rows.append(
                f"<li><b>{truth}</b> predicted as <b>{predicted}</b>"
                f"<span>{number(pair.count)} of {number(pair.of)}, {percent(pair.count / pair.of)}{link}</span></li>"
            )
        return f'<ol class="pairs">{"".join(rows)}</ol>' if rows else ""

    def table(self, opened: Collection[Cell]) -> str:
        """The matrix, shaded by share of its row. The cells in `opened` lead to their pictures."""
        names = [self.block.names[place] for place in self._shown]
        density = " dense" if len(names) > 6 else " roomy" if len(names) <= 3 else ""
        head = "".join(f'<th scope="col" title="{text(name)}"><span>{_short(name)}</span></th>' for name in names)
        head += '<th scope="col"><span>all other classes</span></th>' if self._some else ""
        said = "Rows are true classes, columns are predicted classes; the numbers are images."
        if self._some:
            count = number(len(self.block.names))
            said = f"The {FEW_CLASSES} most confused of {count} classes, partners side by side. {said}"
        rows = "".join(self._row(place, name, opened) for place, name in zip(self._shown, names, strict=True))
        return (
            '<div class="wide" role="region" aria-label="Confusion matrix" tabindex="0">'
            f'<table class="matrix{density}"><caption><span>{said}</span></caption><thead><tr>'
            f'<th class="corner" scope="col">true &darr; &nbsp; predicted &rarr;</th>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _row(self, row: int, name: str, opened: Collection[Cell]) -> str:
        counts = self.block.counts[row]
        total = int(counts.sum())
        cells = "".join(
            self._cell(int(counts[column]), total, (row, column), (row, column) in opened) for column in self._shown
        )
        if self._some:
            cells += self._cell(total - int(counts[self._shown].sum()), total, (row, -1), False)
        return f'<tr><th scope="row" title="{text(name)}">{_short(name)}</th>{cells}</tr>'

    def _cell(self, count: int, total: int, cell: Cell, opens: bool) -> str:
        if not count:
            return '<td class="nil">0</td>'
        said = f'<a href="#{self._anchor(cell)}">{number(count)}</a>' if opens else number(count)
        return f'<td class="{"hit" if cell[0] == cell[1] else "miss"}" style="--s:{count / total:.2f}">{said}</td>'


def _short(name: str) -> str:
    """A name for a narrow cell."""
    return text(clipped(name, 24))
