"""Several runs side by side, as one HTML page without any script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from striate.report import charts, figures, frame, plot
from striate.report.compare.comparing import ABSENT, Comparison
from striate.report.compare.summary import RunSummary
from striate.report.curves import curves_together
from striate.report.frame import quiet, section
from striate.report.wording import fitting, percent, text
from striate.sections import Dot, Intervals
from striate.sections.charts import Tone
from striate.sections.wording import clipped, counted, formatted, number, quantity, seconds

TONES: tuple[Tone, ...] = ("t0", "t1", "t2", "t3", "t4", "t5")  # lines that can be distinguished in one chart
CLASS_ROWS = 300
RUNS = 40  # columns of one page

CSS = """
.beside th[scope=row] { color: var(--muted); font-weight: 400; vertical-align: top; min-width: 8rem;
  position: sticky; left: 0; background: var(--card) }
.beside td, .beside thead th { min-width: 7.5rem; vertical-align: top }
.beside thead th { color: var(--ink); font-size: .95rem } .beside small { color: var(--muted); display: block }
.beside .score { font-size: 1.35rem; font-weight: 650 } .beside .meter { margin-top: .3rem }
.beside .tag { margin-left: 0; display: inline-block; font-weight: 500 }
.beside .swatch { display: inline-block; width: .75rem; height: .75rem; border-radius: 3px; margin-right: .4rem }
.swatch.t0 { background: var(--t0) } .swatch.t1 { background: var(--t1) } .swatch.t2 { background: var(--t2) }
.swatch.t3 { background: var(--t3) } .swatch.t4 { background: var(--t4) } .swatch.t5 { background: var(--t5) }
.warning { border: 2px solid rgb(var(--bad)); border-radius: 14px; background: rgb(var(--bad) / .12);
  padding: 1rem 1.3rem; margin: 0 0 1.1rem; font-weight: 600; font-size: 1.08rem }
.said { font-size: 1.1rem; max-width: 40rem }
"""

STYLE = figures.CSS + plot.CSS + CSS


def render_comparison(runs: Sequence[RunSummary]) -> str:
    """The whole page as one string of HTML. Raises RequestError for fewer than two runs.

    The best score is marked only where it can be said: on the same images, and with intervals that do not overlap.
    Of more than RUNS runs the first ones are shown, and the page says so.
    """
    found = Comparison(tuple(runs)[:RUNS])
    left = quiet(f"{counted(len(runs) - RUNS, 'further run')} not shown.") if len(runs) > RUNS else ""
    lead = text(", ".join(dict.fromkeys(run.data for run in found.runs)))
    body = f"<main>{comparison_sections(found)}{left}</main>"
    return frame.document(f"{number(len(found.runs))} runs side by side", lead, body, STYLE)


def comparison_sections(found: Comparison) -> str:
    """The sections of the page as HTML, for a page that has STYLE."""
    parts = (_scores(found), _table(found), _curves(found), _recipes(found), _recalls(found))
    warnings = "".join(f'<p class="warning" role="alert">{text(said)}</p>' for said in found.warnings())
    return f"{warnings}{_hero(found)}{''.join(parts)}"


def _figure(run: RunSummary, value: float) -> str:
    """A score of a run as HTML."""
    return text(formatted(value, run.score_form))


def _hero(found: Comparison) -> str:
    steps: list[tuple[str, str, str]] = []
    if found.best is None:
        said = "The scores below cannot be compared, so no run is best."
        steps.append(("table", "Evaluate them on the same images", "Train or evaluate all of them on one split."))
    else:
        best = found.runs[found.best]
        score = _figure(best, found.scores[found.best])
        said = f"The best {text(best.score_name)} is <b>{score}</b>, of <b>{text(best.name)}</b>"
        if found.on_common:
            said += f", on the {number(found.on_common.images)} images that all evaluated"
        if found.close:
            others = ", ".join(f"<b>{text(found.runs[place].name)}</b>" for place in found.close[:4])
            more = f" and {number(len(found.close) - 4)} more" if len(found.close) > 4 else ""
            reason = "it does not differ beyond chance from" if found.on_common else "its interval overlaps that of"
            said += f"; but {reason} {others}{more}" + ("" if found.on_common else ", so the difference may be chance")
            steps.append(("scores", "Hold out more images, or use folds", "Narrower intervals would distinguish them."))
        said += "."
    if found.differing:
        keys = ", ".join(text(key) for key in list(found.differing)[:3])
        steps.append(("recipes", f"{counted(len(found.differing), 'setting')} differ", f"{keys}"))
    if len(found.recalls) > 1 and len(set(found.recalls[0][1])) > 1:
        name = text(found.recalls[0][0])
        steps.append(("recalls", f"Most different class: {name}", "See where each run is weak."))
    steps.append(("table", "Time and size", "Of equally good models the smaller one is better."))
    beside = frame.next_steps("What to look at next", steps[:3])
    return (
        f'<section class="hero" id="result"><div><h2>Best run</h2>'
        f'<div class="big words">{text(clipped(found.verdict(), 80))}</div><p class="said">{said}</p></div>'
        f"{beside}</section>\n"
    )


def _scores(found: Comparison) -> str:
    if not found.same_score:
        return ""
    dots = [
        Dot(run.name, run.score, run.interval, tone=TONES[place % len(TONES)]) for place, run in enumerate(found.runs)
    ]
    drawn = charts.intervals(Intervals("", tuple(dots), found.runs[0].score_form))
    name = found.runs[0].score_name
    lead = f"{text(name[:1].upper() + name[1:])} of each run with its 95&nbsp;% interval."
    return section("scores", "Scores", lead, f'<div class="charts">{drawn}</div>') if drawn else ""


def _heads(found: Comparison) -> str:
    cells = "".join(
        f'<th scope="col"><span class="swatch t{place % len(TONES)}"></span>{text(run.name)}</th>'
        for place, run in enumerate(found.runs)
    )
    return f"<thead><tr><td></td>{cells}</tr></thead>"


def _grid(found: Comparison, title: str, rows: Sequence[str]) -> str:
    """A table that scrolls sideways, by keys, too."""
    table = f'<table class="beside">{_heads(found)}<tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="wide" tabindex="0" role="region" aria-label="{title}: table">{table}</div>'


def _line(name: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(found: Comparison) -> str:
    """Everything that is one figure or a few words a run."""
    runs = found.runs
    rows = [
        _line("Score", [_score(found, place) for place in range(len(runs))]),
        *_common(found),
        _line("Evaluated on", [f"{number(run.images)} images" for run in runs]),
        *(_line(text(name), [_metric(value) for value in values]) for name, values in found.metrics.items()),
        _line("Time", _marked([run.seconds for run in runs], _seconds, "fastest")),
        _line("Model file", _marked([run.megabytes for run in runs], _megabytes, "smallest")),
        _line("Parameters", [number(run.parameters) if run.parameters is not None else "&ndash;" for run in runs]),
        _line("Network", [text(run.net) for run in runs]),
        _line("Strategy", [text(run.strategy) for run in runs]),
        _line("Data", [text(run.data) for run in runs]),
        _line("Held-out images", [f"<code>{text(clipped(run.held_out, 12)) or '&ndash;'}</code>" for run in runs]),
    ]
    return section("table", "Side by side", "", _grid(found, "Side by side", rows))


def _common(found: Comparison) -> list[str]:
    """The scores on the images that all evaluated, where the images differ."""
    if found.on_common is None:
        return []
    scores = [_figure(run, score) for run, score in zip(found.runs, found.scores, strict=True)]
    return [_line(f"Score on the {number(found.on_common.images)} common images", scores)]


def _score(found: Comparison, place: int) -> str:
    run = found.runs[place]
    span = ""
    if run.interval:
        span = f"<small>{_figure(run, run.interval[0])} to {_figure(run, run.interval[1])}</small>"
    tag = ""
    if place == found.best:
        tag = (
            f'<span class="tag">{"highest" if run.higher_is_better else "lowest"}, too close to call</span>'
            if found.close
            else '<span class="tag good">best</span>'
        )
    elif place in found.close:
        tag = '<span class="tag">too close to call</span>'
    return f'<span class="score">{_figure(run, run.score)}</span>{span}{tag}'


def _metric(value: float | None) -> str:
    return text(quantity(value))


def _seconds(value: float) -> str:
    return text(seconds(value))


def _megabytes(value: float) -> str:
    return f"{text(quantity(value))}&nbsp;MB"


def _marked(values: Sequence[float | None], say: Callable[[float], str], word: str) -> list[str]:
    """The values, the one smallest marked with a word."""
    known = [value for value in values if value is not None]
    least = min(known, default=None)
    alone = known.count(least) == 1 and len(known) > 1 if least is not None else False
    return [
        "&ndash;" if value is None else say(value) + (f"<small>{word}</small>" if alone and value == least else "")
        for value in values
    ]


def _curves(found: Comparison) -> str:
    """Every curve that a run recorded, the runs over each other."""
    shown = found.runs[: len(TONES)]
    panels = "".join(map(charts.lines, curves_together([run.curve for run in shown], TONES[: len(shown)])))
    if not panels:
        return ""
    named = "".join(f'<span><i class="t{place}"></i>{text(run.name)}</span>' for place, run in enumerate(shown))
    left = quiet(f"The first {len(TONES)} runs are drawn.") if len(found.runs) > len(TONES) else ""
    return section("curves", "Training", "", f'<div class="charts">{panels}</div><div class="key">{named}</div>{left}')


def _recipes(found: Comparison) -> str:
    unread = [run.name for run, recipe in zip(found.runs, found.recipes, strict=True) if not recipe]
    said = quiet(f"No readable recipe: {text(', '.join(unread))}.") if unread else ""
    if not found.differing:
        same = quiet("The recipes are the same.") if len(unread) < len(found.runs) else ""
        return section("recipes", "Recipe differences", "", same + said)
    rows = fitting(
        (
            _line(f"<code>{text(key)}</code>", [text(value) if value != ABSENT else "&ndash;" for value in values])
            for key, values in found.differing.items()
        ),
        CLASS_ROWS,
    )
    left = len(found.differing) - len(rows)
    more = quiet(f"{counted(left, 'more setting')} not listed.") if left else ""
    lead = "Only the settings that differ."
    return section("recipes", "Recipe differences", lead, _grid(found, "Recipe differences", rows) + more + said)


def _recalls(found: Comparison) -> str:
    if not found.recalls:
        return ""
    rows = fitting(
        (
            _line(text(name), [percent(value) + figures.meter(value) for value in values])
            for name, values in found.recalls
        ),
        CLASS_ROWS,
        400_000,
    )
    left = len(found.recalls) - len(rows)
    more = quiet(f"{counted(left, 'more class', 'more classes')} that differ less are not listed.") if left else ""
    lead = "Recall: the share of a class's images that are predicted as it. The classes that differ most first."
    return section("recalls", "Per-class recall", lead, _grid(found, "Per-class recall", rows) + more)
