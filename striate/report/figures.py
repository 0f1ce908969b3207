"""Tables, bars, and a share on its scale, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from striate.report.wording import fitting, percent, text, words
from striate.sections import Bar, Bars, Column, Scale, Table, Words
from striate.sections.wording import formatted, number

TABLE_ROWS = 1000  # behind the first ones
TABLE_ROOM = 400_000  # letters of HTML in them

CSS = """
.scale { margin: 1.4rem 0 0 }
.track { position: relative; height: 14px; border-radius: 7px; background: var(--well) }
.track i { position: absolute; top: 0; bottom: 0 }
.track .band { background: rgb(var(--good) / .38); border-radius: 7px; min-width: 6px }
.track .base { width: 2px; margin-left: -1px; background: var(--muted) }
.track .dot { width: 6px; margin-left: -3px; top: -5px; bottom: -5px; border-radius: 3px; background: rgb(var(--good)) }
.ends { display: flex; justify-content: space-between; color: var(--muted); font-size: .78rem; margin-top: .45rem }
.meter { display: block; height: 6px; border-radius: 3px; background: var(--well); min-width: 4rem }
.meter i { display: block; height: 100%; border-radius: 3px; background: rgb(var(--good)); min-width: 2px }
.bars .meter { height: 10px; border-radius: 5px }
.bars .meter i { border-radius: 5px; background: rgb(var(--good) / .75) }
.bars td.fill { width: 60% } .bars { margin-top: .3rem } .hero .bars { margin-top: 1.4rem }
.meter.spread { position: relative; margin: 5px 0 }
.meter.spread u { position: absolute; top: -4px; bottom: -4px; border: solid var(--ink); border-width: 0 1.5px;
  text-decoration: none; opacity: .75 }
.meter.spread u::after { content: ""; position: absolute; left: 0; right: 0; top: calc(50% - .75px); height: 1.5px;
  background: var(--ink) }
.rows .prose { text-align: left; min-width: 7rem } .rows .fill { width: 34% } .rows th[scope=row] { min-width: 6rem }
.bars th { overflow-wrap: normal } .rows th { overflow-wrap: break-word; max-width: 16rem }
@media (max-width: 46rem) { .rows .fill, .rows .optional { display: none }
  .rows :is(th, td) { padding-right: .55rem } .rows th { white-space: normal } .rows th[scope=row] {
  min-width: 4rem } .bars td.fill { width: 45% } }
"""


def table(block: Table) -> str:
    """The first rows, and the rest, as far as there is room, in a folded table."""
    body = _under_heads(block.columns, _rows(block, block.rows[: block.shown]))
    if len(block.rows) <= block.shown:
        return body
    rest = fitting(_rows(block, block.rows[block.shown :]), TABLE_ROWS, TABLE_ROOM)
    left = len(block.rows) - block.shown - len(rest)
    more = f'<p class="quiet">{number(left)} {text(block.rest)} are not listed.</p>' if left else ""
    title = f"{number(len(rest))} more {text(block.noun[len(rest) != 1])}"
    return f"{body}<details><summary>{title}</summary>{_under_heads(block.columns, rest)}{more}</details>"


def _rows(block: Table, rows: Iterable[tuple[Words | Bar, ...]]) -> Iterable[str]:
    for name, *cells in rows:
        rest = "".join(_cell(cell, column) for cell, column in zip(cells, block.columns[1:], strict=True))
        yield f'<tr><th scope="row">{"" if isinstance(name, Bar) else words(name)}</th>{rest}</tr>'


def _cell(cell: Words | Bar, column: Column) -> str:
    if isinstance(cell, Bar):
        return f'<td class="fill">{meter(cell.share, cell.interval)}</td>'
    return f'<td class="{_kind(column)}{" quiet" if column.optional else ""}">{words(cell)}</td>'


def _kind(column: Column) -> str:
    return ("prose" if column.prose else "num") + (" optional" if column.optional else "")


def _under_heads(columns: Sequence[Column], rows: Iterable[str]) -> str:
    first, *rest = columns
    heads = "".join(
        f'<th scope="col" class="{_kind(column)}">{text(column.title)}</th>'
        if column.title
        else '<td class="fill"></td>'
        for column in rest
    )
    return (
        f'<div class="wide"><table class="rows"><thead><tr><th scope="col">{text(first.title)}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def meter(share: float | None, interval: tuple[float, float] | None = None) -> str:
    """A share as a bar; with an interval, drawn over it as a whisker. Empty where there is none."""
    if share is None or not 0 <= share <= 1:
        return ""
    bar = f'<i style="width:{100 * share:.1f}%"></i>'
    if interval is None:
        return f'<span class="meter">{bar}</span>'
    low, high = interval
    return f'<span class="meter spread">{bar}<u style="left:{100 * low:.1f}%;right:{100 - 100 * high:.1f}%"></u></span>'


def bars(block: Bars) -> str:
    """Values as horizontal bars, the largest filling its row."""
    longest = max((value for _, value in block.rows), default=0.0) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td class="fill">{meter(value / longest)}</td>'
        f'<td class="num">{text(formatted(value, block.form))}</td></tr>'
        for name, value in block.rows
    )
    return f'<table class="bars"><tbody>{rows}</tbody></table>'


def scale(block: Scale) -> str:
    """A share on a scale from 0 to 100 %, its interval, and the baseline to beat."""
    band = key = interval = ""
    if block.interval:
        low, high = block.interval
        band = f'<i class="band" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
        key = f'<span><i class="band"></i>{text(block.interval_name)}</span>'
        interval = f", {text(block.interval_name)} {percent(low)} to {percent(high)}"
    baseline = f"{text(block.baseline_name)}: {percent(block.baseline)}"
    return (
        '<figure class="scale">'
        f'<div class="track" role="img" aria-label="{percent(block.value)}{interval}; {baseline}">{band}'
        f'<i class="base" style="left:{100 * block.baseline:.2f}%"></i>'
        f'<i class="dot" style="left:{100 * block.value:.2f}%"></i></div>'
        '<div class="ends" aria-hidden="true"><span>0</span><span>25</span><span>50</span><span>75</span>'
        "<span>100&nbsp;%</span></div>"
        f'<figcaption class="key"><span><i class="dot"></i>this run</span>{key}'
        f'<span><i class="base"></i>{baseline}</span></figcaption></figure>'
    )
