"""Manifests: every task and column, rows set aside with their line, and any bytes answered in one line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate import audit
from striate.data.opening import open_source
from striate.data.sources import base as sources
from striate.data.sources.base import file_stamp, notes_of
from striate.data.sources.files import FileSource
from striate.data.sources.labels import is_missing
from striate.data.sources.manifest import open_manifest
from striate.data.sources.names import clean, look_alike
from striate.errors import RequestError

Cli = Callable[..., tuple[int, str, str]]


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four images, a.png to d.png, and e.png in a folder of its own."""
    for number, name in enumerate(["a.png", "b.png", "c.png", "d.png", "sub/e.png"]):
        picture(tmp_path / name, number)
    return tmp_path


def manifest(place: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = place / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def aside(source: FileSource) -> dict[str, tuple[str, str]]:
    return {oddity.path: (oddity.kind, oddity.why) for oddity in source.oddities}


def targets(source: FileSource) -> dict[str, object]:
    return {item.key: item.target for item in source.items}


# What is read


def test_one_class_an_image(place: Path) -> None:
    source = open_source(manifest(place, "path,label\na.png,cat\nb.png,dog\nsub/e.png, cat \n"))
    assert isinstance(source, FileSource) and source.name == "labels"
    assert (source.task.kind, source.task.names) == ("classification", ("cat", "dog"))
    assert targets(source) == {"a.png": 0, "b.png": 1, "sub/e.png": 0}
    assert source.oddities == () and notes_of(source) == ()
    item = source.items[2]
    assert source.read(item) == (place / "sub/e.png").read_bytes() and source.peek(item) == (16, 12, 3)
    assert source.decode(source.read(item), 0).size == (16, 12)
    assert len(audit(place / "labels.csv").usable) == 3


def test_several_labels_an_image(place: Path) -> None:
    source = open_manifest(manifest(place, "path,labels\na.png,sun|rain\nb.png,\nc.png,rain | snow|rain\n"))
    assert (source.task.kind, source.task.names) == ("multilabel", ("rain", "snow", "sun"))
    assert targets(source) == {"a.png": (0, 2), "b.png": (), "c.png": (0, 1)}


@pytest.mark.parametrize(("column", "name"), [("number", "number"), ("number:age", "age"), ("Value: Age", "Age")])
def test_a_number_an_image(column: str, name: str, place: Path) -> None:
    source = open_manifest(manifest(place, f"file;{column}\na.png;-3.5\nb.png;1e3\n"))
    assert (source.task.kind, source.task.names) == ("regression", (name,))
    assert targets(source) == {"a.png": -3.5, "b.png": 1000.0}


def test_split_weight_and_group(place: Path) -> None:
    text = "image\tclass\tpart\tweight\tgroup\na.png\tx\tTraining\t2\tp1\nb.png\ty\ttrain\t\t\nc.png\tx\tdev\t0.5\tp2\n"
    source = open_manifest(manifest(place, text, "set.tsv"))
    assert [(item.part, item.weight, item.group) for item in source.items] == [
        ("train", 2.0, "p1"),
        ("train", 1.0, ""),
        ("val", 0.5, "p2"),
    ]


def test_json_lines(place: Path) -> None:
    rows = [
        {"path": "a.png", "labels": ["b|c", "a"], "split": "train", "weight": 2, "id": 7},
        {"path": "b.png", "labels": [], "split": "test"},
        {"path": "c.png", "labels": None, "split": "test", "group": 12},
        {"path": "d.png", "labels": "a|z", "split": "val"},
    ]
    source = open_source(manifest(place, "\n\n".join(map(json.dumps, rows)) + "\n", "set.jsonl"))
    assert isinstance(source, FileSource)
    assert source.task.names == ("a", "b|c", "z")
    assert targets(source) == {"a.png": (0, 1), "b.png": (), "c.png": (), "d.png": (0, 2)}
    assert [item.group for item in source.items] == ["", "", "12", ""]
    assert source.notes == ("columns not used: id",)


def test_labels_of_json_may_be_whole_numbers(place: Path) -> None:
    rows = [{"path": "a.png", "label": 10}, {"path": "b.png", "label": 9}]
    assert open_manifest(manifest(place, "\n".join(map(json.dumps, rows)), "n.jsonl")).task.names == ("9", "10")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffpath,label\r\na.png,x\r\nb.png,y\r\n",
        "\ufeffPath;Label\na.png;x\nb.png;y",
        '"path","label"\n"a.png","x"\nb.png,y\n',
    ],
    ids=["excel", "semicolons", "quoted"],
)
def test_csv_as_programs_write_it(text: str, place: Path) -> None:
    assert targets(open_manifest(manifest(place, text))) == {"a.png": 0, "b.png": 1}


def test_paths(place: Path, tmp_path: Path) -> None:
    picture(tmp_path / "other" / "f.png", 9)
    picture(tmp_path / " g.png", 10)
    (tmp_path / "lists").mkdir()
    paths = ["../a.png", "./../sub//e.png", "..\\other\\f.png", f"{tmp_path}/b.png", "../ g.png", " ../c.png "]
    text = "path,label\n" + "".join(f"{path},x\n" for path in paths)
    source = open_manifest(manifest(tmp_path / "lists", text))
    absolute = (tmp_path / "b.png").as_posix()
    assert list(targets(source)) == ["../a.png", "../sub/e.png", "../other/f.png", absolute, "../ g.png", "../c.png"]
    assert all(len(source.read(item)) > 100 for item in source.items)


def test_quoted_fields_hold_anything_and_lines_are_counted(place: Path) -> None:
    source = open_manifest(manifest(place, 'path,label\na.png,"x\ny, ""z"""\n\nnone.png,x\nb.png,x\n'))
    assert source.task.names == ("x", 'x\ny, "z"')
    assert aside(source) == {"none.png": ("missing-file", "line 5: No such file or directory")}


def test_stamps_change_with_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_stamp(place / "a.png") == ""  # written just now: it might be written again, unnoticed
    monkeypatch.setattr(sources, "TICK", 0)
    source = open_manifest(manifest(place, "path,label\na.png,x\nb.png,y\n"))
    first, second = (source.stamp(item) for item in source.items)
    assert first == source.stamp(source.items[0]) and first != second
    size, mtime, _, inode = first.split(":")
    found = (place / "a.png").stat()
    assert (int(size), int(mtime), int(inode)) == (found.st_size, found.st_mtime_ns, found.st_ino)
    os.utime(place / "a.png", ns=(1, 1))
    assert source.stamp(source.items[0]) != first
    assert file_stamp(place / "none") == "" and file_stamp(Path("nul\0byte")) == ""


# What is set aside


BAD_ROWS = {
    "missing": ("none.png,x,,", "missing-file", "No such file"),
    "folder": ("sub,x,,", "missing-file", "a folder"),
    "no path": (",x,,", "bad-row", "no path"),
    "no label": ("c.png,,,", "no-label", "no label"),
    "short": ("c.png,x", "bad-row", "2 fields where the header has 4"),
    "long": ("c.png,x,,,,", "bad-row", "6 fields where the header has 4"),
    "split": ("c.png,x,tset,", "bad-row", "did you mean 'test'"),
    "weight": ("c.png,x,,heavy", "bad-row", "'heavy' is not a number"),
    "zero": ("c.png,x,,0", "bad-row", "not above 0"),
    "negative": ("c.png,x,,-1", "bad-row", "not above 0"),
    "infinite": ("c.png,x,,inf", "bad-row", "not finite"),
    "grouped": ("c.png,x,,1_000", "bad-row", "not a number"),
    "too long a name": (f"{'n' * 5000},x,,", "missing-file", "too long"),
}


@pytest.mark.parametrize(("row", "kind", "why"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_row_that_cannot_be_used_is_set_aside_with_its_line(row: str, kind: str, why: str, place: Path) -> None:
    path = manifest(place, f"path,label,split,weight\na.png,x,,\n{row}\nb.png,y,,\n")
    source = open_manifest(path)
    assert list(targets(source)) == ["a.png", "b.png"]
    [oddity] = source.oddities
    assert oddity.kind == kind and oddity.why.startswith("line 3: ") and why in oddity.why
    found = audit(path)
    assert kind in found.last_line() and len(found.usable) == 2


@pytest.mark.parametrize("value", ['"3,5"', "x", "nan", "", "-inf", "1e999", "٣_٣"])
def test_bad_numbers(value: str, place: Path) -> None:
    source = open_manifest(manifest(place, f"path,number\na.png,1\nb.png,{value}\n"))
    assert list(targets(source)) == ["a.png"] and aside(source)["b.png"][0] == "bad-row"


@pytest.mark.parametrize(
    "value",
    ["true", "3.5", "{}", '["a"]', "null", '"\\ud800"', '""', "9" * 4200],
    ids=["bool", "fraction", "object", "list", "null", "surrogate", "empty", "long"],
)
def test_bad_labels_of_json(value: str, place: Path) -> None:
    text = f'{{"path": "a.png", "label": "x"}}\n{{"path": "b.png", "label": {value}}}\n'
    source = open_manifest(manifest(place, text, "s.jsonl"))
    if value.startswith("9"):  # long, but a name all the same
        assert len(source.items) == 2
        return
    assert list(targets(source)) == ["a.png"] and aside(source)["b.png"][1].startswith("line 2: ")


def test_paths_that_no_file_can_have(place: Path, cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"path": name, "label": "x"} for name in ("a.png", "nul\0byte", "\ud800", "\udcff", 3, True, ["a.png"], "b\nc")
    ]
    path = manifest(place, "\n".join(map(json.dumps, rows)), "s.jsonl")
    source = open_manifest(path)
    assert list(targets(source)) == ["a.png"] and len(source.oddities) == 7
    code, out, _ = cli("audit", path)
    assert code == 0 and "set aside" in out


def test_the_same_file_twice(place: Path) -> None:
    text = "path,label,weight\na.png,x,\n./a.png,x,1\nb.png,x,\nb.png,y,\nc.png,y,\nc.png,y,2\nd.png,y,\n"
    source = open_manifest(manifest(place, text))
    assert list(targets(source)) == ["a.png", "d.png"]
    assert source.notes == ("1 rows repeat an earlier row, and are ignored",)
    assert aside(source) == {
        "b.png": ("bad-row", "lines 4, 5 contradict each other"),
        "c.png": ("bad-row", "lines 6, 7 contradict each other"),
    }


def test_rows_without_a_split_beside_rows_with_one(place: Path) -> None:
    source = open_manifest(manifest(place, "path,label,split\na.png,x,train\nb.png,y,\nc.png,y,val\n"))
    assert {item.key: item.part for item in source.items} == {"a.png": "train", "c.png": "val"}
    assert "no split" in aside(source)["b.png"][1]


def test_all_for_training_is_no_split(place: Path) -> None:
    source = open_manifest(manifest(place, "path,label,split\na.png,x,train\nb.png,y,train\n"))
    assert {item.part for item in source.items} == {""} and "no split" in source.notes[0]


@given(st.lists(st.sampled_from(["a.png", "b.png", "x.png", "", "sub"]), max_size=8), st.data())
@settings(max_examples=40, deadline=None)
def test_no_row_is_silently_dropped(names: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("a.png", "b.png", "sub/e.png"):
            picture(place / name)
        rows = [(name, data.draw(st.sampled_from("xy"))) for name in names]
        text = "path,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
        try:
            source = open_manifest(manifest(place, text))
        except RequestError:
            assert not {"a.png", "b.png"} & set(names) or any(
                {label for name, label in rows if name == one} == {"x", "y"} for one in ("a.png", "b.png")
            )
            return
        told = {item.key for item in source.items} | {oddity.path for oddity in source.oddities}
        assert all(name in told for name in names if name)
        assert len(source.oddities) >= sum(not name for name in names)


# What is no manifest


BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n\n", "is empty"),
    "header only": (b"path,label\n", "lists no usable image"),
    "no path": (b"name,label\na.png,x\n", "no column path (or file, filename, image); it has name, label"),
    "near path": (b"pth,label\na.png,x\n", "did you mean 'path' by 'pth'?"),
    "no target": (b"path,colour\na.png,x\n", "no column label, labels, caption or number; it has path, colour"),
    "near target": (b"path,lable\na.png,x\n", "did you mean 'label' by 'lable'?"),
    "two targets": (b"path,label,number\na.png,x,1\n", "has the columns label and number; one of"),
    "two paths": (b"path,file,label\na.png,a.png,x\n", "two columns for the path, 'path' and 'file'"),
    "all missing": (b"path,label\nq.png,x\n", "lists no usable image; e.g. 'q.png', line 2: No such file"),
    "no labels": (b"path,labels\na.png,\n", "gives no image a label"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0", "not text: a NUL byte in line 3"),
    "nul": (b"path,label\na.png,x\0\n", "a NUL byte in line 2"),
    "latin-1": (b"path,label\na.png,caf\xe9\n", "not UTF-8: line 2 holds the byte 0xe9"),
    "utf-16": ("path,label\na.png,x\n".encode("utf-16")[:-1], "is damaged UTF-16; save it as UTF-8"),
    "xlsx": (b"PK\x03\x04spreadsheet", "save the sheet as CSV"),
    "long field": (b"path,label\na.png," + b"x" * 1_000_000, "line 2: field larger than field limit"),
    "open quote": (b'path,label\na.png,"x\nb.png,y\n', "unexpected end of data"),
    "text after quote": (b'path,label\na.png,"x"y\n', "line 2: "),
    "one column": (b"path\na.png\n", "no column label"),
    "picture": (b"\xff\xd8\xff\xe0JFIF", "not UTF-8"),
}  # fmt: skip
BAD_LINES = {
    "no json": (b"path,label\n", "no JSON object in line 1"),
    "array": (b'[{"path": "a.png"}]\n', "a JSON list in line 1; one object per line"),
    "number": (b"3\n", "a JSON int in line 1"),
    "cut": (b'{"path": "a.png", "label": "x"}\n{"path": "b', "no JSON object in line 2"),
    "deep": (b"[" * 100_000, "nesting too large"),
    "digits": (b'{"path": "a.png", "label": ' + b"9" * 5000 + b"}", "numbers or nesting"),
    "nothing in it": (b"{}\n", "no column path (or file, filename, image); it has none"),
}


@pytest.mark.parametrize(("content", "why"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_files_that_are_no_manifest(content: bytes, why: str, place: Path, cli: Cli) -> None:
    code, out, err = cli("audit", manifest(place, content))
    assert code == 2 and out == "" and why in err and err.count("\n") == 1 and len(err) < 700


@pytest.mark.parametrize(("content", "why"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_files_that_are_no_json_lines(content: bytes, why: str, place: Path, cli: Cli) -> None:
    code, _, err = cli("audit", manifest(place, content, "labels.jsonl"))
    assert code == 2 and why in err and err.count("\n") == 1 and len(err) < 700


def test_absurd_sizes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with open(path, "wb") as file:
        file.write(b"path,label\n")
        file.truncate(2**40)  # holds nothing on disk
    with pytest.raises(RequestError, match="more than 512 MiB"):
        open_source(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_manifest_that_may_not_be_read(place: Path) -> None:
    path = manifest(place, "path,label\na.png,x\n")
    path.chmod(0)
    with pytest.raises(RequestError, match="Permission denied"):
        open_source(path)


HEADS = st.sampled_from([b"", b"path,label\n", b"path;labels\r\n", b"file\tnumber\n", b'{"path": "a.png", "label": '])


@given(HEADS, st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_manifest_or_refused_in_one_line(head: bytes, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        picture(Path(folder) / "a.png")
        for name in ("labels.csv", "labels.jsonl"):
            try:
                source = open_source(manifest(Path(folder), head + tail, name))
            except RequestError as error:
                assert "labels" in str(error)
            else:
                assert source.items


# Without what separates labels or stands for a missing one, and as names are written: see test_names.py.
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0|;,[](){}"), min_size=1, max_size=12)
NAMES = NAMES.filter(lambda name: clean(name) == name and not is_missing(name) and len(name.split()) == 1)


@given(st.lists(st.lists(NAMES, max_size=3, unique_by=look_alike), min_size=1, max_size=6), st.sampled_from(",;\t"))
@settings(max_examples=100, deadline=None)
def test_label_names_come_back_as_they_were_written(rows: list[list[str]], delimiter: str) -> None:
    if not any(rows):
        rows = [*rows, ["x"]]
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter)
    writer.writerows([["path", "labels"], *([f"{n}.png", "|".join(row)] for n, row in enumerate(rows))])
    lines = "\n".join(json.dumps({"path": f"{n}.png", "labels": row}) for n, row in enumerate(rows))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(rows)):
            (Path(folder) / f"{number}.png").write_bytes(b"x")
        for name, text in (("l.csv", table.getvalue()), ("l.jsonl", lines)):
            source = open_manifest(manifest(Path(folder), text, name))
            said = [{look_alike(source.task.names[place]) for place in item.target} for item in source.items]
            assert said == [set(map(look_alike, row)) for row in rows]


# Finding it


def test_a_folder_of_images_with_a_manifest_suggests_it(place: Path) -> None:
    manifest(place, "path,label\na.png,x\n", "metadata.csv")
    for one in (place / "sub").iterdir():
        one.unlink()
    with pytest.raises(RequestError, match=r"no images in .*or did you mean '.*metadata\.csv'\?"):
        open_source(place)


def test_misspelt_manifests(place: Path) -> None:
    manifest(place, "path,label\na.png,x\n")
    with pytest.raises(RequestError, match=r"did you mean '.*labels\.csv'\?"):
        open_source(place / "labels.cvs")
    manifest(place, "path,label\na.png,x\n", "list.cvs")
    with pytest.raises(RequestError, match=r"should '\.cvs' be '\.csv'\?"):
        open_source(place / "list.cvs")


def test_what_is_not_used_is_told(place: Path, cli: Cli) -> None:
    path = manifest(place, "path,label,camera,\na.png,x,1,\nb.png,y,2,\n")
    code, _, err = cli("audit", path)
    assert code == 0 and err == "columns not used: camera, (no name)\n"


@pytest.mark.parametrize(("row", "why"), [("1e300", "exceeds 1e\\+30"), ("-2e30", "exceeds 1e\\+30")])
def test_numbers_that_no_net_can_answer_are_set_aside(tmp_path: Path, row: str, why: str) -> None:
    for name in "ab":
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "n.csv").write_text(f"path,number\na.png,3\nb.png,{row}\n", "utf-8")
    source = open_manifest(tmp_path / "n.csv")
    assert [item.target for item in source.items] == [3.0]
    assert re.search(why, source.oddities[0].why)


@pytest.mark.parametrize("weight", ["1e300", "1e-300", "2e6"])
def test_weights_that_would_silence_all_others_are_set_aside(tmp_path: Path, weight: str) -> None:
    for name in "ab":
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "n.csv").write_text(f"path,label,weight\na.png,x,1\nb.png,y,{weight}\n", "utf-8")
    source = open_manifest(tmp_path / "n.csv")
    assert [item.key for item in source.items] == ["a.png"]
    assert "is not within 1e-06 to 1e+06" in source.oddities[0].why
