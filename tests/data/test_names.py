"""Names that look alike are one: in folders, tables, decisions and class lists."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import open_source
from striate.data.sources.base import reading_of
from striate.data.sources.names import clean, join_names, look_alike, natural
from striate.data.splits import apply_split
from striate.errors import RequestError
from striate.jobs.import_weights import read_classes

ALIKE = [
    ("abeilles-é", "abeilles-e\u0301", "Unicode form"),
    ("Ants", "ants", "letter case"),
    ("ants", "ants ", "blanks"),
    ("ants", "an\u200bts", "invisible characters"),
    ("ants", "\ufeffants", "invisible characters"),
    ("red fox", "red  fox", "blanks"),
]


def folder(root: Path, *keys: str) -> Path:
    """A picture for each key, each another grey."""
    for place, key in enumerate(keys):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 9 * place).save(root / key, "png")
    return root


@pytest.mark.parametrize(("one", "other", "how"), ALIKE, ids=[how + str(n) for n, (_, _, how) in enumerate(ALIKE)])
def test_classes_that_look_alike_are_one_class_and_told(one: str, other: str, how: str, tmp_path: Path) -> None:
    keys = [f"train/{one}/1.png", f"train/{one}/2.png", "train/bees/3.png", f"val/{other}/4.png", "val/bees/5.png"]
    source = open_source(folder(tmp_path, *keys))
    assert source.task.names == tuple(sorted([one, "bees"], key=natural))
    assert {item.part for item in source.items if source.task.names[item.target] == one} == {"train", "val"}
    [told] = reading_of(source)
    assert how in told and "one class" in told


def test_labels_of_a_table_that_look_alike_are_one(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{n}.png" for n in range(4)))
    (tmp_path / "l.csv").write_text("path,label\n0.png,Cat\n1.png,cat\n2.png,Cat\n3.png,dog\n", "utf-8")
    source = open_source(tmp_path / "l.csv")
    assert source.task.names == ("Cat", "dog") and [item.target for item in source.items] == [0, 0, 0, 1]
    assert "letter case" in reading_of(source)[0]


def test_single_letters_keep_their_case() -> None:
    assert join_names(["a", "A", "b"]).names == ("A", "a", "b")
    assert join_names({"Bees": 3, "bees": 9}).names == ("bees",)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_joining_leaves_no_two_names_alike(names: list[str]) -> None:
    joined = join_names(names)
    assert joined.name.keys() == set(names) and set(joined.name.values()) == set(joined.names)
    assert len({look_alike(name) for name in joined.names}) == len(joined.names) or "" in names


@given(st.lists(st.tuples(st.sampled_from(["c", "img ", ""]), st.integers(0, 10**6)), max_size=20))
def test_numbers_in_names_count(pairs: list[tuple[str, int]]) -> None:
    names = [f"{stem}{number}" for stem, number in pairs]
    for stem in {stem for stem, _ in pairs}:
        mine = sorted((name for name, (one, _) in zip(names, pairs, strict=True) if one == stem), key=natural)
        assert [int(name.removeprefix(stem)) for name in mine] == sorted(number for one, number in pairs if one == stem)


def test_clean_leaves_something() -> None:
    assert clean(" é ") == "é" == clean("e\u0301\u200b")
    assert clean("\u200b") == "\u200b" and clean("  ") == "  "


SPELLINGS = ["ants\\0.png", " ants/1.png ", "./ants/2.png", "ABSOLUTE/ants/3.png", "Ants/4.PNG", "ants//5.png"]


def test_decisions_find_images_however_their_paths_are_spelled(tmp_path: Path) -> None:
    keys = [f"{name}/{n}.png" for name in ("ants", "bees") for n in range(7)]
    source = open_source(folder(tmp_path / "data", *keys))
    path = tmp_path / "decisions.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        spelled = [one.replace("ABSOLUTE", str(tmp_path / "data")) for one in SPELLINGS]
        csv.writer(file).writerows([("path", "decision", "to"), *((one, "drop", "") for one in spelled)])
    changed, notes = apply_decisions(source, read_decisions(path))
    assert {item.key for item in changed.items} == {*keys} - {f"ants/{n}.png" for n in range(6)}
    assert notes == ["Decided: 6 dropped."]
    path.write_text("path,decision,to\nants/0.png,drop,\n./ants/0.png,relabel,bees\n", "utf-8")
    with pytest.raises(RequestError, match=r"line 3 .*contradicts drop in line 2, the same image"):
        apply_decisions(source, read_decisions(path))
    path.write_text("path,decision,to\nwasps/0.png,drop,\n", "utf-8")
    assert any("1 decided images do not exist" in note for note in apply_decisions(source, read_decisions(path))[1])


def test_a_split_finds_images_as_spelled_by_another_system(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path / "data", "ants/e\u0301.png", "ants/1.png", "bees/2.png"))
    (tmp_path / "split.csv").write_text("path,class,part\nants\\é.png,ants,val\nants/1.png,,train\nbees/2.png,,train\n")
    changed, notes = apply_split(source, tmp_path / "split.csv")
    assert [item.part for item in changed.items if "e" in item.key.split("/")[1]] == ["val"] and notes == []


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("\ufeffairplane\ncar\n", ["airplane", "car"]),
        ("airplane\r\ncar \r\n\r\n", ["airplane", "car"]),
        ("e\u0301clair\nb", ["éclair", "b"]),
    ],
    ids=["mark", "line ends", "Unicode form"],
)
def test_class_names_are_read_as_they_look(content: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(content.encode())
    assert read_classes(tmp_path / "classes.txt") == names


@pytest.mark.parametrize(
    ("content", "why"),
    [("a\nb\na\n", "lines 1 and 3 .* both 'a'"), ("a\n\nb\n", "line 2 .* is empty")],
    ids=["twice", "gap"],
)
def test_class_names_that_cannot_be_right_are_refused(content: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(content)
    with pytest.raises(RequestError, match=why):
        read_classes(tmp_path / "classes.txt")


def test_names_are_ordered_as_people_count() -> None:
    ordered = [
        "-1",
        "0",
        "0.25",
        "1",
        "01",
        "2b",
        "3",
        "10",
        "10a",
        "11",
        "1" * 16,
        "2" * 16,
        "1" * 17,
        "c1",
        "c2",
        "c10",
    ]
    for seed in range(5):
        mixed = [ordered[place] for place in np.random.default_rng(seed).permutation(len(ordered))]
        assert sorted(mixed, key=natural) == sorted(ordered, key=natural)
    found = sorted(ordered, key=natural)
    assert [name for name in found if name not in ("1", "01")] == [name for name in ordered if name not in ("1", "01")]
    assert sorted(["9" * 400, "1" + "0" * 400, "8" * 400], key=natural) == ["8" * 400, "9" * 400, "1" + "0" * 400]
