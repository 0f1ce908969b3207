"""Tables and grids are parsed exactly, and errors name the line."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.tables import grid, table, transposed


class Row(NamedTuple):
    name: str
    number: int
    rate: float
    wide: bool


@dataclasses.dataclass(frozen=True)
class Pair:
    left: int
    right: int


WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)
ROWS = st.lists(st.builds(Row, WORDS, st.integers(), st.floats(allow_nan=False), st.booleans()))


def test_reads_typed_rows() -> None:
    rows = table(Row, "\n  name number rate wide\n\n  stem 3 0.5 yes\n  top -1 2 no\n")
    assert rows == (Row("stem", 3, 0.5, True), Row("top", -1, 2.0, False))
    assert table(Pair, "left right\n1 2") == (Pair(1, 2),)
    assert table(Pair, "left right") == ()


@given(ROWS)
def test_printed_rows_are_read_back(rows: list[Row]) -> None:
    text = "\n".join(["name number rate wide", *(" ".join(map(str, row)) for row in rows)])
    assert table(Row, text) == tuple(rows)


@given(st.text())
def test_any_text_is_parsed_or_refused_with_a_line(text: str) -> None:
    for read in (lambda: table(Pair, text), lambda: grid(text)):
        try:
            read()
        except ValueError as error:
            assert str(error).startswith("line ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header must be 'left right'"),
        ("right left\n1 2", "line 1: the header must be 'left right', not 'right left'"),
        ("\nleft right\n1", "line 3: 1 cells for 2 columns: '1'"),
        ("left right\n1 2\n1 2 3", "line 3: 3 cells for 2 columns: '1 2 3'"),
        ("left right\n1 2.5", "line 2: right cannot be '2.5' in '1 2.5'"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        table(Pair, text)
    assert message in str(caught.value)


def test_a_bad_truth_and_a_bad_row_type_are_refused() -> None:
    with pytest.raises(ValueError, match="wide cannot be 'maybe'"):
        table(Row, "name number rate wide\na 1 1 maybe")
    with pytest.raises(TypeError, match="neither a NamedTuple nor a dataclass"):
        table(int, "a")


class Size(NamedTuple):
    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Size:
        height, width = text.split("x")
        return cls(int(height), int(width))


class Cells(NamedTuple):
    size: Size
    kernel: int | None
    other: Size | None


def test_cells_of_any_type_with_parse_and_empty_cells() -> None:
    rows = table(Cells, "size kernel other\n2x3 - -\n4x5 6 7x8")
    assert rows == (Cells(Size(2, 3), None, None), Cells(Size(4, 5), 6, Size(7, 8)))
    with pytest.raises(ValueError, match="line 2: size cannot be '2' in '2 - -'"):
        table(Cells, "size kernel other\n2 - -")
    with pytest.raises(ValueError, match="line 2: kernel cannot be 'x'"):
        table(Cells, "size kernel other\n2x3 x -")


def test_an_unsupported_field_type_is_refused() -> None:
    class Wrong(NamedTuple):
        both: int | str

    with pytest.raises(TypeError, match=r"Wrong\.both must be int, float, str, bool, a type with a classmethod parse"):
        table(Wrong, "both\n1")


def test_a_table_is_transposed() -> None:
    assert table(Pair, transposed("left 1 3\nright 2 4")) == (Pair(1, 2), Pair(3, 4))
    assert transposed("") == ""
    with pytest.raises(ValueError, match="line 2: 1 cells, but 2 above"):
        transposed("a b\nc")


def test_grids_with_and_without_labels_and_blanks() -> None:
    expected = ((True, False, False), (False, True, True))
    assert grid("X..\n.XX") == expected
    assert grid("X . .\n. X X") == expected
    assert grid("\n    0 1 2\n 0  X . .\n 1  . X X\n") == expected


@given(st.integers(1, 9).flatmap(lambda width: st.lists(st.tuples(*[st.booleans()] * width), min_size=1)))
def test_grids_are_read_back(rows: list[tuple[bool, ...]]) -> None:
    lines = (" ".join("X" if mark else "." for mark in row) for row in rows)
    assert grid("\n".join(lines)) == tuple(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the grid is empty"),
        ("X.\nX", "line 2: 1 marks where 2 were expected: 'X'"),
        ("0 1 2\nX X", "line 2: 2 marks where 3 were expected"),
        ("X.\nX O", "line 2: a row of the grid may only have X and dots: 'X O'"),
    ],
)
def test_a_bad_grid_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        grid(text)
    assert message in str(caught.value)
