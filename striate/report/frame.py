"""What every page has around it: the head with its style, the title, the sections; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

CSS = """
:root { --mono: ui-monospace, "SF Mono", Menlo, Consolas, monospace; color-scheme: light dark;
  --page: #f6f6f2; --card: #fff; --well: #ecece6; --line: #e0e0d8; --ink: #1c2126;
  --muted: #5d6570; --good: 21 113 122; --bad: 190 80 38; --link: #12626a;
  --t0: #15717a; --t1: #be5026; --t2: #6a51a3; --t3: #7a7a1c; --t4: #b03a6f; --t5: #4a6fa5 }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #191d23; --well: #272d35; --line: #2c333c;
  --ink: #e7eaee; --muted: #9aa4b0; --good: 92 184 190; --bad: 232 134 88; --link: #86d0d5;
  --t0: #5cb8be; --t1: #e88658; --t2: #b39ddb; --t3: #c9c860; --t4: #e788b4; --t5: #8fb3e6 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", "Noto Sans", sans-serif; overflow-wrap: anywhere }
.sheet { max-width: 70rem; margin: 0 auto; padding: 2.2rem 1.5rem 4rem }
header { display: flex; gap: 1rem; align-items: center; margin-bottom: 1.1rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0 0 1.3rem; font-size: .88rem }
nav a { text-decoration: none } nav a:hover { text-decoration: underline }
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
.big.words { font-size: 2.7rem; letter-spacing: -.02em; line-height: 1.08 }
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
thead th { color: var(--muted); font-size: .8rem }
tbody tr:last-child > * { border-bottom: 0 } .num { text-align: right; white-space: nowrap }
th:last-child, td:last-child { padding-right: 0 }
.wide { overflow-x: auto }
.split { display: grid; grid-template-columns: auto minmax(16rem, 1fr); gap: 0 3rem } .split > * { min-width: 0 }
.split.dense { grid-template-columns: minmax(0, 1fr) }
.split h3 { margin-top: 0 } .split.dense h3 { margin-top: 1.6rem }
.finding { border-top: 1px solid var(--line); padding: .8rem 0 }
.finding > b { display: inline-block } .finding > b::first-letter { text-transform: uppercase }
.finding p { margin: .15rem 0 0; color: var(--muted) }
.finding:first-of-type { border-top: 0; padding-top: 0 } .tag { font-size: .78rem; padding: .12rem .55rem;
  border-radius: 99px; background: var(--well); margin-left: .5rem; white-space: nowrap }
.tag.bad { background: rgb(var(--bad) / .2) } .tag.good { background: rgb(var(--good) / .2) }
details { border-top: 1px solid var(--line); padding: .7rem 0 } details:last-child { padding-bottom: 0 }
.finding details { border: 0; padding: .3rem 0 0 } summary { cursor: pointer; color: var(--link) }
details ul { margin: .5rem 0 0; padding-left: 1.1rem }
pre { background: var(--well); border-radius: 9px; margin: .6rem 0; padding: .9rem 1rem;
  overflow-x: auto; font: .82rem/1.5 var(--mono) }
code { font-family: var(--mono); font-size: .8rem }
footer { color: var(--muted); font-size: .82rem; padding: .6rem .2rem }
@media (max-width: 46rem) { .sheet { padding: 1.1rem .8rem 2.5rem } section { padding: 1.15rem 1.05rem }
  .hero, .split { grid-template-columns: minmax(0, 1fr); gap: 1.4rem 0 } .big { font-size: 3.4rem }
  .big.words { font-size: 2.1rem }
  .next { border-left: 0; border-top: 1px solid var(--line); padding: 1.2rem 0 0 } dl .more { grid-column: auto } }
@media print { :root { --page: #fff } section { break-inside: avoid } nav { display: none } }
"""

FOOT = "Made by Striate. This page is one file: it loads nothing and sends nothing."


def document(title: str, lead: str, body: str, style: str, script: str = "") -> str:
    """A whole page. All arguments are HTML, CSS and JavaScript already; only this very script may run in the page."""
    allowed = f"; script-src '{_digest(script)}'" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<title>{title}</title><style>{CSS}{style}</style></head><body><div class="sheet">'
        f'<header><span class="mark" aria-hidden="true"></span><div><h1>{title}</h1><p>{lead}</p></div></header>'
        f"{body}<footer>{FOOT}</footer></div>{script and f'<script>{script}</script>'}</body></html>\n"
    )


def _digest(script: str) -> str:
    """How a content security policy names a script: by the hash of its text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """A card with a heading that can be linked to; all HTML already."""
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{anchor}"><h2>{title}</h2>{said}{body}</section>\n'


def quiet(said: str) -> str:
    """A line for a section that has nothing to show."""
    return f'<p class="quiet">{said}</p>'


def contents(entries: Sequence[tuple[str, str]]) -> str:
    """Links to the sections of a page: anchor and words."""
    links = "".join(f'<a href="#{anchor}">{words}</a>' for anchor, words in entries)
    return f'<nav aria-label="On this page">{links}</nav>'


def next_steps(title: str, steps: Sequence[tuple[str, str, str]]) -> str:
    """The right half of a first screen: anchor, advice and reason of each step."""
    items = "".join(f'<li><a href="#{anchor}">{say}</a>{why}</li>' for anchor, say, why in steps)
    return f'<div class="next"><h2>{title}</h2><ol>{items}</ol></div>'
