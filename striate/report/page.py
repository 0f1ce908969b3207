"""The report as one HTML page: no script, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from striate.report import figures, thumbnails
from striate.report.content import Finding, RunReport, Seen
from striate.report.figures import first_names, folded_list, images, number, percent, text
from striate.report.thumbnails import photo

CLASS_ROWS = 1000
SURE = 0.9

CSS = """
:root { --mono: ui-monospace, "SF Mono", Menlo, Consolas, monospace; color-scheme: light dark;
  --page: #f6f6f2; --card: #fff; --well: #ecece6; --line: #e0e0d8; --ink: #1c2126;
  --muted: #5d6570; --good: 21 113 122; --bad: 190 80 38; --link: #12626a }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #191d23; --well: #272d35; --line: #2c333c;
  --ink: #e7eaee; --muted: #9aa4b0; --good: 92 184 190; --bad: 232 134 88; --link: #86d0d5 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", "Noto Sans", sans-serif; overflow-wrap: anywhere }
.sheet { max-width: 70rem; margin: 0 auto; padding: 2.2rem 1.5rem 4rem }
header { display: flex; gap: 1rem; align-items: center; margin-bottom: 1.6rem }
.mark { flex: none; width: 44px; height: 44px; border-radius: 50%; border: 1px solid var(--line);
  background: repeating-linear-gradient(60deg, rgb(var(--good)) 0 4px, var(--card) 4px 8px) }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0; font-weight: 650; letter-spacing: -.01em }
h2 { font-size: 1.12rem; margin: 0 0 .25rem; font-weight: 650 }
h3 { font-size: .95rem; margin: 1.6rem 0 .5rem; font-weight: 650 }
p { margin: 0 0 .8rem } b { font-weight: 600; unicode-bidi: isolate } a { color: var(--link) }
header p, .lead, .quiet { color: var(--muted); margin-bottom: 0 } .lead { margin-bottom: 1.1rem; max-width: 46rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.5rem 1.6rem;
  margin-bottom: 1.1rem }
.hero { display: grid; grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr); gap: 2.6rem }
.big { font-size: 4.2rem; line-height: 1; font-weight: 680; letter-spacing: -.035em; margin: .3rem 0 .5rem;
  font-variant-numeric: tabular-nums }
.hero p { margin-bottom: .35rem }
.next { border-left: 1px solid var(--line); padding-left: 2.2rem }
.next ol { list-style: none; margin: .7rem 0 0; padding: 0 } .next li + li { margin-top: .85rem }
.next li a { font-weight: 600; display: block; text-decoration-thickness: 1px; text-underline-offset: 3px }
.next li { color: var(--muted); font-size: .92rem; line-height: 1.42 } .next li a { font-size: 1rem }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1.1rem 2rem; margin: 0 }
dt { color: var(--muted); font-size: .8rem } dd { margin: .1rem 0 0 } dd small { color: var(--muted); display: block;
  font-size: .88rem; line-height: 1.42 } dl .more { grid-column: span 2 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--muted); padding: 0 0 .7rem; caption-side: top }
th { font-weight: 500; text-align: left }
th, td { padding: .38rem .9rem .38rem 0; border-bottom: 1px solid var(--line) }
thead th { color: var(--muted); font-size: .8rem } .matrix thead th { color: inherit; font-size: inherit }
tbody tr:last-child > * { border-bottom: 0 } .num { text-align: right; white-space: nowrap }
.classes .fill { width: 34% } th:last-child, td:last-child { padding-right: 0 } .matrix td:last-child { padding: .3rem }
.wide { overflow-x: auto } .classes th[scope=row] { min-width: 6rem }
.pairs { margin: 0; padding: 0; list-style: none } .pairs li { display: flex; flex-wrap: wrap; gap: 0 .4em;
  padding: .38rem 0; border-bottom: 1px solid var(--line) } .pairs li:last-child { border: 0 }
.pairs span { margin-left: auto; color: var(--muted); font-variant-numeric: tabular-nums }
.split { display: grid; grid-template-columns: auto minmax(16rem, 1fr); gap: 0 3rem } .split > * { min-width: 0 }
.split.dense { grid-template-columns: minmax(0, 1fr) }
.split h3 { margin-top: 0 } .split.dense h3 { margin-top: 1.6rem }
.finding { border-top: 1px solid var(--line); padding: .8rem 0 }
.finding > b { display: inline-block } .finding > b::first-letter { text-transform: uppercase }
.finding p { margin: .15rem 0 0; color: var(--muted) }
.finding:first-of-type { border-top: 0; padding-top: 0 } .tag { font-size: .78rem; padding: .12rem .55rem;
  border-radius: 99px; background: var(--well); margin-left: .5rem; white-space: nowrap }
details { border-top: 1px solid var(--line); padding: .7rem 0 } details:last-child { padding-bottom: 0 }
.finding details { border: 0; padding: .3rem 0 0 } summary { cursor: pointer; color: var(--link) }
details ul { margin: .5rem 0 0; padding-left: 1.1rem }
pre { background: var(--well); border-radius: 9px; margin: .6rem 0; padding: .9rem 1rem;
  overflow-x: auto; font: .82rem/1.5 var(--mono) }
code { font-family: var(--mono); font-size: .8rem }
footer { color: var(--muted); font-size: .82rem; padding: .6rem .2rem }
@media (max-width: 46rem) { .sheet { padding: 1.1rem .8rem 2.5rem } section { padding: 1.15rem 1.05rem }
  .hero, .split { grid-template-columns: minmax(0, 1fr); gap: 1.4rem 0 } .big { font-size: 3.4rem }
  .next { border-left: 0; border-top: 1px solid var(--line); padding: 1.2rem 0 0 } dl .more { grid-column: auto }
  .classes .fill { display: none } }
@media print { :root { --page: #fff } section { break-inside: avoid } }
"""

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
"""


def render(content: RunReport) -> str:
    """The whole page as one string of HTML: pictures inside, nothing loaded from anywhere, no script.

    The text has no lone surrogates, so it can be written as UTF-8 whatever the file names were.
    """
    title = text(content.title)
    style = CSS + figures.CSS + thumbnails.CSS
    parts = (
        _hero(content),
        _facts(content),
        _mistakes(content),
        _confusion(content),
        _classes(content),
        _seen(content.seen),
        _data(content),
        _training(content),
        _fine_print(content),
    )
    return (
        f'{HEAD}<title>{title}</title><style>{style}</style></head><body><div class="sheet">'
        f'<header><span class="mark" aria-hidden="true"></span><div><h1>{title}</h1>'
        f"<p>{text(content.data)}</p></div></header><main>{''.join(parts)}</main>"
        "<footer>Made by Striate. This page is one file: it loads nothing and sends nothing.</footer>"
        "</div></body></html>\n"
    )


def _section(anchor: str, title: str, lead: str, body: str) -> str:
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{anchor}"><h2>{title}</h2>{said}{body}</section>\n'


def _hero(content: RunReport) -> str:
    """The first screen: how good, on what, and what to look at next."""
    if content.total:
        low, high = content.interval
        answer = (
            f'<div class="big">{percent(content.accuracy)}</div>'
            f"<p><b>{number(content.correct)} of {images(content.total)}</b> answered right, on the held-out part "
            f"<b>{text(content.held_out)}</b>, which was kept out of training.</p>"
            f'<p class="quiet">With this many images the true accuracy is plausibly between {percent(low)} and '
            f"{percent(high)} (Wilson 95&nbsp;% interval). Balanced over the classes: "
            f"{percent(content.balanced_accuracy)}.</p>"
        )
    else:
        answer = '<div class="big">Not measured</div><p>No images were held out, so nobody knows how good this is.</p>'
    steps = "".join(f'<li><a href="#{anchor}">{say}</a>{why}</li>' for anchor, say, why in _next_steps(content)[:4])
    return (
        f'<section class="hero" id="result"><div><h2>Accuracy</h2>{answer}{figures.accuracy_bar(content)}</div>'
        f'<div class="next"><h2>What to look at next</h2><ol>{steps}</ol></div></section>\n'
    )


def _next_steps(content: RunReport) -> list[tuple[str, str, str]]:
    """Anchor, advice and reason, the most useful first; never empty."""
    steps: list[tuple[str, str, str]] = []
    commonest, pairs = content.commonest, content.most_confused(1)
    if commonest is None:
        steps.append(("facts", "Hold some images out", "An accuracy needs images the network was not trained on."))
    elif content.interval[0] <= commonest.count / content.total and len(content.classes) > 1:
        why = f"Always answering <b>{text(commonest.name)}</b> would do about as well on these images."
        steps.append(("classes", "Not yet better than guessing", why))
    sure = sum(example.probability >= SURE for example in content.mistakes)
    if sure:
        say = f"Check the labels of {number(sure)} confident mistake{'s' if sure > 1 else ''}"
        steps.append(("mistakes", say, f"Wrong, yet at least {100 * SURE:.0f}&nbsp;% sure: often the label is wrong."))
    if pairs:
        pair = pairs[0]
        say = f"{text(pair.truth)} taken for {text(pair.predicted)}"
        steps.append(("confusion", say, f"The most common mix-up: {number(pair.count)} of {images(pair.of)}."))
    if content.total and content.interval[1] - content.interval[0] > 0.1:
        why = f"{images(content.total)} leave the accuracy uncertain by more than ten points."
        steps.append(("result", "Hold out more images before comparing", why))
    weakest = content.weakest_first[0] if content.total else None
    if weakest and weakest.recall is not None and weakest.recall < content.accuracy - 0.02:
        why = f"Only {percent(weakest.recall)} of its images were recognised. More photographs of it help most."
        steps.append(("classes", f"Weakest class: {text(weakest.name)}", why))
    if content.set_aside:
        say = f"{number(len(content.set_aside))} file{'s were' if len(content.set_aside) > 1 else ' was'} set aside"
        steps.append(("data", say, "See which and why, and whether it belongs in the training."))
    if content.total and not content.wrong:
        steps.append(
            ("seen", "Try harder photographs", "No mistakes here: another day, another camera, another place.")
        )
    return steps or [("seen", "What the network really sees", "Check that nothing important is cropped away.")]


def _facts(content: RunReport) -> str:
    parts = " &middot; ".join(f"{text(part)} {number(count)}" for part, count in content.images.items())
    rows = (
        ("", "Images", number(sum(content.images.values())), parts),
        ("", "Classes", number(len(content.classes)), first_names(content.classes)),
        ("", "Network", text(content.net), text(content.engine)),
        (' class="more"', "How it was trained", text(content.strategy), text(content.why)),
    )
    items = "".join(
        f"<div{span}><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for span, name, value, more in rows
    )
    return f'<section id="facts" aria-label="The run"><dl>{items}</dl></section>\n'


def _mistakes(content: RunReport) -> str:
    title = "The worst mistakes"
    if not content.total:
        return _section("mistakes", title, "", '<p class="quiet">No held-out images, so no mistakes to show.</p>')
    if not content.wrong:
        return _section("mistakes", title, "", '<p class="quiet">No mistakes on the held-out images.</p>')
    photos = []
    for example in content.mistakes:
        truth, predicted = text(example.truth), text(example.predicted)
        caption = f"<b>{truth}</b> taken for <b>{predicted}</b>, {percent(example.probability)} sure"
        photos.append(photo(example.image, f"{truth} taken for {predicted}", caption, text(example.path)))
    if not photos:
        said = f'<p class="quiet">{images(content.wrong)} answered wrongly; no pictures of them were kept.</p>'
        return _section("mistakes", title, "", said)
    shown = "All" if len(photos) == content.wrong else f"{number(len(photos))} of"
    lead = (
        f"{shown} {number(content.wrong)} held-out images answered wrongly, the most confident first. "
        "Look at each: is the label right, and could you tell?"
    )
    return _section("mistakes", title, lead, f'<div class="photos">{"".join(photos)}</div>')


def _confusion(content: RunReport) -> str:
    title = "What gets mixed up"
    if not content.total:
        return _section("confusion", title, "", '<p class="quiet">Nothing was measured.</p>')
    pairs = content.most_confused(10)
    listed = figures.confused_pairs(pairs) if pairs else '<p class="quiet">No two classes were mixed up.</p>'
    wide = " dense" if len(content.classes) > 12 else ""
    listed = f"<div><h3>Most often mixed up</h3>{listed}</div>"
    body = f'<div class="split{wide}">{figures.confusion_table(content)}{listed}</div>'
    return _section("confusion", title, "", body)


def _classes(content: RunReport) -> str:
    lead = (
        "Recall: of the images of a class, how many were recognised. Precision: of the images given its name, how many "
        "deserved it. Least recognised first."
    )
    scores = content.weakest_first
    if not content.total:
        return _section("classes", "Class by class", "", '<p class="quiet">Nothing was measured.</p>')
    body = figures.class_table(scores[: figures.FEW_CLASSES])
    if len(scores) > figures.FEW_CLASSES:
        rest = scores[figures.FEW_CLASSES : CLASS_ROWS]
        left = len(scores) - figures.FEW_CLASSES - len(rest)
        more = f'<p class="quiet">{number(left)} better recognised classes are not listed.</p>' if left else ""
        body += (
            f"<details><summary>{number(len(rest))} more classes</summary>{figures.class_table(rest)}{more}</details>"
        )
    return _section("classes", "Class by class", lead, body)


def _seen(seen: Sequence[Seen]) -> str:
    lead = (
        "These are your photographs after rotation, resizing and cropping, as the network receives them. "
        "If what matters is cut off or too small to make out, the network cannot see it either."
    )
    photos = "".join(
        photo(view.image, text(view.truth), f"<b>{text(view.truth)}</b>", text(view.path)) for view in seen
    )
    body = f'<div class="photos">{photos}</div>' if photos else '<p class="quiet">No pictures were kept of this.</p>'
    return _section("seen", "What the network really sees", lead if photos else "", body)


def _data(content: RunReport) -> str:
    body = "".join(_finding(finding) for finding in content.findings)
    lead = "Every file was opened before training. This is what was unusual, and what was done about it."
    if not body:
        lead, body = "", '<p class="quiet">The check before training found nothing unusual.</p>'
    if content.set_aside:
        rows = [f"<code>{text(path)}</code>: {text(reason)}" for path, reason in content.set_aside]
        body += folded_list(f"Files set aside ({number(len(rows))})", rows)
    else:
        body += '<p class="quiet">No files were set aside.</p>'
    return _section("data", "The photographs themselves", lead, body)


def _finding(finding: Finding) -> str:
    rows = [f"<code>{text(path)}</code>" for path in finding.examples]
    title = "For example"
    if len(rows) == finding.count:
        title = f"All {number(len(rows))} files" if len(rows) > 1 else "Which file"
    return (
        f'<div class="finding"><b>{text(finding.kind)}</b>: {number(finding.count)}'
        f'<span class="tag">{text(finding.action)}</span><p>{text(finding.explanation)}</p>'
        f"{folded_list(title, rows) if rows else ''}</div>"
    )


def _training(content: RunReport) -> str:
    curves = figures.learning_curves(content.curve)
    body = curves or '<p class="quiet">No epochs were recorded, so there is no learning curve.</p>'
    if content.timings:
        total = figures.seconds(math.fsum(duration for _, duration in content.timings))
        body += f"<h3>Where the time went: {total} in all</h3>{figures.timing_bars(content.timings)}"
    return _section("training", "The training", "", body)


def _fine_print(content: RunReport) -> str:
    body = "".join(f"<p>{text(note)}</p>" for note in content.notes)
    if content.recipe:
        body += f"<details><summary>Recipe</summary><pre>{text(content.recipe, lines=True)}</pre></details>"
    if content.versions:
        body += folded_list("Versions", [f"{text(name)} {text(version)}" for name, version in content.versions.items()])
    return _section("details", "Notes, recipe and versions", "", body or '<p class="quiet">None were recorded.</p>')
