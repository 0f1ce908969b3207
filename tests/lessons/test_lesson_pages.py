"""The pages themselves: one file each, one script, nothing loaded, readable without the script, alive with it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import striate
from striate.errors import RequestError
from striate.jobs.lesson import LESSONS, lesson_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Of each page: words that it shows, with and without its script.
SHOWN = {
    "convolution": ["= 6", "2.75", "25 → 18", "28 %", "121 → 36", "9 × 9", "28 × 28 × 6", "times as many"],
    "optimizers": ["Nesterov momentum", "0.717", "4.255"],
    "scaling": ["1.920", "66.35 M", "600 (596)", "16 350 296".replace(" ", "\u202f")],
    "fields": ["sees 116 × 116 pixels", "rows 58 to 173"],
    "normalisation": ["1 × C × 1 × 1", "N × G × 1 × 1", "12 entries: μ = 12.75"],
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
    assert "table" in tags and ("svg" in tags)
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


@pytest.mark.parametrize("name", LESSONS)
def test_in_a_browser_the_script_runs_and_shows_what_python_drew(
    name: str, pages: dict[str, str], tmp_path: Path
) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: the page is not opened")
    path = tmp_path / f"{name}.html"
    path.write_text(pages[name], "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=False)
    after = Parts(done.stdout)
    assert all(words in after.words for words in SHOWN[name]), [w for w in SHOWN[name] if w not in after.words]
    live = [each for _, each in after.found if "live" in (each.get("class") or "")]
    assert live and not any("hidden" in each for each in live)  # the script has shown the controls
    assert any("aria-valuetext" in each for _, each in after.found)  # and went through to the end of its first drawing


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
