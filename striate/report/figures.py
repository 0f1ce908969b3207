"""The report's figures: small functions from plain data to HTML or SVG that needs no script and no file."""

from __future__ import annotations

import html
import itertools
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from striate.report.content import ClassScore, Confusion, RunReport

FEW_CLASSES = 20
LONGEST_LIST = 500

CSS = """
.scale { margin: 1.4rem 0 0 }
.track { position: relative; height: 14px; border-radius: 7px; background: var(--well) }
.track i { position: absolute; top: 0; bottom: 0 }
.track .band { background: rgb(var(--good) / .38); border-radius: 7px; min-width: 6px }
.track .base { width: 2px; margin-left: -1px; background: var(--muted) }
.track .dot { width: 6px; margin-left: -3px; top: -5px; bottom: -5px; border-radius: 3px; background: rgb(var(--good)) }
.ends { display: flex; justify-content: space-between; color: var(--muted); font-size: .78rem; margin-top: .45rem }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; color: var(--muted); font-size: .82rem; margin-top: .5rem }
.key i { display: inline-block; vertical-align: -.1em; margin-right: .5em; height: .95em }
.key .dot { width: 5px; border-radius: 3px; background: rgb(var(--good)) }
.key .band { width: 18px; height: .7em; border-radius: 4px; background: rgb(var(--good) / .38); vertical-align: 0 }
.key .base { width: 2px; background: var(--muted) }
.matrix { border-collapse: separate; border-spacing: 2px; font-size: .88rem; width: auto }
.matrix td { text-align: center; min-width: 2.5rem; padding: .45rem .35rem; border-radius: 4px; border: 0 }
.matrix td { background: var(--well) }
.matrix td.hit { background: rgb(var(--good) / calc(var(--s) * .5)) }
.matrix td.miss { background: rgb(var(--bad) / calc(.16 + var(--s) * .34)); font-weight: 600 }
.matrix td.nil { color: var(--muted); background: none; box-shadow: inset 0 0 0 1px var(--line) }
.matrix caption span { display: block; position: sticky; left: 0; max-width: min(46rem, 100vw - 4.2rem) }
.matrix.roomy td { min-width: 5.5rem; padding: 1rem .8rem; font-size: 1.15rem }
.matrix th { border: 0; padding: .3rem .5rem; font-weight: 500; max-width: 12rem }
.matrix thead th { text-align: center; vertical-align: bottom }
.matrix thead .corner, .matrix .axis { color: var(--muted); font-weight: 400; font-size: .78rem }
.matrix thead .corner { text-align: left }
.matrix tbody th { text-align: right; position: sticky; left: 0; background: var(--card) }
.matrix.dense thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
  display: inline-block }
.matrix.dense td { min-width: 2rem; padding: .3rem .2rem; font-size: .8rem }
.matrix.dense tbody th { max-width: none; white-space: nowrap }
.meter { display: block; height: 6px; border-radius: 3px; background: var(--well); min-width: 4rem }
.meter i { display: block; height: 100%; border-radius: 3px; background: rgb(var(--good)); min-width: 2px }
.bars .meter { height: 10px; border-radius: 5px }
.bars .meter i { border-radius: 5px; background: rgb(var(--good) / .75) }
.bars td.fill { width: 60% }
.curves figure { margin: 0 }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.5rem }
.curves svg { width: 100%; max-width: 27rem; height: auto; display: block; overflow: visible }
.curves text { font-size: 12px; fill: var(--muted) }
.curves .last { fill: var(--ink); font-weight: 600 }
.curves .grid { stroke: var(--line); stroke-width: 1 }
.curves polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }
.curves .good { stroke: rgb(var(--good)) } .curves .bad { stroke: rgb(var(--bad)) }
.curves circle.good { fill: rgb(var(--good)) } .curves circle.bad { fill: rgb(var(--bad)) }
"""


def text(value: str, lines: bool = False) -> str:
    """`value` safe inside HTML, attributes included, with what cannot be seen made visible: `\\n`, `\\xff`, `\\u202e`.

    File names are bytes in disguise: a lone surrogate would make the page impossible to write, and a control or
    direction character would let a name pretend to be another. With `lines`, line breaks and tabs are kept.
    """
    return html.escape("".join(_visible(letter, lines) for letter in value))


def _visible(letter: str, lines: bool) -> str:
    if lines and letter in "\n\t":
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # Zero-width joiners are honest parts of Persian words and of emoji.
    if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code not in {0x200C, 0x200D}:
        return letter.encode("unicode_escape").decode("ascii")
    return letter


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal, in HTML; never 100.0 % or 0.0 % unless exactly so."""
    if share is None or not math.isfinite(share):
        return "&ndash;"
    if 0.9995 <= share < 1 - 1e-9:
        return "&gt;&nbsp;99.9&nbsp;%"
    if 1e-9 < share < 0.0005:
        return "&lt;&nbsp;0.1&nbsp;%"
    return f"{100 * share:.1f}&nbsp;%"


def number(count: int) -> str:
    """A count with its thousands apart: 12 345, the gap unbreakable."""
    return f"{count:,}".replace(",", "&#8239;")


def images(count: int) -> str:
    """`1 image`, `12 images`."""
    return number(count) + (" image" if count == 1 else " images")


def seconds(duration: float) -> str:
    """A duration the way one would say it: 0.04 s, 1.6 s, 42 s, 2 min 05 s, 1 h 20 min."""
    if duration < 9.95:
        return f"{duration:.2f}&nbsp;s" if duration < 0.1 else f"{duration:.1f}&nbsp;s"
    whole = round(duration)
    if whole < 60:
        return f"{whole}&nbsp;s"
    if whole < 3600:
        return f"{whole // 60}&nbsp;min {whole % 60:02d}&nbsp;s"
    return f"{whole // 3600}&nbsp;h {whole % 3600 // 60:02d}&nbsp;min"


def first_names(names: Sequence[str], room: int = 48) -> str:
    """The first names that fit into `room` letters, at least one, and how many more there are."""
    lengths = list(itertools.accumulate(len(name) + 2 for name in names))
    fits = max(1, sum(length <= room for length in lengths))
    said = ", ".join(text(name) for name in names[:fits])
    return said + (f" and {number(len(names) - fits)} more" if len(names) > fits else "")


def folded_list(title: str, rows: Sequence[str]) -> str:
    """A folded list; past `LONGEST_LIST` rows it says how many it leaves out, so that the page stays small."""
    left = len(rows) - LONGEST_LIST
    items = "".join(f"<li>{row}</li>" for row in rows[:LONGEST_LIST])
    more = f"<li>and {number(left)} more</li>" if left > 0 else ""
    return f"<details><summary>{title}</summary><ul>{items}{more}</ul></details>"


def accuracy_bar(content: RunReport) -> str:
    """The accuracy on a scale from 0 to 100 %, with its interval and the score of always giving the same answer."""
    low, high = content.interval
    commonest = content.commonest
    if commonest is None:
        return ""
    base = commonest.count / content.total
    name = text(commonest.name)
    label = (
        f"Accuracy {percent(content.accuracy)}, 95 % interval {percent(low)} to {percent(high)};"
        f" always answering {name} would score {percent(base)}"
    )
    return (
        f'<figure class="scale"><div class="track" role="img" aria-label="{label}">'
        f'<i class="band" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
        f'<i class="base" style="left:{100 * base:.2f}%"></i>'
        f'<i class="dot" style="left:{100 * content.accuracy:.2f}%"></i></div>'
        '<div class="ends" aria-hidden="true"><span>0</span><span>25</span><span>50</span><span>75</span>'
        "<span>100&nbsp;%</span></div>"
        '<figcaption class="key"><span><i class="dot"></i>this run</span>'
        '<span><i class="band"></i>95&nbsp;% interval (Wilson)</span>'
        f'<span><i class="base"></i>always answering <b>{name}</b>: {percent(base)}</span></figcaption></figure>'
    )


def confusion_table(content: RunReport) -> str:
    """The confusion matrix as a table, shaded by share of its row; of many classes, the most confused ones."""
    matrix = content.confusion
    some = len(content.classes) > FEW_CLASSES
    shown = list(content.confusable_classes(FEW_CLASSES) if some else range(len(content.classes)))
    density = " dense" if len(shown) > 6 else " roomy" if len(shown) <= 3 else ""
    names = [content.classes[index] for index in shown]
    head = "".join(f'<th scope="col" title="{text(name)}"><span>{_short(name)}</span></th>' for name in names)
    if some:
        head += '<th scope="col"><span>all other classes</span></th>'
    rows = []
    for index, name in zip(shown, names, strict=True):
        total = int(matrix[index].sum())
        cells = [_cell(int(matrix[index, column]), total, index == column) for column in shown]
        if some:
            cells.append(_cell(total - int(matrix[index, shown].sum()), total, False))
        rows.append(f'<tr><th scope="row" title="{text(name)}">{_short(name)}</th>{"".join(cells)}</tr>')
    said = (
        f"The {FEW_CLASSES} most confused of {number(len(content.classes))} classes, partners side by side. "
        if some
        else ""
    ) + "Each row is a true class, each column the network&rsquo;s answer; the numbers are images."
    return (
        '<div class="wide" role="region" aria-label="Confusion matrix" tabindex="0">'
        f'<table class="matrix{density}"><caption><span>{said}</span></caption><thead><tr>'
        f'<th class="corner" scope="col">truth &darr; &nbsp; answer &rarr;</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _short(name: str, longest: int = 24) -> str:
    """A name for a narrow cell: the middle is left out, because species names often differ only in their ends."""
    return text(name if len(name) <= longest else f"{name[: longest // 2]}\u2026{name[-(longest // 2 - 1) :]}")


def _cell(count: int, total: int, hit: bool) -> str:
    if not count:
        return '<td class="nil">0</td>'
    return f'<td class="{"hit" if hit else "miss"}" style="--s:{count / total:.2f}">{number(count)}</td>'


def confused_pairs(pairs: Iterable[Confusion]) -> str:
    """The most frequent confusions as a list, in words."""
    rows = (
        f"<li><b>{text(pair.truth)}</b> taken for <b>{text(pair.predicted)}</b>"
        f"<span>{number(pair.count)} of {number(pair.of)}, {percent(pair.count / pair.of)}</span></li>"
        for pair in pairs
    )
    return f'<ol class="pairs">{"".join(rows)}</ol>'


def class_table(scores: Iterable[ClassScore]) -> str:
    """Recall and precision of each class, with a bar for the recall."""
    rows = "".join(
        f'<tr><th scope="row">{text(score.name)}</th><td class="num">{number(score.correct)} of {number(score.count)}'
        f'</td><td class="num">{percent(score.recall)}</td><td class="fill">{_meter(score.recall)}</td>'
        f'<td class="num">{percent(score.precision)}</td></tr>'
        for score in scores
    )
    return (
        '<div class="wide"><table class="classes"><thead><tr><th scope="col">Class</th>'
        '<th scope="col" class="num">Recognised</th><th scope="col" class="num">Recall</th><td class="fill"></td>'
        f'<th scope="col" class="num">Precision</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _meter(share: float | None) -> str:
    return f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span>' if share is not None else ""


def timing_bars(timings: Sequence[tuple[str, float]]) -> str:
    """Seconds by stage as horizontal bars, the longest filling its row."""
    longest = max((duration for _, duration in timings), default=0.0) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{text(stage)}</th><td class="fill">{_meter(duration / longest)}</td>'
        f'<td class="num">{seconds(duration)}</td></tr>'
        for stage, duration in timings
    )
    return f'<table class="bars"><tbody>{rows}</tbody></table>'


def learning_curves(curve: Sequence[Mapping[str, float]]) -> str:
    """Held-out accuracy and training loss by epoch, one small panel each; empty when there is nothing to draw."""
    panels = ""
    for key, name, tone, say in (
        ("accuracy", "Accuracy on held-out images", "good", percent),
        ("loss", "Training loss", "bad", _loss),
    ):
        points = [
            (float(row.get("epoch", place + 1)), float(row[key])) for place, row in enumerate(curve) if key in row
        ]
        finite = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
        if finite:
            panels += _panel(finite, name, tone, say)
    return f'<div class="curves">{panels}</div>' if panels else ""


def _loss(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.4g}"


def _panel(points: list[tuple[float, float]], name: str, tone: str, say: Callable[[float], str]) -> str:
    """One SVG line chart, 360 by 200 units: three rules with their values, the first and last epoch, the last value."""
    left, right, top, bottom = 64.0, 340.0, 12.0, 172.0
    (first, last), values = (points[0][0], points[-1][0]), [value for _, value in points]
    low, high = min(values), max(values)
    ruled = [low, (low + high) / 2, high]
    if high - low < 1e-9:
        low, high, ruled = low - 1, high + 1, [low]

    def across(epoch: float) -> float:
        return left + (right - left) * ((epoch - first) / (last - first) if last > first else 1.0)

    def down(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    rules = "".join(
        f'<line class="grid" x1="{left}" x2="{right}" y1="{down(value):.1f}" y2="{down(value):.1f}"/>'
        f'<text x="{left - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{say(value)}</text>'
        for value in ruled
    )
    line = " ".join(f"{across(epoch):.1f},{down(value):.1f}" for epoch, value in points)
    x, y = across(last), down(values[-1])
    end = f'<text x="{right}" y="192" text-anchor="end">{last:g}</text>' if last > first else ""
    return (
        f"<figure><figcaption>{name}: <b>{say(values[-1])}</b> at the end</figcaption>"
        f'<svg viewBox="0 0 360 200" role="img" aria-label="{name} by epoch, {say(values[0])} to {say(values[-1])}">'
        f'{rules}<polyline class="{tone}" points="{line}"/><circle class="{tone}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        f'<text x="{left}" y="192">epoch {first:g}</text>{end}</svg></figure>'
    )
