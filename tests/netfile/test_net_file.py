"""Net files: what is read, with the shape after every row, and what is refused, with the row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.netfile import Plan, parse, plan
from striate.netfile.words import KINDS

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "net-files").glob("*.toml"))
BLOCK = """
[block.basic]
parameters = { out = 0, stride = 1 }
table = '''
conv3-{out}/{stride} bn relu
conv3-{out} bn
add in via conv1-{out}/{stride} bn
relu
'''
"""


def net(rows: str, more: str = "", head: str = "") -> str:
    return f"input = [3, 32, 32]\n{head}\ntable = '''\n{rows}\n'''\n{more}"


def planned(text: str, classes: int = 10, **parameters: int) -> Plan:
    read = parse(text)
    return plan(read, classes=classes, shape=read.input, parameters=parameters)


def test_the_shape_after_every_row() -> None:
    found = planned(
        net("conv3-16 bn relu x2\nbasic(32, 2)\nbasic(32)\nmaxpool3/2 ceil\nglobalavgpool\nfc-classes", BLOCK)
    )
    assert [(row.label, row.shape) for row in found.rows] == [
        ("conv", (16, 32, 32)),
        ("conv", (16, 32, 32)),
        ("basic", (32, 16, 16)),
        ("basic", (32, 16, 16)),
        ("maxpool", (32, 8, 8)),
        ("globalavgpool", (32,)),
        ("fc", (10,)),
    ]
    assert found.maps == 5
    first, second = found.rows[2].block, found.rows[3].block
    assert first is not None and second is not None
    assert [word.kind for word in first.rows[2].via] == ["conv", "bn"]
    assert second.rows[2].via == ()  # the shapes are equal: nothing is between


def test_a_convolution_before_a_batch_normalisation_has_no_bias() -> None:
    rows = planned(net("conv3-8 bn relu\nconv3-8 relu\nconv3-8 nobias\nglobalavgpool fc-classes")).rows
    assert [row.layers[0].bias for row in rows[:3]] == [False, True, False]


def test_parameters_of_the_file_and_expressions_of_them() -> None:
    text = net("conv3-{width // 2 + 1}\nglobalavgpool\nfc-classes", head="parameters = { width = 16 }")
    assert planned(text).rows[0].shape == (9, 32, 32)
    assert planned(text, width=30).rows[0].shape == (16, 32, 32)
    with pytest.raises(RequestError, match=r"unknown parameter of the net file: 'widht'; did you mean 'width'\?"):
        planned(text, widht=3)


WRONG = {
    "conv3-16 relo": "table row 1: unknown word 'relo'; did you mean 'relu'",
    "conv3x-16": "table row 1: 'conv3x-16' is not written like conv3-64, conv3x1-64/2 or conv1-classes",
    "conv3-0": "table row 1: 'conv3-0': the outputs is a whole number from 1 to 65,536",
    "conv3-16\nmaxpool99": "table row 2: 'maxpool99': the kernel is a whole number from 1 to 64",
    "conv3-16\nconv40-8 p0": "table row 2: a window of 40 x 40 is larger than the map 16 x 32 x 32",
    "conv3-16 x0 as a": "table row 1: x0 leaves the row out, so that 'a' names nothing",
    "conv3-16 as a\nconv3-16": "table row 1: the name 'a' is not used",
    "conv3-16 as a\nconv3-16 as a\nadd a": "table row 2: the name 'a' is given twice",
    "conv3-16\nat in\nconv3-16": "table row 2: the map of the row above is taken by no row",
    "conv3-16 as a\nconv3-16/2\nadd a": "table row 3: adds 16 x 32 x 32 to 16 x 16 x 16; via makes one of the other",
    "conv3-16 as a\nconv3-8/2\nadd a via conv1-9/2": "via makes 9 x 16 x 16 of a",
    "conv3-16 as a\nconv3-16/2 as b\nconcat a b": "table row 3: concatenates maps of other sizes",
    "conv3-16\nadd b": "table row 2: unknown name 'b'; known: in",
    "conv3-16\nbasic(16)": "table row 2: unknown block 'basic'",
    "conv3-16 groups=3": "table row 1: 3 and 16 channels cannot both be divided into 3 groups",
    "relu groups=2": "table row 1: 'groups=2' follows a word that it changes: conv",
    "globalavgpool\nconv3-16": "table row 2: conv needs a map, and here are 3 numbers",
    "conv3-{n}": "table row 1: unknown parameter 'n'",
    "conv3-{2 ** 9}": "table row 1: '2 ** 9': parameters are combined by",
    "conv3-{1 // 0}": "table row 1: '1 // 0' divides by 0",
    "conv3-16\nglobalavgpool\nfc-7": "the table ends with 7 numbers instead of 10 numbers, one for each class",
    "conv3-16": "the table ends with 16 x 32 x 32 instead of 10 numbers",
    "": "the table of the net file has no row",
    "conv3-16 x6000": "the net has over 5,000 rows",
}


@pytest.mark.parametrize(("rows", "told"), WRONG.items(), ids=range(len(WRONG)))
def test_what_cannot_be_built_is_told_with_its_row(rows: str, told: str) -> None:
    with pytest.raises(RequestError, match=re.escape(told)):
        planned(net(rows))


def test_errors_within_blocks_say_the_way_there() -> None:
    inner = BLOCK.replace("via conv1-{out}/{stride} bn", "")
    told = "table row 2 > basic row 3: adds 16 x 32 x 32 to 32 x 16 x 16; via makes one of the other"
    with pytest.raises(RequestError, match=re.escape(told)):
        planned(net("conv3-16\nbasic(32, 2)\nglobalavgpool fc-classes", inner))
    with pytest.raises(RequestError, match=r"block basic is not used by any row"):
        planned(net("globalavgpool fc-classes", BLOCK))
    with pytest.raises(RequestError, match="block basic has 2 parameters, and 3 are given"):
        planned(net("basic(1, 2, 3)", BLOCK))
    with pytest.raises(RequestError, match=r"unknown parameter of block basic: 'strid'; did you mean 'stride'\?"):
        planned(net("basic(16, strid=2)", BLOCK))


def test_blocks_that_call_themselves_end_soon() -> None:
    with pytest.raises(RequestError, match="more than 16 deep: does again call itself"):
        planned(net("again()", "[block.again]\ntable = 'again()'"))
    with pytest.raises(RequestError, match="over 5,000 rows"):
        planned(net("many() x100", "[block.many]\ntable = 'more() x100'\n[block.more]\ntable = 'relu x100'"))


TEXTS = {
    "table = 3": "a net file has a table",
    "tabel = 'x'": r"unknown key of a net file: 'tabel'; did you mean 'table'",
    "table = 'x'\ninput = [3, 32]": "input is channels, height and width",
    "table = 'x'\ninput = [3, 0, 32]": "a side of input must be a whole number from 1",
    "table = 'x'\nclasses = true": "classes must be a whole number",
    "table = 'x'\nname = 'a b'": "the name of the net is a word",
    "table = 'x'\nparameters = { a = 1.5 }": "the parameter a must be a whole number",
    "table = 'x'\nblock = 3": r"block is written as \[block.NAME\]",
    "table = 'x'\n[block.a]\ntabel = 'x'": "block 'a' has a table",
    "table = '": "the net file is not TOML",
}


@pytest.mark.parametrize(("text", "told"), TEXTS.items())
def test_other_text_is_refused(text: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        parse(text)


PIECES = [
    *KINDS, "conv3-16", "conv1-classes", "maxpool2/2", "fc-8", "fc-classes", "gn-4", "se-2", "basic(8, 2)", "basic(",
    "at in", "as a", "at a", "add a", "add in via conv1-8", "concat a in", "x3", "x99999", "{out}", "{", "p1", "ceil",
    "groups=2", "dilation=9", "#", "\n", "\n", "\n", " ", "-", "/", "0",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join), st.booleans())
def test_any_rows_are_a_plan_or_refused(rows: str, block: bool) -> None:
    try:
        assert planned(net(rows.replace("'''", ""), BLOCK if block else "")).rows[-1].shape == (10,)
    except RequestError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_changed_examples_are_a_plan_or_refused(path: Path, data: st.DataObject) -> None:
    text = path.read_text("utf-8")
    start = data.draw(st.integers(0, len(text)))
    changed = text[:start] + data.draw(st.text(max_size=6)) + text[start + data.draw(st.integers(0, 12)) :]
    try:
        read = parse(changed)
        plan(read, classes=read.classes, shape=read.input, parameters={})
    except RequestError as error:
        assert "\n" not in str(error)
