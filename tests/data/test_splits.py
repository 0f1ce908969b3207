"""Splits: what is given is kept; what is made is stratified, keeps equal images together and knows no names."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from striate.data.audit.audit import Audit, Usable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item, Oddity
from striate.data.sources.folder import open_folder
from striate.data.sources.rows import as_cell, from_cell
from striate.data.splits import (
    apply_split,
    folds_of,
    leaked,
    measured_part,
    possible_folds,
    read_split,
    split,
    split_csv,
    strata_of,
    units_of,
)
from striate.errors import RequestError
from striate.storage import write_text
from striate.tasks import Classification, Multilabel, Regression, Task


def usable(*entries: tuple[int, object, str]) -> list[Usable]:
    """Entries of (label, content, part)."""
    return [
        Usable(Item(f"{n}.png", label, part), Record(f"{content}")) for n, (label, content, part) in enumerate(entries)
    ]


def found(entries: list[Usable], task: Task = Classification(tuple(map(str, range(20))))) -> Audit:  # noqa: B008
    return Audit(task, entries, [])


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
    audited = Audit(Classification(("one", nasty)), entries, [Oddity("bad.jpg", "empty", "zero bytes")])
    rows = list(csv.reader(io.StringIO(split_csv(audited, ["train", "val"]), newline="")))
    assert rows == [
        ["path", "class", "part", "fold", "why"],
        ["0.png", "one", "train", "", ""],
        ["1.png", nasty, "val", "", ""],
        ["bad.jpg", "", "set aside", "", "empty: zero bytes"],
    ]


# Groups, several labels, numbers


def grouped(*rows: tuple[object, str]) -> list[Usable]:
    """Entries of (target, group), no two alike."""
    return [Usable(Item(f"{n}.png", target, group=group), Record(f"{n:04d}")) for n, (target, group) in enumerate(rows)]


def held(parts: list[str]) -> np.ndarray:
    return np.array([part == "val" for part in parts])


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_held_out_whole_and_near_the_share_that_is_wanted(seed: int) -> None:
    generator = np.random.default_rng(7)
    rows = [(int(generator.integers(2)), f"patient {patient}") for patient in range(40) for _ in range(5)]
    entries = grouped(*rows)
    parts = split(found(entries, Classification(tuple("01"))), 0.2, seed)
    for patient in range(40):
        assert len({part for part, (_, group) in zip(parts, rows, strict=True) if group == f"patient {patient}"}) == 1
    assert 35 <= held(parts).sum() <= 45  # of 200: the wanted fifth, give or take one group
    for target in (0, 1):
        of_class = np.array([row[0] == target for row in rows])
        assert 0.13 <= held(parts)[of_class].mean() <= 0.27


def test_one_large_group_is_learnt_from() -> None:
    entries = grouped(*[(n % 2, "all") for n in range(30)])
    assert set(split(found(entries, Classification(tuple("01"))), 0.2, 0)) == {"train"}


def test_twins_join_groups() -> None:
    entries = grouped((0, "a"), (0, "b"), (1, ""), (1, "c"), (0, "a"))
    entries[3] = Usable(entries[3].item, entries[1].record)  # c's picture is b's as well
    assert sorted(map(sorted, units_of([*entries]))) == [[0, 4], [1, 3], [2]]
    assert sorted(map(sorted, units_of([*entries], [[0, 1, 2]]))) == [[0, 1, 2, 3, 4]]


def several(count: int, seed: int = 0) -> list[Usable]:
    """Images of 4 labels, the last of which is rare."""
    table = np.random.default_rng(seed).random((count, 4)) < (0.5, 0.3, 0.3, 0.08)
    return grouped(*((tuple(np.flatnonzero(row).tolist()), "") for row in table))


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_held_out_in_proportion(seed: int) -> None:
    entries = several(300)
    audited = found(entries, Multilabel(tuple("0123")))
    parts, table = held(split(audited, 0.2, seed)), strata_of(audited.task, entries).table
    assert table.shape == (300, 5)
    assert table[:, 4].tolist() == [not entry.item.target for entry in entries]
    shares = table[parts].sum(0) / table.sum(0)
    assert np.abs(shares - 0.2).max() <= 0.05, shares


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_held_out_tenth_by_tenth(seed: int) -> None:
    numbers = np.random.default_rng(1).lognormal(3, 2, 200)
    parts = held(split(found(grouped(*((float(number), "") for number in numbers)), Regression(("n",))), 0.2, seed))
    tenths = np.argsort(np.argsort(numbers)) * 10 // 200
    assert np.bincount(tenths[parts], minlength=10).tolist() == [4] * 10


def test_equal_numbers_are_one_stratum() -> None:
    parts = split(found(grouped(*[(3.5, "")] * 20), Regression(("n",))), 0.2, 0)
    assert held(parts).sum() == 4


# Folds

MIXED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25), st.integers(0, 12)), min_size=4, max_size=60)


@given(MIXED, st.integers(2, 6), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_every_chosen_image_is_in_one_fold_and_units_are_whole(rows: list, folds: int, seed: int, random) -> None:  # type: ignore[no-untyped-def]
    # Contents repeat, and half of the images have a group.
    entries = [
        Usable(Item(f"{n}", target, group=f"g{group}" if group < 6 else ""), Record(f"{content}"))
        for n, (target, content, group) in enumerate(rows)
    ]
    places = sorted(random.sample(range(len(entries)), max(2, len(entries) * 3 // 4)))
    audited = found(entries, Classification(tuple("0123")))
    whole = [set(unit) & set(places) for unit in units_of(entries)]
    units = [unit for unit in whole if unit]
    if len(units) < folds:
        with pytest.raises(RequestError, match=f"{folds} folds need as many images, .* there are {len(units)}"):
            folds_of(audited, folds, seed, places)
        return
    fold = folds_of(audited, folds, seed, places)
    assert fold.shape == (len(entries),)
    assert [place for place in range(len(entries)) if fold[place] >= 0] == places
    assert set(fold[places].tolist()) == set(range(folds))
    assert all(len({int(fold[place]) for place in unit}) == 1 for unit in units)
    assert fold.tolist() == folds_of(audited, folds, seed, places).tolist()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(2, 7), st.integers(0, 1000))
def test_folds_of_distinct_images_are_even_in_every_class(counts: list[int], folds: int, seed: int) -> None:
    entries = distinct(*counts)
    if len(entries) < folds:
        return
    fold = folds_of(found(entries), folds, seed)
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label, count in enumerate(counts):
        mine = np.bincount(fold[[entry.item.target == label for entry in entries]], minlength=folds)
        assert mine.max() - mine.min() <= 1 and mine.sum() == count


@given(LABELLED, st.integers(0, 100), st.randoms(use_true_random=False))
def test_folds_hang_on_neither_names_nor_order(rows: list, seed: int, random) -> None:  # type: ignore[no-untyped-def]
    entries = usable(*rows)
    if len({entry.record.digest for entry in entries}) < 2:
        return
    fold = folds_of(found(entries), 2, seed).tolist()
    shuffled = list(zip(entries, fold, strict=True))
    random.shuffle(shuffled)
    renamed = [Usable(Item(f"other/{n}", e.item.target), e.record) for n, (e, _) in enumerate(shuffled)]
    assert folds_of(found(renamed), 2, seed).tolist() == [number for _, number in shuffled]


def test_folds_that_are_possible() -> None:
    entries = grouped((0, "a"), (0, "a"), (1, "b"), (1, ""), (0, ""))
    assert possible_folds(found(entries), 3) == 3
    assert possible_folds(found(entries), 9) == 4
    assert possible_folds(found(entries), 9, [0, 1, 3]) == 2
    assert possible_folds(found([]), 9) == 0


# A saved split is applied again


TWO = Classification(("a", "b"))


@dataclass(frozen=True)
class Listed:
    """A source that is only a list."""

    items: tuple[Item, ...]
    name: str = "set"
    identity: str = "set"
    task: Task = TWO
    oddities: tuple[Oddity, ...] = ()


def listed(keys: Iterable[str]) -> Listed:
    return Listed(tuple(Item(key, number % 2) for number, key in enumerate(keys)))


NASTY = ['a, "b".png', "two\nlines.png", "back\r.png", "both\r\n.png", '"', " blank ", "caf\udce9.png", "é,", "'"]
KEYS = st.lists(
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from("\udc80\udcff"), min_size=1
    ),
    min_size=1,
    max_size=12,
    unique=True,
)


@settings(max_examples=60)
@given(KEYS, st.integers(0, 3))
@example(NASTY, 0)
def test_a_saved_split_is_applied_again(keys: list[str], seed: int) -> None:
    import tempfile

    entries = [Usable(Item(key, number % 2), Record(f"{number}")) for number, key in enumerate(keys)]
    parts = [("train", "val", "test")[(number + seed) % 3] for number in range(len(keys))]
    audited = Audit(TWO, entries, [Oddity("bad, one", "empty", "zero bytes")])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.csv"
        write_text(path, split_csv(audited, parts, np.arange(len(keys)) - 1))
        saved = read_split(path)
        again, lines = apply_split(listed(keys), path)  # type: ignore[arg-type]
    assert saved == dict(zip(keys, parts, strict=True))
    assert [item.part for item in again.items] == parts
    assert lines == []


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_the_split_of_real_files_with_nasty_names(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for folder in ("one, two", 'the "other"'):
        (root / folder).mkdir(parents=True)
        for name in ("a\nb.png", "c\rd.png", os.fsdecode(b"\xff.png"), "e,f.png"):
            (root / folder / name).write_bytes(b"x")
    source = open_folder(root)
    entries = [Usable(item, Record(f"{number}")) for number, item in enumerate(source.items)]
    parts = ["val" if number % 3 == 0 else "train" for number in range(len(entries))]
    write_text(tmp_path / "split.csv", split_csv(Audit(source.task, entries, []), parts))
    again, lines = apply_split(source, tmp_path / "split.csv")
    assert [item.part for item in again.items] == parts and len(parts) == 8
    assert lines == []


def saved_as(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "split.csv"
    path.write_text(text, "utf-8", newline="")
    return path


def test_an_unknown_part_is_refused_with_its_line(tmp_path: Path) -> None:
    path = saved_as(tmp_path, 'path,class,part,fold,why\r\n"two\nlines",a,train,,\r\nb,b,trian,,\r\n')
    with pytest.raises(
        RequestError, match=r"part in line 4 of '.*split\.csv': 'trian'; did you mean 'train'"
    ) as caught:
        read_split(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "path\nx\n", "\0\n"])
def test_what_is_no_split_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"split\.csv' is (not a split: .* path and part|empty|not text)"):
        read_split(saved_as(tmp_path, text))


def test_a_split_that_is_not_there_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read the split"):
        read_split(tmp_path / "nothing.csv")
    with pytest.raises(RequestError, match="cannot read the split"):
        read_split(tmp_path)
    with pytest.raises(RequestError, match="part in line 2"):
        read_split(saved_as(tmp_path, "path,class,part\nx\n"))


def test_a_split_of_other_images_is_refused(tmp_path: Path) -> None:
    path = saved_as(tmp_path, "path,part\nelse/x.png,train\n")
    with pytest.raises(RequestError, match=r"lists no image of 'set'; its first is 'else/x.png'"):
        apply_split(listed(["a.png", "b.png"]), path)  # type: ignore[arg-type]


def test_new_and_vanished_images_are_told(tmp_path: Path) -> None:
    path = saved_as(tmp_path, "path,part\na,val\ngone,train\nalso gone,test\nb,train\nodd,set aside\n")
    again, lines = apply_split(listed(["a", "new", "b", "odd"]), path)  # type: ignore[arg-type]
    assert [(item.key, item.part) for item in again.items] == [
        ("a", "val"), ("new", "train"), ("b", "train"), ("odd", "train"),
    ]  # fmt: skip
    assert lines == [
        "2 images are not in the saved split and are trained on, e.g. 'new'",
        "2 images of the saved split no longer exist, e.g. 'also gone'",
    ]


# Near-duplicates


def test_near_twins_leak_as_equal_ones_do() -> None:
    entries = usable((0, "x", "train"), (0, "y", "val"), (0, "z", "val"), (1, "w", "val"), (1, "v", "train"))
    audited = Audit(TWO, entries, [], near=[[0, 2], [1, 3]])
    parts = split(audited, 0.2, 0)
    assert leaked(audited, parts, "val").tolist() == [False, True, False]


def test_a_group_is_no_leak() -> None:
    entries = grouped((0, "p"), (0, "p"))
    assert leaked(found(entries), ["train", "val"], "val").tolist() == [False]


def test_near_twins_stay_on_one_side() -> None:
    entries = distinct(20, 20)
    near = [[n, n + 1] for n in range(0, 40, 2)]
    audited = Audit(TWO, entries, [], near=near)
    parts, fold = split(audited, 0.3, 0), folds_of(audited, 4, 0)
    assert parts.count("val") == 12
    assert all(parts[one] == parts[other] and fold[one] == fold[other] for one, other in near)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("path,part\na.jpg,train\na.jpg,val\n", "another part than an earlier line"),
        ("path,part\na.jpg,trian\n", "line 2"),
        ("path,class\na.jpg,x\n", "must have the columns"),
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


FORMULAS = ["=HYPERLINK(1)", "+a", "-a", "@a", "\ta", "./=a", "././-a", "=a,b\nc"]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_of_a_saved_split_is_a_formula(name: str, tmp_path: Path) -> None:
    entries = usable((0, "x", ""), (1, "y", ""))
    entries = [
        Usable(replace(entry.item, key=f"{name}{place}.png"), entry.record) for place, entry in enumerate(entries)
    ]
    audited = Audit(Classification(("one", name)), entries, [Oddity(name, "empty", "zero bytes")])
    path = saved_as(tmp_path, split_csv(audited, ["train", "val"]))
    with open(path, encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert read_split(path) == {f"{name}0.png": "train", f"{name}1.png": "val"}


def test_numbers_and_older_files_are_read_as_they_are(tmp_path: Path) -> None:
    assert [as_cell(text) for text in ("-1.5", "+3", "1e-3", "a=b", "./a")] == ["-1.5", "+3", "1e-3", "a=b", "./a"]
    path = saved_as(tmp_path, "path,class,part,fold,why\n=a.png,one,train,,\n./b.png,one,val,,\n")
    assert read_split(path) == {"=a.png": "train", "./b.png": "val"}


@given(st.text(st.sampled_from("./=+-@\t1a"), max_size=8))
def test_cells_are_read_back(text: str) -> None:
    assert from_cell(as_cell(text)) == text
