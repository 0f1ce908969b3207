"""Figures of a classifier as HTML: the accuracy on its scale, the confusion matrix, class by class, label by label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from striate.report.run.content import ClassScore, Confusion, LabelScore, RunReport
from striate.report.wording import clipped, number, percent, quantity, seconds, text

FEW_CLASSES = 20

Pair = tuple[int, int]  # places of the true class and of the answer

CSS = """
.scale { margin: 1.4rem 0 0 }
.track { position: relative; height: 14px; border-radius: 7px; background: var(--well) }
.track i { position: absolute; top: 0; bottom: 0 }
.track .band { background: rgb(var(--good) / .38); border-radius: 7px; min-width: 6px }
.track .base { width: 2px; margin-left: -1px; background: var(--muted) }
.track .dot { width: 6px; margin-left: -3px; top: -5px; bottom: -5px; border-radius: 3px; background: rgb(var(--good)) }
.ends { display: flex; justify-content: space-between; color: var(--muted); font-size: .78rem; margin-top: .45rem }
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
.matrix tbody th { text-align: right; min-width: 5.5rem; position: sticky; left: 0; background: var(--card) }
.matrix.dense thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
  display: inline-block }
.matrix.dense td { min-width: 2rem; padding: .3rem .2rem; font-size: .8rem }
.matrix.dense tbody th { max-width: none; white-space: nowrap }
.meter { display: block; height: 6px; border-radius: 3px; background: var(--well); min-width: 4rem }
.meter i { display: block; height: 100%; border-radius: 3px; background: rgb(var(--good)); min-width: 2px }
.bars .meter { height: 10px; border-radius: 5px }
.bars .meter i { border-radius: 5px; background: rgb(var(--good) / .75) }
.bars td.fill { width: 60% }
.meter.spread { position: relative; margin: 5px 0 }
.meter.spread u { position: absolute; top: -4px; bottom: -4px; border: solid var(--ink); border-width: 0 1.5px;
  text-decoration: none; opacity: .75 }
.meter.spread u::after { content: ""; position: absolute; left: 0; right: 0; top: calc(50% - .75px); height: 1.5px;
  background: var(--ink) }
.matrix td a { color: inherit; display: block; margin: -.45rem -.35rem; padding: .45rem .35rem;
  text-decoration: underline dotted; text-underline-offset: 3px }
.matrix.roomy td a { margin: -1rem -.8rem; padding: 1rem .8rem }
.matrix thead th { color: inherit; font-size: inherit } .matrix td:last-child { padding: .3rem }
.classes .fill { width: 34% } .classes th[scope=row] { min-width: 6rem }
.pairs { margin: 0; padding: 0; list-style: none } .pairs li { display: flex; flex-wrap: wrap; gap: 0 .4em;
  padding: .38rem 0; border-bottom: 1px solid var(--line) } .pairs li:last-child { border: 0 }
.pairs span { margin-left: auto; color: var(--muted); font-variant-numeric: tabular-nums }
.pairs a { margin-left: .6em }
.bars th { overflow-wrap: normal } .classes th { overflow-wrap: break-word; max-width: 16rem }
@media (max-width: 46rem) { .matrix.roomy td { min-width: 4rem; padding: .8rem .4rem }
  .matrix.roomy td a { margin: -.8rem -.4rem; padding: .8rem .4rem }
  .classes .fill, .classes .range { display: none }
  .classes :is(th, td) { padding-right: .55rem } .classes th { white-space: normal } .classes th[scope=row] {
  min-width: 4rem } .bars td.fill { width: 45% } }
"""


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
    said = f"always answering <b>{name}</b>: {percent(base)}"
    return scale(content.accuracy, content.interval, base, label, said)


def scale(value: float, interval: tuple[float, float] | None, base: float, label: str, said: str) -> str:
    """A share on a scale from 0 to 100 %, its interval, and the share to beat, `said` beside it; HTML all."""
    band = key = ""
    if interval:
        low, high = interval
        band = f'<i class="band" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
        key = '<span><i class="band"></i>95&nbsp;% interval (Wilson)</span>'
    return (
        f'<figure class="scale"><div class="track" role="img" aria-label="{label}">{band}'
        f'<i class="base" style="left:{100 * base:.2f}%"></i>'
        f'<i class="dot" style="left:{100 * value:.2f}%"></i></div>'
        '<div class="ends" aria-hidden="true"><span>0</span><span>25</span><span>50</span><span>75</span>'
        "<span>100&nbsp;%</span></div>"
        f'<figcaption class="key"><span><i class="dot"></i>this run</span>{key}'
        f'<span><i class="base"></i>{said}</span></figcaption></figure>'
    )


def two_bars(own: tuple[str, float], other: tuple[str, float], say: Callable[[float], str]) -> str:
    """A figure beside the one to beat, as bars; the names are HTML already."""
    longest = max(own[1], other[1]) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td class="fill">{meter(value / longest)}</td>'
        f'<td class="num">{say(value)}</td></tr>'
        for name, value in (own, other)
    )
    return f'<figure class="scale"><table class="bars"><tbody>{rows}</tbody></table></figure>'


def shown_classes(content: RunReport) -> list[int]:
    """Places of the classes that the confusion matrix shows: all, or of many the most confused ones."""
    some = len(content.classes) > FEW_CLASSES
    return list(content.confusable_classes(FEW_CLASSES) if some else range(len(content.classes)))


def confusion_table(content: RunReport, opened: Collection[Pair] = ()) -> str:
    """The confusion matrix as a table, shaded by share of its row; of many classes, the most confused ones.

    The cells of the pairs in `opened` lead to their pictures.
    """
    matrix = content.confusion
    some = len(content.classes) > FEW_CLASSES
    shown = shown_classes(content)
    density = " dense" if len(shown) > 6 else " roomy" if len(shown) <= 3 else ""
    names = [content.classes[index] for index in shown]
    head = "".join(f'<th scope="col" title="{text(name)}"><span>{_short(name)}</span></th>' for name in names)
    if some:
        head += '<th scope="col"><span>all other classes</span></th>'
    rows = []
    for index, name in zip(shown, names, strict=True):
        total = int(matrix[index].sum())
        cells = [
            _cell(
                int(matrix[index, column]),
                total,
                index == column,
                (index, column) if (index, column) in opened else None,
            )
            for column in shown
        ]
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


def pair_anchor(pair: Pair) -> str:
    """The place in the page that shows the images of a pair."""
    return f"pair-{pair[0]}-{pair[1]}"


def _short(name: str) -> str:
    """A name for a narrow cell."""
    return text(clipped(name, 24))


def _cell(count: int, total: int, hit: bool, leads: Pair | None = None) -> str:
    if not count:
        return '<td class="nil">0</td>'
    said = number(count)
    if leads:
        said = f'<a href="#{pair_anchor(leads)}">{said}</a>'
    return f'<td class="{"hit" if hit else "miss"}" style="--s:{count / total:.2f}">{said}</td>'


def confused_pairs(pairs: Iterable[Confusion], opened: Collection[Pair] = ()) -> str:
    """The most frequent confusions as a list, in words; those in `opened` lead to their pictures."""
    rows = []
    for pair in pairs:
        place = (pair.row, pair.column)
        link = f'<a href="#{pair_anchor(place)}">images</a>' if place in opened else ""
        rows.append(
            f"<li><b>{text(pair.truth)}</b> taken for <b>{text(pair.predicted)}</b>"
            f"<span>{number(pair.count)} of {number(pair.of)}, {percent(pair.count / pair.of)}{link}</span></li>"
        )
    return f'<ol class="pairs">{"".join(rows)}</ol>' if rows else ""


def class_rows(scores: Iterable[ClassScore]) -> Iterable[str]:
    """Recall, with its interval drawn over its bar, and precision of each class: rows for `class_table`."""
    for score in scores:
        low, high = score.interval
        span = f"{percent(low)} to {percent(high)}" if score.count else ""
        yield (
            f'<tr><th scope="row">{text(score.name)}</th><td class="num">{number(score.correct)} of '
            f'{number(score.count)}</td><td class="num">{percent(score.recall)}</td><td class="fill">'
            f"{meter(score.recall, score.interval if score.count else None)}</td>"
            f'<td class="num quiet range">{span}</td><td class="num">{percent(score.precision)}</td></tr>'
        )


def class_table(rows: Sequence[str]) -> str:
    """The rows of `class_rows` under their heads."""
    return (
        '<div class="wide"><table class="classes"><thead><tr><th scope="col">Class</th>'
        '<th scope="col" class="num">Recognised</th><th scope="col" class="num">Recall</th><td class="fill"></td>'
        '<th scope="col" class="num range">Plausible range</th><th scope="col" class="num">Precision</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def label_rows(scores: Iterable[LabelScore]) -> Iterable[str]:
    """Average precision of each label, and what its threshold gives: rows for `label_table`."""
    for score in scores:
        yield (
            f'<tr><th scope="row">{text(score.name)}</th><td class="num">{number(score.positives)}</td>'
            f'<td class="num">{percent(score.average_precision)}</td>'
            f'<td class="fill">{meter(score.average_precision)}</td>'
            f'<td class="num">{quantity(score.threshold, 2)}</td><td class="num">{percent(score.precision)}</td>'
            f'<td class="num">{percent(score.recall)}</td><td class="num">{percent(score.f1)}</td></tr>'
        )


def label_table(rows: Sequence[str]) -> str:
    """The rows of `label_rows` under their heads."""
    heads = ("Images", "Average precision", "", "Threshold", "Precision", "Recall", "F1")
    cells = "".join(f'<th scope="col" class="num">{head}</th>' if head else '<td class="fill"></td>' for head in heads)
    return (
        f'<div class="wide"><table class="classes"><thead><tr><th scope="col">Label</th>{cells}</tr></thead>'
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


def timing_bars(timings: Sequence[tuple[str, float]]) -> str:
    """Seconds by stage as horizontal bars, the longest filling its row."""
    longest = max((duration for _, duration in timings), default=0.0) or 1.0
    rows = "".join(
        f'<tr><th scope="row">{text(stage)}</th><td class="fill">{meter(duration / longest)}</td>'
        f'<td class="num">{seconds(duration)}</td></tr>'
        for stage, duration in timings
    )
    return f'<table class="bars"><tbody>{rows}</tbody></table>'
