"""What the pages are made of: the page itself, controls, boards of numbers and drawings, all as HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.reading import TEXT, read_file
from striate.report import frame
from striate.storage import json_text

SCRIPTS = Path(__file__).parents[1] / "scripts"
MINUS = "\u2212"

CSS = """
[hidden] { display: none !important }
.controls { display: flex; flex-wrap: wrap; gap: .7rem 1.3rem; margin: 0 0 1.1rem; align-items: end }
.controls label { font-size: .82rem; color: var(--muted); display: block; max-width: 100% }
.wide th[scope=row] { min-width: 7.5rem; overflow-wrap: normal }
.controls label.tick { display: flex; gap: .45rem; align-items: center; min-height: 2.1rem }
.controls output { color: var(--ink); font-variant-numeric: tabular-nums }
.controls select, .controls button, .controls input[type=number] { font: inherit; font-size: .9rem; color: var(--ink);
  background: var(--well); border: 1px solid var(--line); border-radius: 8px; padding: .3rem .6rem; min-height: 2.1rem;
  max-width: 100% }
.controls input[type=range] { width: 9.5rem; display: block; accent-color: rgb(var(--good)); min-height: 2.1rem;
  margin: 0 }
.controls button { cursor: pointer } button:disabled { opacity: .45; cursor: default }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
.boards { display: flex; flex-wrap: wrap; gap: 1.2rem 2rem; align-items: flex-start }
.boards figure, figure.drawn { margin: 0; min-width: 0; max-width: 100% }
figcaption { font-size: .82rem; color: var(--muted); margin-bottom: .4rem }
table.board { table-layout: fixed; border-spacing: 2px; border-collapse: separate; width: auto; max-width: 100% }
.board td { padding: 0; border: 0; border-radius: 5px; background: var(--well); text-align: center; font-size: .82rem;
  width: 2.3rem; height: 2.1rem; min-width: 0; line-height: 1 }
.board td.pad { background: none; color: var(--muted); box-shadow: inset 0 0 0 1px var(--line) }
.board td.on { background: rgb(var(--good) / .3); box-shadow: inset 0 0 0 2px rgb(var(--good)) }
.board td.out { background: rgb(var(--bad) / .2) }
.board td.on.out { box-shadow: inset 0 0 0 2px rgb(var(--bad)); background: rgb(var(--bad) / .3) }
.board input { width: 100%; height: 2.1rem; border: 0; background: none; color: inherit; font: inherit; padding: 0;
  text-align: center; border-radius: 5px } .board input[aria-invalid=true] { color: rgb(var(--bad)) }
.said { font-variant-numeric: tabular-nums; margin: .9rem 0 0 } .formula { font-family: var(--mono); font-size: .84rem }
figure.drawn svg { width: 100%; height: auto; display: block } svg text { fill: var(--muted); font-size: 12px }
.t0 { stroke: var(--t0); fill: var(--t0) } .t1 { stroke: var(--t1); fill: var(--t1) }
.t2 { stroke: var(--t2); fill: var(--t2) } .t3 { stroke: var(--t3); fill: var(--t3) }
.t4 { stroke: var(--t4); fill: var(--t4) } .t5 { stroke: var(--t5); fill: var(--t5) }
th .key { display: inline-block; width: 16px; height: 3px; margin-right: .5em; vertical-align: .25em }
.key.t0 { background: var(--t0) } .key.t1 { background: var(--t1) } .key.t2 { background: var(--t2) }
.key.t3 { background: var(--t3) } .key.t4 { background: var(--t4) } .key.t5 { background: var(--t5) }
section > .wide, section > .boards { margin-top: .8rem }
@media (max-width: 46rem) { .board td { width: 1.9rem; font-size: .74rem } .controls { gap: .6rem 1rem }
  .wide table { font-size: .88rem } .wide th, .wide td { padding-right: .55rem }
  .boards figure { width: 100% } }
"""


@dataclass(frozen=True)
class Page:
    """A page before it is put together. sections: anchor, title, lead and body, all HTML. data: read by the script."""

    title: str
    lead: str
    sections: Sequence[tuple[str, str, str, str]]
    data: Mapping[str, Any]
    script: str
    style: str = ""


def rendered(page: Page) -> str:
    """One HTML file. Its script is `scripts/common.js` and the page's own; nothing is loaded from anywhere."""
    links = frame.contents([(anchor, title) for anchor, title, _, _ in page.sections])
    body = "".join(frame.section(*part) for part in page.sections)
    # "<" would end the block early; JSON has an escape for it.
    data = json_text(dict(page.data)).replace("<", "\\u003c")
    kept = f'<script type="application/json" id="data">{data}</script>'
    script = "\n".join(read_file(SCRIPTS / f"{name}.js", TEXT).decode("utf-8") for name in ("common", page.script))
    none = (
        '<noscript><p class="lead">Scripts are off: the figures show one example each, without controls.</p></noscript>'
    )
    return frame.document(
        page.title, page.lead, f"{links}{none}<main>{body}</main>{kept}", CSS + page.style, f"\n{script}"
    )


def said(value: float, digits: int = 3) -> str:
    """A number as the pages write it: no trailing zeros, a true minus sign."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
    return ("0" if text in ("-0", "") else text).replace("-", MINUS)


def amount(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def controls(*parts: str) -> str:
    """Controls in a row, shown by the script."""
    return f'<div class="controls live" hidden>{"".join(parts)}</div>'


def slider(name: str, label: str, limits: tuple[float, float, float], value: float) -> str:
    """A slider with its value above; limits: lowest, highest, step."""
    low, high, step = limits
    return (
        f'<label>{label}: <output id="{name}-said" for="{name}">{said(value)}</output>'
        f'<input type="range" id="{name}" min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}"></label>'
    )


def choice(name: str, label: str, options: Mapping[str, str], chosen: str) -> str:
    """A list to choose from: values and words."""
    listed = "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{words}</option>'
        for value, words in options.items()
    )
    return f'<label>{label}<br><select id="{name}">{listed}</select></label>'


def tick(name: str, label: str, on: bool = False) -> str:
    """A box to tick."""
    return f'<label class="tick"><input type="checkbox" id="{name}"{" checked" if on else ""}>{label}</label>'


def button(name: str, label: str) -> str:
    """A button."""
    return f'<button type="button" id="{name}">{label}</button>'


Mark = Callable[[int, int], str]


def board(rows: Iterable[Iterable[float]], label: str, mark: Mark | None = None, name: str = "") -> str:
    """A matrix as a table under its label; `mark` gives the CSS classes of a cell."""
    lines = "".join(
        "<tr>" + "".join(_cell(value, mark(i, j) if mark else "") for j, value in enumerate(row)) + "</tr>"
        for i, row in enumerate(rows)
    )
    named = f' id="{name}"' if name else ""
    return (
        f'<figure><figcaption>{label}</figcaption><table class="board"{named}><tbody>{lines}</tbody></table></figure>'
    )


def _cell(value: float, classes: str) -> str:
    return f"<td{f' class={chr(34)}{classes}{chr(34)}' if classes else ''}>{said(value)}</td>"


def boards(*figures: str) -> str:
    """Matrices side by side."""
    return f'<div class="boards">{"".join(figures)}</div>'


def rows_table(head: Sequence[str], rows: Iterable[Sequence[str]], name: str = "", caption: str = "") -> str:
    """A table whose first column is words and whose others are numbers; all HTML."""
    titles = "".join(f'<th scope="col"{"" if place == 0 else _NUM}>{title}</th>' for place, title in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td{_NUM}>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    named = f' id="{name}"' if name else ""
    top = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="wide"><table{named}>{top}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


_NUM = ' class="num"'


def drawing(name: str, box: tuple[int, int], label: str, inner: str, widest: str = "44rem") -> str:
    """An SVG of `box` units with a description for screen readers; the script may redraw what is in it."""
    return (
        f'<figure class="drawn" style="max-width:{widest}"><svg id="{name}" viewBox="0 0 {box[0]} {box[1]}" role="img" '
        f'aria-label="{html.escape(label)}">{inner}</svg></figure>'
    )
