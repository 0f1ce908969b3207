"""The pages themselves: one file each, one script, nothing loaded, readable without the script, alive with it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import striate
from striate.errors import RequestError
from striate.jobs.lesson import LESSONS, lesson_page
from striate.lessons.convolution import convolved
from striate.lessons.dropout import thinned
from striate.lessons.normalisation import statistics
from striate.lessons.optimizers import RULES, SURFACES, losses, path
from striate.lessons.pages import dropout
from striate.lessons.pages.convolution import IMAGE, KERNELS
from striate.lessons.pages.normalisation import example
from striate.lessons.pages.optimizers import NORMALISED, short
from striate.lessons.pages.parts import amount, said
from striate.lessons.paths import output as output_of
from striate.lessons.scaling import counts

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Of each page: words that it shows, with and without its script.
SHOWN = {
    "convolution": ["= 6", "2.75", "25 → 18", "28 %", "121 → 36", "9 × 9", "28 × 28 × 6", "times as many"],
    "optimizers": ["Nesterov momentum", "0.717", "4.255"],
    "scaling": ["1.920", "66.35 M", "600 (596)", "16 350 296".replace(" ", "\u202f")],
    "fields": ["sees 116 × 116 pixels", "rows 58 to 173"],
    "normalisation": ["1 × C × 1 × 1", "N × G × 1 × 1", "12 entries: μ = 12.75"],
    "dropout": ["2 of 4 units: one of 16 networks, with probability 0.0625 and output 3.6", "the whole network: 2.1"],
    "paths": ["0.4537 %", "= 1.56, the output", "y3 = y0 + f1(y0) + f2(y0 + f1(y0))"],
}


class Parts(HTMLParser):
    """The elements of a page, and its words without those of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words, self._silent = "", 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.words += "" if self._silent else data


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: lesson_page(name) for name in LESSONS}


@pytest.mark.parametrize("name", LESSONS)
def test_a_page_is_one_file_that_loads_nothing_and_reads_without_its_script(name: str, pages: dict[str, str]) -> None:
    page = pages[name]
    assert len(page.encode()) < 150_000
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\bsrc=|@import|url\(|\bon\w+=\"", page)
    parts = Parts(page)
    assert all(words in parts.words for words in SHOWN[name]), [w for w in SHOWN[name] if w not in parts.words]
    tags = [tag for tag, _ in parts.found]
    assert "svg" in tags  # a drawing without any script
    assert "Scripts are off" in parts.words


@pytest.mark.parametrize("name", LESSONS)
def test_every_control_is_native_has_a_label_and_is_known_to_the_script(name: str, pages: dict[str, str]) -> None:
    parts = Parts(pages[name])
    ids = [attributes["id"] for _, attributes in parts.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = re.findall(r'(?:byId|number|ticked|say|sayValue)\("([\w-]+)"', pages[name])
    assert asked and set(asked) - {"data"} <= set(ids)
    controls = [(tag, each) for tag, each in parts.found if tag in ("input", "select", "button")]
    assert len(controls) >= 3
    assert not [each for _, each in parts.found if "tabindex" in each]  # in the order of the page, by keyboard
    for _, attributes in parts.found:
        if "role" in attributes and attributes["role"] == "img":
            assert attributes.get("aria-label")
    labels = re.findall(r"<label.*?</label>", pages[name])
    for tag, attributes in controls:
        assert tag == "button" or any(f'id="{attributes["id"]}"' in label for label in labels)


# Opens the pages, 360 pixels wide, in frames of one document, tries each, and writes what is in them.
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>
const pages = PAGES, tries = TRIES, found = {};
const given = (page) => ({
  set: (name, value) => {
    const control = page.getElementById(name);
    if (control.type === "checkbox") control.checked = value; else control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  },
  text: (name) => page.getElementById(name).textContent,
  board: (name) => [...page.getElementById(name).rows].map((row) => [...row.cells].map((cell) => cell.textContent)),
});
for (const [name, source] of Object.entries(pages)) {
  const frame = document.createElement("iframe");
  frame.width = 360;
  frame.height = 800;
  frame.srcdoc = source;
  frame.onload = () => {
    const page = frame.contentDocument, before = page.querySelector("main").textContent;
    const { set, text, board } = given(page);
    found[name] = { before, hidden: page.querySelectorAll(".live[hidden]").length,
      live: page.querySelectorAll(".live").length, wide: page.documentElement.scrollWidth,
      tried: eval(tries[name])({ set, text, board, page }) };
    document.getElementById("found").textContent = JSON.stringify(found);
  };
  document.body.append(frame);
}
</script>"""
TRIES = {
    "convolution": "(p) => { p.set('mode', 'circular'); p.set('stride', '2'); p.set('preset', 'sharpen'); "
    "return p.board('output'); }",
    "optimizers": "(p) => { p.set('surface', 'beale'); p.set('steps', '40'); return p.board('losses'); }",
    "scaling": "(p) => { p.set('phi', '1'); return p.text('counted'); }",
    "fields": "(p) => { p.set('net', 'alexnet'); return p.text('words'); }",
    "normalisation": "(p) => { p.set('image', '1'); p.set('channel', '0'); return p.text('group-said'); }",
    "dropout": "(p) => { p.set('p', '0.2'); p.set('out1', true); p.set('out4', false); return p.text('one'); }",
    "paths": "(p) => { p.set('gone2', true); return p.text('total'); }",
}


@pytest.fixture(scope="module")
def opened(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium finds in each page."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: the pages are not opened")
    folder = tmp_path_factory.mktemp("opened")
    texts = (json.dumps(value).replace("<", "\\u003c") for value in (pages, TRIES))
    place = folder / "harness.html"
    place.write_text(HARNESS.replace("PAGES", next(texts), 1).replace("TRIES", next(texts), 1), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--dump-dom", place.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(
        html.unescape(re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)[0])
    )
    return found


@pytest.mark.parametrize("name", LESSONS)
def test_in_a_browser_the_script_shows_what_python_drew_on_a_narrow_screen(name: str, opened: dict[str, Any]) -> None:
    page = opened[name]
    assert all(words in page["before"] for words in SHOWN[name]), [w for w in SHOWN[name] if w not in page["before"]]
    assert page["live"] and not page["hidden"]  # the script has shown the controls
    assert page["wide"] <= 360


def test_in_a_browser_the_controls_change_what_is_shown(opened: dict[str, Any]) -> None:
    tried = {name: page["tried"] for name, page in opened.items()}
    kernel = KERNELS["sharpen"]
    output = convolved(IMAGE, kernel, stride=2, padding=1, mode="circular")
    assert tried["convolution"] == [[said(value) for value in row] for row in output.tolist()]
    rates = SURFACES["beale"].rates
    for row, rule in zip(tried["optimizers"][1:], RULES, strict=True):
        form = path(rule, "beale", [rates[rule in NORMALISED]] * 40)
        assert row[1] == short(losses("beale", form)[-1])
    assert f"{amount(counts(1.1, 1.2, 258).madds)} multiply-adds" in tried["scaling"]
    assert "sees 195 × 195 pixels" in tried["fields"]
    found = statistics("group", example(), 1, 0)
    assert tried["normalisation"] == f"12 entries: μ = {said(found.mean)}, σ = {said(found.deviation)}"
    (one,) = (one for one in thinned(dropout.UNITS, dropout.WEIGHTS, 0.2) if one.kept == (3, 4))
    assert tried["dropout"] == dropout.words(one)
    assert f"4 remaining paths: 1 + 0.5 + 0.3 + 0.15 = {said(output_of(1, (0.5, 0, 0.3)))}" in tried["paths"]


def test_the_command_writes_a_page(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("lesson", "convolution")
    assert code == 0 and out.startswith("Page convolution.html (")
    code, out, _ = cli("lesson", "paths", "--out", "some.html", "--json")
    assert code == 0 and json.loads(out) == {"page": "some.html", "bytes": Path("some.html").stat().st_size}
    assert Path("some.html").read_text("utf-8").startswith("<!doctype html>")
    code, _, err = cli("lesson", "convolutions")
    assert code == 2 and "did you mean 'convolution'?" in err
    code, _, err = cli("lesson", "paths", "--out", ".")
    assert code == 2 and err.count("\n") == 1
    with pytest.raises(RequestError, match="unknown lesson 'path'; did you mean 'paths'"):
        striate.lesson("path")  # type: ignore[arg-type]


def test_lesions_are_drawn_if_given(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    Path("lesions.csv").write_text("block,accuracy\nnone,0.94\nstage1.0,0.925\nstage<2>.0,0.76\n")
    code, _, _ = cli("lesson", "paths", "--out", "paths.html", "--lesions", "lesions.csv")
    page = Path("paths.html").read_text("utf-8")
    assert code == 0 and page.count('class="lesion"') == 2
    assert "stage&lt;2&gt;.0" in page and "18 points" in page and "1.5 points" in page
    assert 'class="lesion"' not in lesson_page("paths")
    wrong = {
        "block,score\na,1\n": "the columns block and accuracy",
        "block,accuracy\nnone,high\n": "line 2 of 'wrong.csv': 'high' is no accuracy",
        "block,accuracy\na,0.5\n": "as 'none'",
        "block,accuracy\nnone,0.9\na,90\n": "the accuracy without 'a' must be 0 to 1, not 90",
    }
    for text, message in wrong.items():
        Path("wrong.csv").write_text(text)
        code, _, err = cli("lesson", "paths", "--lesions", "wrong.csv")
        assert code == 2 and message in err and err.count("\n") == 1
    code, _, err = cli("lesson", "fields", "--lesions", "lesions.csv")
    assert code == 2 and "drawn by the lesson 'paths'" in err
