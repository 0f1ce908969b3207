"""Tables as people and programs write them: delimiters, several labels in a cell, missing values, other formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.opening import open_source
from striate.data.sources.base import Source, notes_of
from striate.errors import RequestError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with four pictures, 0.png to 3.png."""
    for number in range(4):
        Image.new("L", (8, 8), 50 * number).save(tmp_path / f"{number}.png")
    return tmp_path


def table(place: Path, *lines: str, name: str = "labels.csv", encoding: str = "utf-8") -> Source:
    (place / name).write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    return open_source(place / name)


def labels(source: Source) -> list[str]:
    return [source.task.text(item.target) for item in source.items]


HEADS = {
    "comma": ("path,label", ","),
    "semicolon": ("path;label", ";"),
    "tab": ("path\tlabel", "\t"),
    "bar": ("path|label", "|"),
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("excel", [False, True])
def test_delimiters_as_spreadsheets_write_them(kind: str, mark: str, excel: bool, place: Path) -> None:
    head, delimiter = HEADS[kind]
    lines = [f"sep={delimiter}"] if excel else []
    lines += [head, *(f"{n}.png{delimiter}{'ab'[n % 2]}" for n in range(4)), f"9.png{delimiter}a"]
    source = table(place, mark + lines[0], *lines[1:])
    assert labels(source) == list("abab")
    assert source.oddities[0].why.startswith(f"line {len(lines)}: ")  # lines are counted as in the file


def test_unicode_text_of_excel(place: Path) -> None:
    assert labels(table(place, "path\tlabel", "0.png\té", "1.png\tb", encoding="utf-16")) == ["é", "b"]


SEPARATED = {
    "bar": ["a|c", "b|c", "c", "a"],
    "semicolon": ["a;c", "b; c", "c", "a"],
    "comma": ['"a,c"', '"b, c"', "c", "a"],
    "python": ["\"['a', 'c']\"", "\"['b', 'c']\"", "['c']", "['a']"],
    "json": ['"[""a"", ""c""]"', '"[""b"", ""c""]"', '"[""c""]"', '"[""a""]"'],
    "plain list": ['"[a, c]"', '"[b, c]"', "[c]", "[a]"],
    "set": ["\"{'a', 'c'}\"", "\"{'b', 'c'}\"", "{'c'}", "{'a'}"],
    "blank": ["a c", "b c", "c", "a"],
}


@pytest.mark.parametrize("kind", SEPARATED)
def test_several_labels_in_a_cell(kind: str, place: Path) -> None:
    source = table(place, "path,labels", *(f"{n}.png,{cell}" for n, cell in enumerate(SEPARATED[kind])))
    assert source.task.names == ("a", "b", "c") and labels(source) == ["a, c", "b, c", "c", "a"]
    assert len(notes_of(source)) == (kind != "bar")  # what is not the usual sign is told


def test_an_empty_list_is_no_label(place: Path) -> None:
    source = table(place, "path,labels", "0.png,['a']", "1.png,[]")
    assert [item.target for item in source.items] == [(0,), ()]


def test_labels_with_blanks_stay_whole_and_it_is_told(place: Path) -> None:
    source = table(place, "path,labels", "0.png,red fox", "1.png,arctic fox")
    assert source.task.names == ("arctic fox", "red fox")
    assert "read as one label each" in notes_of(source)[0]


@pytest.mark.parametrize("value", ["nan", "NaN", "N/A", "NA", "NULL", "null", "None", "<NA>", "#N/A", ""])
@pytest.mark.parametrize("column", ["label", "labels"])
def test_missing_labels_are_told_and_are_no_class(value: str, column: str, place: Path) -> None:
    source = table(place, f"path,{column}", "0.png,a", f"1.png,{value}", "2.png,b")
    assert source.task.names == ("a", "b")
    if value or column == "label":
        assert [(oddity.path, oddity.kind) for oddity in source.oddities] == [("1.png", "no-label")]


def test_a_class_called_none_is_a_class(place: Path) -> None:
    assert table(place, "path,label", "0.png,none", "1.png,scratch").task.names == ("none", "scratch")


SPLIT = (
    ["Training", "train_set", "TRAIN", "train"],
    {
        "val": ["eval", "holdout", "dev-set", "valid", "Validation", "hold_out"],
        "test": ["Test", "testing", "tst", "test-set"],
    },
)


@pytest.mark.parametrize(("word", "part"), [(word, part) for part, words in SPLIT[1].items() for word in words])
def test_words_for_parts(word: str, part: str, place: Path) -> None:
    lines = [f"{n}.png,{'ab'[n % 2]},{word if n > 1 else SPLIT[0][n]}" for n in range(4)]
    assert [item.part for item in table(place, "path,label,split", *lines).items] == ["train", "train", part, part]


def test_an_unknown_word_for_a_part_is_an_error_that_names_those_that_would_do(place: Path) -> None:
    lines = [f"{n}.png,{'ab'[n % 2]},{'secret' if n == 3 else 'train'}" for n in range(4)]
    with pytest.raises(RequestError, match=r"unknown split in the manifest .*1 rows.*'secret'; known: train, val"):
        table(place, "path,label,split", *lines)


@pytest.mark.parametrize("head", ["file_name,label", "image_path,category", "img,class_name", "filepath,label"])
def test_usual_names_of_columns(head: str, place: Path) -> None:
    assert labels(table(place, head, "0.png,a", "1.png,b")) == ["a", "b"]


def test_the_documented_name_rules_over_a_usual_one(place: Path) -> None:
    assert labels(table(place, "image_path,path,category,label", "x,0.png,y,a", "x,1.png,y,b")) == ["a", "b"]


def test_one_hot_columns_are_classes_or_labels(place: Path) -> None:
    source = table(place, "filename,ants,bees", "0.png,1,0", "1.png,0,1")
    assert source.task.kind == "classification" and labels(source) == ["ants", "bees"]
    assert "ants, bees hold 0 and 1" in notes_of(source)[0]
    source = table(place, "filename,split,ants,bees,size", "0.png,train,1,1,9", "1.png,val,0,0,8", "2.png,train,0,1,7")
    assert source.task.kind == "multilabel" and [item.target for item in source.items] == [(0, 1), (), (1,)]


def test_numbers_of_two_values_are_told_to_be_numbers(place: Path) -> None:
    source = table(place, "path,target", *(f"{n}.png,{n % 2}" for n in range(4)))
    assert source.task.kind == "regression" and "name the column label" in notes_of(source)[0]


PIXELS = "1," + "0," * 63 + "0"
OTHER_TABLES = {
    "no header": (["0.png,a", "1.png,b"], "no header line: its first line is '0.png,a'"),
    "no header, folders": (["images/0,a", "images/1,b"], "no header line"),
    "pixels in a cell": (["emotion,pixels,Usage", "0,0 0 0,Training"], "holds the pixels themselves"),
    "a column a pixel": (["label," + ",".join(f"pixel{n}" for n in range(64)), PIXELS], "pixels themselves"),
    "MNIST as CSV": (["label," + ",".join(f"{r}x{c}" for r in range(8) for c in range(8)), PIXELS], "pixels"),
    "Label Studio": (["annotation_id,choice,id,image,lead_time", "0,ants,0,/data/upload/1/0.png,1"], "Label Studio"),
    "near": (["paht,label", "0.png,a"], "did you mean 'path' by 'paht'"),
    "far": (["ants,bees", "1,0"], "has no column path (or file, filename, image); it has ants, bees"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER_TABLES)
def test_a_table_of_another_kind_is_called_what_it_is(kind: str, place: Path) -> None:
    lines, why = OTHER_TABLES[kind]
    with pytest.raises(RequestError) as caught:
        table(place, *lines)
    assert why in str(caught.value) and ("did you mean" in str(caught.value)) == (kind == "near")


COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 8, "file_name": "1.png"}, {"id": 9, "file_name": "2.png"}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [{"image_id": 7, "category_id": 1}, {"image_id": 8, "category_id": 2}],
}


def studio(image: str, *choices: str) -> dict[str, object]:
    """A task of Label Studio with its annotation."""
    return {"data": {"image": image}, "annotations": [{"result": [{"value": {"choices": list(choices)}}]}]}


EXPORTS = {
    "list": [{"path": "0.png", "label": "cat"}, {"path": "1.png", "label": "dog"}],
    "coco": COCO,
    "Label Studio": [studio("/data/upload/3/0.png", "cat"), studio("/data/upload/3/0a1b2c3d-1.png", "dog")],
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_json_exports(kind: str, place: Path) -> None:
    source = table(place, json.dumps(EXPORTS[kind]), name="export.json")
    assert source.task.kind == "classification"
    assert [(item.key, source.task.text(item.target)) for item in source.items] == [("0.png", "cat"), ("1.png", "dog")]


def test_json_exports_with_several_labels(place: Path) -> None:
    more = {**COCO, "annotations": [*COCO["annotations"], {"image_id": 8, "category_id": 1}]}
    for content in (more, [studio("0.png", "cat"), studio("1.png", "dog", "cat")]):
        source = table(place, json.dumps(content), name="export.json")
        assert source.task.kind == "multilabel" and [item.target for item in source.items] == [(0,), (0, 1)]


NO_EXPORTS = ["{", "3", "[]", "[3]", "{}", '{"images": 3}', '{"images": [3]}', "[" * 10**5, '{"images": []}']


@pytest.mark.parametrize("content", NO_EXPORTS, ids=range(len(NO_EXPORTS)))
def test_json_of_another_kind_is_refused_in_one_line(content: str, place: Path) -> None:
    with pytest.raises(RequestError) as caught:
        table(place, content, name="export.json")
    assert "\n" not in str(caught.value) and "export.json" in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [np.array([[0], [1], [0]]), np.array([["a"], ["b"], ["a"]]), np.eye(2)[[0, 1, 0]]],
    ids=["n1", "text", "one-hot"],
)
def test_arrays_with_one_label_in_a_row(given: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.zeros((3, 5, 5), np.uint8), labels=given)
    source = open_source(tmp_path / "d.npz")
    assert [item.target for item in source.items] == [0, 1, 0]
    if given.shape[1] == 1:
        assert [item.target for item in open_source((np.zeros((3, 5, 5), np.uint8), given)).items] == [0, 1, 0]
