"""Splits: what is given is kept; what is made is stratified, keeps equal images together and knows no names."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.audit import Audit, Usable
from striate.data.looking import Record
from striate.data.sources import Item, Oddity
from striate.data.splits import leaked, measured_part, read_split, split, split_csv
from striate.errors import RequestError
from striate.task import Task


def usable(*entries: tuple[int, object, str]) -> list[Usable]:
    """Entries of (label, content, part)."""
    return [
        Usable(Item(f"{n}.png", label, part), Record(f"{content}")) for n, (label, content, part) in enumerate(entries)
    ]


def found(entries: list[Usable], kind: str = "class", outputs: int = 20) -> Audit:
    names = tuple(map(str, range(1 if kind == "number" else outputs)))
    return Audit(Task(kind, names), entries, [])


def distinct(*counts: int) -> list[Usable]:
    return usable(*((label, f"{label}-{n}", "") for label, count in enumerate(counts) for n in range(count)))


def per_class(entries: list[Usable], parts: list[str], part: str) -> Counter:
    return Counter(entry.item.target for entry, name in zip(entries, parts, strict=True) if name == part)


def test_a_given_split_is_never_changed() -> None:
    entries = usable((0, "x", "train"), (1, "x", "val"), (0, "y", "test"), (1, "z", "train"))
    for seed in range(3):
        assert split(found(entries), 0.5, seed) == ["train", "val", "test", "train"]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.01, 0.9), st.integers(0, 2**31 - 1))
def test_distinct_images_are_held_out_by_class(counts: list[int], held_out: float, seed: int) -> None:
    entries = distinct(*counts)
    parts = split(found(entries), held_out, seed)
    held = per_class(entries, parts, "val")
    for label, count in enumerate(counts):
        assert held[label] == (min(count - 1, max(1, round(held_out * count))) if count > 1 else 0)
    assert set(parts) <= {"train", "val"}


LABELLED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.just("")), min_size=1, max_size=60)


@given(LABELLED, st.floats(0.01, 0.9), st.integers(0, 1000))
def test_equal_images_stay_together_and_every_class_is_learnt(entries: list, held_out: float, seed: int) -> None:
    images = usable(*entries)
    parts = split(found(images), held_out, seed)
    side: dict[str, str] = {}
    for entry, part in zip(images, parts, strict=True):
        assert side.setdefault(entry.record.digest, part) == part
    trained = per_class(images, parts, "train")
    assert all(trained[entry.item.target] for entry in images)
    for label, count in Counter(entry.item.target for entry in images).items():
        assert per_class(images, parts, "val")[label] <= max(1, round(held_out * count))


@given(LABELLED, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_neither_names_nor_order_matter(entries: list, seed: int, random) -> None:
    images = usable(*entries)
    parts = split(found(images), 0.3, seed)
    shuffled = list(zip(images, parts, strict=True))
    random.shuffle(shuffled)
    renamed = [Usable(Item(f"other/{n}", e.item.target), e.record) for n, (e, _) in enumerate(shuffled)]
    assert split(found(renamed), 0.3, seed) == [part for _, part in shuffled]


def test_seeds_differ_and_repeat() -> None:
    entries = distinct(50, 50)
    assert split(found(entries), 0.2, 1) == split(found(entries), 0.2, 1) != split(found(entries), 0.2, 2)


def test_a_split_never_changes_between_releases() -> None:
    parts = split(found(distinct(6, 6)), 0.34, 0)
    assert [n for n, part in enumerate(parts) if part == "val"] == [2, 3, 10, 11]


@pytest.mark.parametrize(
    ("parts", "measured"),
    [
        (["train", "val", "test"], "test"),
        (["train", "val"], "val"),
        (["test"], "test"),
        (["train"], ""),
        ([], ""),
        ([""], ""),
    ],
)
def test_the_measured_part(parts: list[str], measured: str) -> None:
    assert measured_part(parts) == measured


def test_leaks_are_marked() -> None:
    entries = usable((0, "x", "train"), (0, "x", "val"), (0, "y", "val"), (1, "z", "test"))
    parts = split(found(entries), 0.2, 0)
    assert leaked(found(entries), parts, "val").tolist() == [True, False]
    assert leaked(found(entries), parts, "test").tolist() == [False]
    assert leaked(found(entries), parts, "").dtype == np.bool_


def test_the_saved_split_is_csv_that_reads_back() -> None:
    entries = usable((0, "x", ""), (1, "y", ""))
    nasty = 'a, "b"\nc\udce9'
    audited = Audit(Task("class", ("one", nasty)), entries, [Oddity("bad.jpg", "empty", "zero bytes")])
    rows = list(csv.reader(io.StringIO(split_csv(audited, ["train", "val"]), newline="")))
    assert rows == [
        ["path", "class", "part", "fold", "why"],
        ["0.png", "one", "train", "", ""],
        ["1.png", nasty, "val", "", ""],
        ["bad.jpg", "", "set aside", "", "empty: zero bytes"],
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("path,part\na.jpg,train\na.jpg,val\n", "another part than before"),
        ("path,part\na.jpg,trian\n", "line 2"),
        ("path,class\na.jpg,x\n", "must name the columns"),
        ("", "is empty"),
        ("path,part\na\0,val\n", "NUL"),
    ],
)
def test_a_split_that_is_none_is_refused(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "split.csv").write_text(content, "utf-8")
    with pytest.raises(RequestError, match=why):
        read_split(tmp_path / "split.csv")


@pytest.mark.parametrize("content", ["\ufeffpath,part\r\na.jpg,val\r\n", "path;class;part\na.jpg;x;val\n"])
def test_a_split_that_a_spreadsheet_saved_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.csv").write_text(content, "utf-8", newline="")
    assert read_split(tmp_path / "split.csv") == {"a.jpg": "val"}
