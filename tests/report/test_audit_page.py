"""The audit's page: says how sound a folder is, and suggests the same decisions as the file does."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given, settings
from pages import Strict, inspect, names, picture, plain

from striate.data.sources.rows import as_cell
from striate.pixels import POLICIES
from striate.report.audit.content import AuditFinding, AuditPage, Entry, decision_rows
from striate.report.audit.page import render_audit
from striate.report.audit.script import SCRIPT
from striate.report.audit.words import NOTE, level
from striate.tasks import Classification, Multilabel, Regression, Task

SMALL = picture(12, 9)
COUNTS = {"ants": {"train": 124, "val": 70}, "bees": {"train": 121, "val": 83}}


def finding(kind: str, *entries: Entry, action: str = "kept", **more) -> AuditFinding:
    return AuditFinding(kind=kind, action=action, explanation=f"about {kind}", entries=entries, **more)


def page_of(*findings: AuditFinding, **more) -> AuditPage:
    fields = {"title": "t", "data": "d", "counts": COUNTS, "wording": Classification.wording, "findings": findings}
    return AuditPage(**{**fields, **more})


def dirty(name: str = "a,b.jpg") -> AuditPage:
    return page_of(
        finding(
            "contradiction",
            Entry(path=name, image=SMALL, label="ants", part="train", suggested="keep"),
            Entry(path="bees/2.jpg", image=SMALL, label="bees", part="train", suggested="relabel", to=name),
            groups=((0, 1),),
        ),
        finding(
            "duplicate",
            Entry(path="bees/2.jpg", image=SMALL, suggested="drop", safe=True),
            Entry(path="bees/3.jpg", image=SMALL, suggested="drop", safe=True),
        ),
        finding("truncated", Entry(path="ants/broken.jpg", why=name, suggested="drop"), action="set aside"),
        finding("mistyped", Entry(path="ants/4.jpg", why="contains PNG")),
        finding("imbalance", names=(name,)),
        command=f"striate train {name}",
    )


def test_decisions_are_safe_ones_or_none() -> None:
    assert decision_rows(dirty("ants/1.jpg")) == [
        ("ants/1.jpg", "keep", "", "contradiction", "keep", ""),
        # The contradiction is the more serious finding: that the copy could be dropped does not decide it.
        ("bees/2.jpg", "keep", "", "contradiction, duplicate", "relabel ants/1.jpg", ""),
        ("bees/3.jpg", "drop", "", "duplicate", "drop", ""),
        ("ants/broken.jpg", "keep", "", "truncated", "drop", ""),
    ]
    assert decision_rows(page_of()) == []


def presets(page: str) -> list[tuple[str, ...]]:
    """What the page's button saves when nobody has chosen anything, read from the page as its script reads it."""
    rows: dict[str, tuple[int, tuple[str, ...]]] = {}
    for block in re.split(r"(?=<(?:figure class=\"entry\"|div class=\"row\"))", page)[1:]:
        facts = dict(re.findall(r'data-(path|found|suggested|why|row)="([^"]*)"', block))
        chosen = re.search(r'<option value="([^"]*)" selected', block)
        assert chosen is not None
        decision, _, to = chosen.group(1).partition(":")
        if facts["suggested"] or decision != "keep":
            row = (facts["path"], decision, to, facts["found"], facts["suggested"], facts.get("why", ""))
            rows.setdefault(facts["path"], (int(facts["row"]), row))
    ordered = [row for _, row in sorted(rows.values())]
    return [tuple(unquote_to_bytes(cell).decode("utf-8", "surrogateescape") for cell in row) for row in ordered]


@pytest.mark.parametrize("name", ["a,b.jpg", 'quo"te', "two\nlines", "größe 蜂", "a:b 50%25", "caf\udce9.jpg"])
def test_the_button_saves_what_the_file_holds(name: str) -> None:
    page = render_audit(dirty(name))
    inspect(page, scripts=1)
    assert presets(page) == decision_rows(dirty(name))
    assert presets(page)[0][0] == name


def test_the_script_is_the_one_allowed() -> None:
    page = render_audit(dirty())
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "unsafe-inline" not in page[page.index("script-src") : page.index('">', page.index("script-src"))]
    assert not re.search(r"fetch|XMLHttp|WebSocket|sendBeacon|import\(|https?:", script.group(1))
    assert "<noscript>" in page
    assert "striate audit --fix-list" in page


@settings(max_examples=25, deadline=None)
@given(names)
def test_no_name_is_believed(name: str) -> None:
    counts = {name: {name: 3}, "bees": {"val": 2}}
    found = finding(name, Entry(path=name, image=SMALL, label=name, part=name, why=name), names=(name,))
    page = render_audit(
        page_of(*dirty(name).findings, found, title=name, data=name, counts=counts, notes=(name,), command=name)
    )
    inspect(page, scripts=1)


def words_of(page: AuditPage) -> str:
    found = re.search(r'<div class="big words">([^<]*)</div><p class="said">([^<]*)</p>', render_audit(page))
    assert found is not None
    return plain(f"{found.group(1)}: {found.group(2)}")


def test_the_verdict_is_in_plain_words() -> None:
    entries = [Entry(path=f"{place}.jpg") for place in range(20)]
    assert words_of(page_of()) == "Clean: Every image could be read, and nothing is suspicious."
    assert words_of(page_of(finding("exif-rotated", *entries, action="converted"))).startswith("Clean:")
    assert words_of(page_of(finding("blank", *entries[:1]))) == (
        "Minor problems: Nothing here is likely to harm the training. 1 file is worth a look."
    )
    assert words_of(page_of(finding("leak", *entries[:2]))).startswith(
        "A few serious problems: 2 files (0.5 %) may harm"
    )
    both = page_of(finding("leak", *entries), finding("contradiction", *entries[:4]))
    assert words_of(both).startswith("Serious problems: 20 files (5.0 %)")
    assert words_of(page_of(counts={})).startswith("Nothing to train on")
    assert words_of(page_of(counts={"ants": {"all": 9}})).startswith("Only one class")


def test_the_most_serious_things_are_to_be_done_first() -> None:
    one = Entry(path="1.jpg")
    page = render_audit(page_of(*(finding(kind, one) for kind in ("blank", "tiny", "duplicate", "leak"))))
    steps = page[page.index("What to do first") : page.index("</ol>")]
    assert [step.split(",")[0] for step in re.findall(r'<a href="#finding-\d">([^<]*)</a>', steps)] == [
        "Drop or move the duplicates",
        "Drop the blank images",
        "Replace the small images by the originals",
    ]
    assert render_audit(page_of()).count('<a href="#folder">Train</a>') == 1


def test_a_folder_of_any_size_makes_a_small_page_that_says_what_it_leaves_out() -> None:
    classes = [f"a class with a name as long as they come, number {place}" for place in range(1000)]
    noise = [picture(200, 300, seed) for seed in range(5)]
    entries = [
        Entry(
            path=f"train/{classes[place % 1000]}/{place:06d} and a rather long name.jpg",
            image=noise[place % 5],
            label=classes[place % 1000],
            suggested="relabel",
            to=classes[(place + 1) % 1000],
        )
        for place in range(4000)
    ]
    kinds = ("contradiction", "leak", "duplicate", "near-duplicate", "blank", "tiny")
    groups = tuple((2 * place, 2 * place + 1) for place in range(2000))
    found = [finding(kind, *entries, groups=groups if place % 2 else ()) for place, kind in enumerate(kinds)]
    counts = {name: {"train": place + 1, "val": 2} for place, name in enumerate(classes)}
    content = page_of(*found, counts=counts, sizes=np.random.default_rng(0).integers(1, 9000, (50_000, 2)))
    page = render_audit(content)
    inspect(page, scripts=1)
    assert 60 < page.count("data:image") <= 250
    shown = set(Strict(page).values("data-path"))
    said = plain(page)
    assert f"{4000 - len(shown):,} files not on this page" in said
    assert "3,640 more files not on this page." in said  # 60 pictures and 300 in words of the first finding
    assert "the 12 largest and the 12 smallest classes; 976 more between them" in said


def test_pairs_stand_side_by_side_and_every_file_can_be_decided() -> None:
    parsed = Strict(render_audit(dirty()))
    assert [values.get("class") for tag, values in parsed.tags if tag == "div"].count("cluster") == 1
    assert len(parsed.values("data-path")) == len([tag for tag, _ in parsed.tags if tag == "select"]) == 5


def test_a_kind_nobody_has_words_for_is_still_told() -> None:
    page = render_audit(page_of(finding("moon-phase", Entry(path="x.jpg"))))
    assert "<h2>Moon phase<" in page
    assert "about moon-phase" in page
    assert all(level(kind, "converted") == NOTE for kind in POLICIES)


def test_decisions_nobody_could_follow_are_refused() -> None:
    with pytest.raises(ValueError, match="one of keep, drop, relabel, move, not 'burn'"):
        Entry(path="a", suggested="burn")
    with pytest.raises(ValueError, match="'relabel' cannot go with to=''"):
        Entry(path="a", suggested="relabel")
    with pytest.raises(ValueError, match="'drop' cannot go with to='bees'"):
        Entry(path="a", suggested="drop", to="bees")


def test_counts_by_part_are_drawn() -> None:
    page = plain(render_audit(page_of()))
    assert 'title="train 124"' in page
    assert 'title="val 83"' in page
    assert "398 images in 2 classes can be used." in page


def test_where_nothing_is_to_be_seen_no_other_label_is_suggested() -> None:
    doubt = finding("label-error", Entry(path="lens cap.jpg", suggested="relabel", to="bees"))
    blank = finding("blank", Entry(path="lens cap.jpg", suggested="drop"))
    assert decision_rows(page_of(doubt, blank)) == [("lens cap.jpg", "keep", "", "label-error, blank", "drop", "")]


def test_only_what_can_be_decided_has_a_choice() -> None:
    broken = finding("truncated", Entry(path="broken.jpg"), action="set aside")
    page = render_audit(page_of(broken))
    assert "broken.jpg" in page
    assert "<select" not in page
    assert "<select" in render_audit(page_of(finding("blank", Entry(path="lens cap.jpg"))))


def test_doubted_labels_are_decided_one_by_one() -> None:
    doubts = [Entry(path=f"{place}.jpg", suggested="relabel", to="bees") for place in range(3)]
    copies = [Entry(path=f"copy {place}.jpg", suggested="drop") for place in range(3)]
    button = '<button type="button" class="follow" hidden>'
    assert button not in render_audit(page_of(finding("label-error", *doubts)))
    assert button in render_audit(page_of(finding("near-duplicate", *copies)))


@pytest.mark.parametrize(
    ("task", "to", "said"),
    [
        (Classification, "bees", "change the class to bees"),
        (Multilabel, "a|b", "change the labels to a|b"),
        (Regression, "3", "change the value to 3"),
    ],
)
def test_choices_use_the_words_of_the_task(task: type[Task], to: str, said: str) -> None:
    found = finding("label-error", Entry(path="1.jpg", suggested="relabel", to=to))
    page = render_audit(page_of(found, wording=task.wording, one_class=task.one_class))
    inspect(page, scripts=1)
    assert f"Suggested: {said}" in page
    complete = re.search(r'data-complete="(\w+)"', page)
    assert complete is not None
    assert complete.group(1) == ("yes" if task is Classification else "no")


CELLS = [
    "=1+1",
    "+1",
    "-1.5",
    "-a",
    "@a",
    "./=1",
    "././@",
    "a=b",
    "\ta",
    'é,"b"',
    "",
    "caf\udce9",
    "=\udce9",
    "1e3",
    "./a",
]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_button_writes_cells_as_the_package_does() -> None:
    functions = SCRIPT[SCRIPT.index("  const bytes =") : SCRIPT.index("  const choices =")]
    given = [quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="") for text in CELLS]
    program = f"{functions}\nconsole.log(JSON.stringify({json.dumps(given)}.map((text) => cell(text, 0))));"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    for text, raw in zip(CELLS, json.loads(done.stdout), strict=True):
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="").writerow([as_cell(text), "x"])
        assert bytes(raw) + b",x" == written.getvalue().encode("utf-8", "surrogateescape"), text
    new = f"{functions}\nconsole.log(String.fromCharCode(...cell('+new', 2)));"
    done = subprocess.run(["node", "-e", new], capture_output=True, text=True, check=True)
    assert done.stdout == "+new\n"
