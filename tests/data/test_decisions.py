"""Decisions: what is written is read back, what is wrong told with its line, what is decided done."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.audit.audit import audit
from striate.data.audit.decisions import Decision, Row, apply_decisions, read_decisions, write_decisions
from striate.data.audit.looking import Record
from striate.data.pack.cache import automatic_pack
from striate.data.pack.writing import write_pack
from striate.data.sources.arrays import from_arrays
from striate.data.sources.base import Item, Source, with_items
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.data.sources.manifest import open_manifest
from striate.errors import RequestError
from striate.pixels import Pixels
from striate.tasks import Classification, Multilabel


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Source:
    """Cats, dogs and an emu, in train and val."""
    for number, key in enumerate(
        ["train/cat/1", "train/cat/2", "train/dog/1", "train/emu/1", "val/cat/3", "val/dog/2"]
    ):
        picture(tmp_path / "set" / f"{key}.png", number)
    return open_folder(tmp_path / "set")


@pytest.fixture
def fix(tmp_path: Path) -> Path:
    return tmp_path / "fix.csv"


def decided(fix: Path, *rows: str) -> dict[str, Decision]:
    fix.write_text("path,decision,to,found,suggested\n" + "\n".join(rows) + "\n", "utf-8")
    return read_decisions(fix)


def spoken(source: Source) -> dict[str, tuple[str, str]]:
    return {item.key: (source.task.text(item.target), item.part) for item in source.items}


def test_what_is_decided_is_done(folder: Source, fix: Path) -> None:
    decisions = decided(
        fix,
        "train/cat/1.png,drop,,blurred,drop",
        "train/cat/2.png, Relabel ,dog,label,dog",
        "val/cat/3.png,move,train,leak,",
        "train/dog/1.png,keep,,duplicate,",
        "val/dog/2.png,,,,",
    )
    changed, lines = apply_decisions(folder, decisions)
    assert spoken(changed) == {
        "train/cat/2.png": ("dog", "train"),
        "train/dog/1.png": ("dog", "train"),
        "train/emu/1.png": ("emu", "train"),
        "val/cat/3.png": ("cat", "train"),
        "val/dog/2.png": ("dog", "val"),
    }
    assert changed.task == folder.task and lines == ["Decided: 1 dropped, 1 relabelled, 1 moved."]
    [dropped] = changed.oddities
    assert (dropped.path, dropped.kind, dropped.why) == ("train/cat/1.png", "dropped", f"decided in {fix}")
    assert spoken(folder)["train/cat/2.png"] == ("cat", "train")  # the source that was given stays as it was
    found = audit(changed, [(item, Record("x")) for item in changed.items])
    assert found.last_line() == "Set aside: 1 dropped (train/cat/1.png)."


def test_a_new_class_needs_a_plus(folder: Source, fix: Path) -> None:
    changed, lines = apply_decisions(
        folder, decided(fix, "val/cat/3.png,relabel,+bee,,", "val/dog/2.png,relabel,+bee,,")
    )
    assert changed.task.names == ("bee", "cat", "dog", "emu") and lines[1:] == ["New classes: bee"]
    assert spoken(changed) == spoken(folder) | {"val/cat/3.png": ("bee", "val"), "val/dog/2.png": ("bee", "val")}
    changed, _ = apply_decisions(folder, decided(fix, "val/cat/3.png,relabel,+dog,,"))
    assert changed.task == folder.task and spoken(changed)["val/cat/3.png"] == ("dog", "val")


def test_a_class_without_an_image_goes(folder: Source, fix: Path) -> None:
    changed, lines = apply_decisions(folder, decided(fix, "train/emu/1.png,drop,,,", "train/cat/1.png,relabel,+ant,,"))
    assert changed.task.names == ("ant", "cat", "dog")
    assert lines[1:] == ["New classes: ant", "No image is left of: emu"]
    assert spoken(changed)["train/dog/1.png"] == ("dog", "train")


def test_all_dropped_is_left_to_the_audit(folder: Source, fix: Path) -> None:
    changed, _ = apply_decisions(folder, decided(fix, *(f"{item.key},drop,,," for item in folder.items)))
    assert changed.items == () and len(changed.oddities) == 6 and changed.task == folder.task


def test_images_that_are_not_here(folder: Source, fix: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "train" / "loose.png").write_bytes(b"x")
    source = open_folder(tmp_path / "set")
    changed, lines = apply_decisions(source, decided(fix, "gone.png,drop,,,", "train/loose.png,drop,,,", "g.png,,,,"))
    assert changed.items == source.items
    assert lines == [
        "Decided: nothing to change.",
        "1 decided images are set aside already, e.g. 'train/loose.png'",
        "2 decided images do not exist, e.g. 'gone.png'",
    ]


def test_labels_and_numbers(tmp_path: Path, fix: Path) -> None:
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    (tmp_path / "l.csv").write_text("path,labels\n0.png,a|b\n1.png,b\n2.png,c\n")
    source = open_manifest(tmp_path / "l.csv")
    rows = ["0.png,relabel,c | +0 | b,,", "1.png,relabel,,,", "2.png,relabel,b,,"]
    changed, lines = apply_decisions(source, decided(fix, *rows))
    assert changed.task.names == ("0", "b", "c")
    assert [changed.task.text(item.target) for item in changed.items] == ["0, b, c", "none", "b"]
    assert lines[1:] == ["New labels: 0", "No image is left of: a"]
    (tmp_path / "n.csv").write_text("path,number\n0.png,1\n1.png,2\n")
    changed, _ = apply_decisions(open_manifest(tmp_path / "n.csv"), decided(fix, "0.png,relabel,-2.5,,"))
    assert [item.target for item in changed.items] == [-2.5, 2.0]
    for number in ("x", "nan", ""):
        with pytest.raises(RequestError, match=r"line 2 of the decisions .* is not a number"):
            apply_decisions(open_manifest(tmp_path / "n.csv"), decided(fix, f"0.png,relabel,{number},,"))


WRONG = {
    "word": ("train/cat/1.png,dorp,,,", r"unknown decision in line 3 of '.*fix\.csv': 'dorp'; did you mean 'drop'\?"),
    "part": ("train/cat/1.png,move,tset,,", r"unknown part in line 3 of .*'tset'; did you mean 'test'"),
    "no part": ("train/cat/1.png,move,,,", "unknown part in line 3"),
    "no path": (",drop,,,", "line 3 of the decisions .*: no path"),
    "short": ("train/cat/1.png,drop", "line 3 of the decisions .* has 2 fields, not 5"),
    "class": ("train/cat/1.png,relabel,dgo,,", r"class in line 3 of .*'dgo'; did you mean 'dog'\?.*written \+dgo"),
    "no class": ("train/cat/1.png,relabel,,,", r"unknown class in line 3 of .*''; known: cat, dog, emu"),
    "lone plus": ("train/cat/1.png,relabel,+,,", r"unknown class in line 3 of .*'\+'"),
    "forgotten": ("train/cat/1.png,,dog,,", "line 3 .*keep takes no `to`, but it is 'dog'"),
    "drop to": ("train/cat/1.png,drop,dog,,", "line 3 .*drop takes no `to`"),
    "other": ("train/dog/1.png,relabel,cat,,", "line 3 .*relabel for 'train/dog/1.png' contradicts drop in line 2"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "error"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_its_line(row: str, error: str, folder: Source, fix: Path) -> None:
    with pytest.raises(RequestError, match=error) as caught:
        apply_decisions(folder, decided(fix, "train/dog/1.png,drop,,,", row))
    assert "\n" not in str(caught.value)


def test_the_same_decision_twice_is_one(folder: Source, fix: Path) -> None:
    rows = ["train/cat/1.png,relabel,dog,,", "train/cat/1.png,relabel,dog,again,"]
    assert decided(fix, *rows) == {"train/cat/1.png": Decision("relabel", "dog")}
    with pytest.raises(RequestError, match=r"'emu' for 'train/cat/1.png' contradicts 'dog' in line 2"):
        decided(fix, rows[0], "train/cat/1.png,relabel,emu,,")


def test_a_move_needs_parts(tmp_path: Path, fix: Path) -> None:
    picture(tmp_path / "flat" / "a" / "1.png", 0)
    picture(tmp_path / "flat" / "b" / "1.png", 1)
    with pytest.raises(RequestError, match=r"line 2 .* cannot move to val: the data have no parts"):
        apply_decisions(open_folder(tmp_path / "flat"), decided(fix, "a/1.png,move,val,,"))


@pytest.mark.parametrize("content", [b"", b"path,class\nx,y\n", b"\0", b'path,decision,to\n"x', b"PK\x03\x04", b"{}\n"])
def test_files_that_are_no_decisions(content: bytes, fix: Path) -> None:
    fix.write_bytes(content)
    with pytest.raises(RequestError, match=r"fix\.csv") as caught:
        read_decisions(fix)
    assert "\n" not in str(caught.value)


def test_a_missing_file(fix: Path) -> None:
    with pytest.raises(RequestError, match=r"cannot read the decisions .*No such file"):
        read_decisions(fix)


def test_as_a_spreadsheet_saves_it(fix: Path) -> None:
    fix.write_bytes('\ufeffpath;decision;to;found;suggested;remark\r\n"a;b.png";drop;;;;ok\r\n'.encode())
    assert read_decisions(fix) == {"a;b.png": Decision("drop")}


# Any name that a file can have: bytes without a NUL, as Python spells them.
PATHS = st.binary(min_size=1, max_size=20).map(lambda name: os.fsdecode(name.replace(b"\0", b"\n"))) | st.sampled_from(
    ["a,b", "a\nb", "a\rb", "a\r\nb", '"', " a ", "\ufeff", "\u2028", "=1+1", "'", "é\udce9"]
)
WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10)
KIND_AND_TO = st.one_of(
    st.sampled_from([("", ""), ("keep", ""), ("drop", ""), ("move", "train"), ("move", "val"), ("move", "test")]),
    st.tuples(st.just("relabel"), WORDS.map(str.strip)),
)


@given(st.dictionaries(PATHS, st.tuples(KIND_AND_TO, WORDS, WORDS), max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back(rows: dict[str, tuple[tuple[str, str], str, str]]) -> None:
    written = [Row(path, kind, to, found, suggested) for path, ((kind, to), found, suggested) in rows.items()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fix.csv"
        write_decisions(file, written)
        assert read_decisions(file) == {row.path: Decision(row.decision or "keep", row.to) for row in written}
        assert len(file.read_bytes().split(b"\r\n")) > len(written)


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_decisions_or_refused(tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fix.csv"
        for head in (b"", b"path,decision,to\n", b"path;decision;to\nx;relabel;"):
            file.write_bytes(head + tail)
            try:
                decisions = read_decisions(file)
            except RequestError as error:
                assert "fix.csv" in str(error)
            else:
                assert all(decision.kind in ("keep", "drop", "relabel", "move") for decision in decisions.values())


def test_what_is_decided_of_packed_or_stacked_images_keeps_each_its_own(
    folder: Source, fix: Path, tmp_path: Path
) -> None:
    packed = write_pack(tmp_path / "set.pack", folder, Pixels(8, 8, rule="squash"))
    assert len(packed.items) == 6
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    stacked = from_arrays("four", "test:four", [("", images, np.array(list("abab")))])
    for source in (packed, stacked):
        first, second, *_ = source.items
        to = source.task.names[-1]
        changed, _ = apply_decisions(source, decided(fix, f"{first.key},drop,,,", f"{second.key},relabel,{to},,"))
        assert len(changed.items) == len(source.items) - 1
        before = {item.key: source.read(item) for item in source.items}
        assert all(changed.read(item) == before[item.key] for item in changed.items)
        if source is packed:  # what scratch training learns from
            stock = automatic_pack(changed, Pixels(8, 8, rule="squash"))
            assert [item for item, _ in stock.pairs] == list(changed.items) and len(stock.images) == 5
            for (item, _), image in zip(stock.pairs, stock.images, strict=True):
                assert before[item.key].endswith(image.tobytes())


def test_items_keep_their_group_and_weight(folder: Source, fix: Path) -> None:
    item = Item("train/cat/1.png", 0, "train", "g", 2.0)
    changed, _ = apply_decisions(with_items(folder, [item]), decided(fix, "train/cat/1.png,relabel,dog,,"))
    assert (changed.items[0].group, changed.items[0].weight, changed.task.names) == ("g", 2.0, ("dog", "emu"))


WORD = st.sampled_from(["ant", "bee", "cat", "dog"])
TO = st.sampled_from(["ant", "bee", "cat", "dog", "+ant", "+emu", "+fox"])


@given(
    st.lists(st.lists(WORD, max_size=3, unique=True), min_size=1, max_size=6),
    st.dictionaries(
        st.integers(0, 7), st.tuples(st.sampled_from(["drop", "relabel", "keep"]), st.lists(TO, max_size=2))
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_nothing_changes_but_what_was_decided(
    rows: list[list[str]], choices: dict[int, tuple[str, list[str]]], several: bool
) -> None:
    rows = rows if several else [(row or ["ant"])[:1] for row in rows]
    names = sorted({name for row in rows for name in row}) or ["ant"]
    places = [tuple(sorted(names.index(name) for name in row)) for row in rows]
    items = tuple(Item(str(n), place if several else place[0]) for n, place in enumerate(places))
    task = Multilabel(tuple(names)) if several else Classification(tuple(names))
    source = FileSource(Path(), "m", "m", task, items, ())
    decisions, expected = {}, {str(n): set(row) for n, row in enumerate(rows)}
    for number, (kind, to) in choices.items():
        known = [
            name if name[0] == "+" or name in names else f"+{name}"
            for name in (to if several else (to or ["+emu"])[:1])
        ]
        decisions[str(number)] = Decision(kind, "|".join(known) if kind == "relabel" else "")
        if str(number) in expected and kind == "drop":
            del expected[str(number)]
        elif str(number) in expected and kind == "relabel":
            expected[str(number)] = {name.removeprefix("+") for name in known}
    changed, lines = apply_decisions(source, decisions)
    found = {
        item.key: {
            changed.task.names[place] for place in ((item.target,) if isinstance(item.target, int) else item.target)
        }
        for item in changed.items
    }
    assert found == expected
    assert {oddity.path for oddity in changed.oddities} == {item.key for item in items} - expected.keys()
    used = {name for said in expected.values() for name in said}
    assert used <= set(changed.task.names) and len(set(changed.task.names)) == len(changed.task.names)
    never = set(names) - {name for row in rows for name in row}  # a name that no image had is not ours to take away
    assert not (used | never) or set(changed.task.names) == used | never
    assert lines[0].startswith("Decided: ")


@pytest.mark.parametrize("name", ["=a", "+a", "-a", "@a", "./=a"])
def test_no_cell_of_decisions_is_a_formula(name: str, fix: Path) -> None:
    write_decisions(fix, [Row(f"{name}.png", "relabel", name, "found", f"{name} suggested", "why")])
    with open(fix, encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert read_decisions(fix) == {f"{name}.png": Decision("relabel", name)}
