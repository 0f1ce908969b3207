"""A page on which a person grades captions by keyboard: one file, nothing is sent; the grades are saved as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from striate.report import frame
from striate.report.thumbnails import data_uri
from striate.report.wording import text

GRADES = ("no errors", "minor errors", "somewhat related")
COLUMNS = ("image", "caption", "grade")
MOST = 300  # images of one page, of about 20 kB each
SIDE = 360  # pixels, of the longer side of an image

STYLE = """
.graded figure { margin: 0; display: grid; grid-template-columns: minmax(0, 22rem) 1fr; gap: 1.6rem }
.graded img { width: 100%; border-radius: 9px } .graded figure[hidden] { display: none }
.graded figcaption { font-size: 1.3rem; line-height: 1.35 }
.graded small { display: block; color: var(--muted); font: .78rem var(--mono); margin-top: .6rem }
.choices { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0 .8rem }
.choices button { font: inherit; color: inherit; background: var(--well); border: 1px solid var(--line);
  border-radius: 9px; padding: .45rem .9rem; cursor: pointer }
.choices button[aria-pressed="true"] { border-color: rgb(var(--good)); box-shadow: inset 0 0 0 1px rgb(var(--good)) }
kbd { font-family: var(--mono); opacity: .7; margin-right: .4rem }
@media (max-width: 46rem) { .graded figure { grid-template-columns: minmax(0, 1fr) } }
"""

SCRIPT = r"""
(() => {
  "use strict";
  const all = (query) => [...document.querySelectorAll(query)];
  const figures = all("figure[data-image]"), buttons = all(".choices [data-grade]");
  const told = document.getElementById("told"), save = document.getElementById("save");
  let at = 0;
  const show = () => {
    figures.forEach((figure, place) => { figure.hidden = place !== at; });
    const mine = figures[at].dataset.grade;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.grade === mine));
    const done = figures.filter((figure) => figure.dataset.grade).length;
    told.textContent = "Image " + (at + 1) + " of " + figures.length + "; " + done + " graded";
  };
  const go = (place) => { at = Math.min(figures.length - 1, Math.max(0, place)); show(); };
  const grade = (name) => { figures[at].dataset.grade = name; go(at + 1); };
  const cell = (value) => {  // RFC 4180; and no spreadsheet takes it for a formula
    const safe = /^(?:\.\/)*[=+\-@\t\r]/.test(value) ? "./" + value : value;
    return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };
  const write = () => {
    const rows = figures.map((figure) => [decodeURIComponent(figure.dataset.image),
      decodeURIComponent(figure.dataset.caption), figure.dataset.grade ?? ""]);
    const table = [["image", "caption", "grade"], ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table], { type: "text/csv" }));
    link.download = "grades.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  for (const button of buttons) button.addEventListener("click", () => grade(button.dataset.grade));
  document.getElementById("back").addEventListener("click", () => go(at - 1));
  document.getElementById("on").addEventListener("click", () => go(at + 1));
  save.addEventListener("click", write);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = buttons[Number(event.key) - 1];
    if (button) grade(button.dataset.grade);
    else if (event.key === "ArrowLeft" || event.key === "Backspace") go(at - 1);
    else if (event.key === "ArrowRight") go(at + 1);
    else if (event.key === "s") write();
    else return;
    event.preventDefault();
  });
  show();
})();
"""


class Captioned(NamedTuple):
    """An image [H, W, 3] or [H, W], its path, and the caption to grade."""

    image: NDArray[np.uint8]
    path: str
    caption: str


def grading_page(images: Sequence[Captioned], title: str) -> str:
    """The page as one string of HTML: it loads nothing, and only its own script runs."""
    figures = "".join(
        f'<figure data-image="{quote(one.path, safe="")}" data-caption="{quote(one.caption, safe="")}" hidden>'
        f'<img src="{data_uri(one.image, SIDE)}" alt="">'
        f"<figcaption>{text(one.caption) or '(no words)'}<small>{text(one.path)}</small></figcaption></figure>"
        for one in images
    )
    buttons = "".join(
        f'<button data-grade="{name}" aria-pressed="false"><kbd>{number}</kbd>{name}</button>'
        for number, name in enumerate(GRADES, 1)
    )
    moves = '<button id="back"><kbd>\u2190</kbd>back</button><button id="on"><kbd>\u2192</kbd>on</button>'
    body = (
        f'<main><section class="graded">{figures}<div class="choices">{buttons}{moves}'
        '<button id="save"><kbd>s</kbd>save grades.csv</button></div><p class="quiet" id="told"></p></section></main>'
    )
    lead = "How well does each caption describe its image? Grade by the keys 1, 2 and 3; save at the end."
    return frame.document(text(title), lead, body, STYLE, SCRIPT)
