"""Parse a paper's table, written as text, into typed rows, and a printed grid of X and dots into booleans.

A network module starts with its paper's table. Parsing is strict: a typing error fails at import, with the wrong
line, instead of silently making another network.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import TypeVar, cast, get_args, get_type_hints

Row = TypeVar("Row")

_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


def table(row_type: type[Row], text: str) -> tuple[Row, ...]:
    """Read a table: a header line, then one line per row, cells separated by white space, empty lines skipped.

    `row_type` is a NamedTuple or a dataclass; the header must be exactly its field names, in order. A field is int,
    float, str, bool (yes/no, true/false), any type with a classmethod `parse(text)`, which raises ValueError for
    invalid text, or `X | None` of one of these, where "-" is None. So cells contain no blanks.
    Raises ValueError, with the line's number within `text` and its content, for a wrong header, a row with too many or
    too few cells, or a cell that is not of its field's type; TypeError for a row type that cannot be read this way.
    """
    readers = _readers(row_type)
    lines = _lines(text)
    number, header = next(lines, (1, []))
    if header != list(readers):
        raise ValueError(f"line {number}: the header must be {' '.join(readers)!r}, not {' '.join(header)!r}")
    return tuple(row_type(*_cells(number, cells, readers)) for number, cells in lines)


def transposed(text: str) -> str:
    """The transposed table, for a table that its paper prints with one column per row.

    Raises ValueError, with the line, if the lines have different numbers of cells.
    """
    lines = list(_lines(text))
    for number, cells in lines:
        if len(cells) != len(lines[0][1]):
            raise ValueError(f"line {number}: {len(cells)} cells, but {len(lines[0][1])} above: {_quote(cells)}")
    return "\n".join(" ".join(column) for column in zip(*(cells for _, cells in lines), strict=True))


def grid(text: str) -> tuple[tuple[bool, ...], ...]:
    """Read a printed grid: `X` is True and `.` is False, with or without blanks between them.

    A first line without any X or dot has the column labels, and a first word of a row that is neither X nor dot is
    the row's label; the number of labels is checked, and they are dropped.
    Returns rows of equal length, as printed. Raises ValueError, with the line, for anything else.
    """
    labels: list[str] | None = None
    rows: list[tuple[bool, ...]] = []
    for number, words in _lines(text):
        if not rows and labels is None and not any(_is_marks(word) for word in words):
            labels = words
            continue
        marks = words if _is_marks(words[0]) else words[1:]
        if not marks or not all(_is_marks(word) for word in marks):
            raise ValueError(f"line {number}: a row of the grid may only have X and dots: {_quote(words)}")
        row = tuple(mark == "X" for mark in "".join(marks))
        width = len(rows[0]) if rows else len(labels or row)
        if len(row) != width:
            raise ValueError(f"line {number}: {len(row)} marks where {width} were expected: {_quote(words)}")
        rows.append(row)
    if not rows:
        raise ValueError("line 1: the grid is empty")
    return tuple(rows)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number (from 1) and words of every line that is not empty."""
    for number, line in enumerate(text.split("\n"), start=1):
        if words := line.split():
            yield number, words


def _quote(words: list[str]) -> str:
    return repr(" ".join(words))


def _is_marks(word: str) -> bool:
    return set(word) <= {"X", "."}


def _readers(row_type: type[object]) -> dict[str, Callable[[str], object]]:
    """Field name -> the function that parses its cell, in the order of the fields."""
    if dataclasses.is_dataclass(row_type):
        names = tuple(field.name for field in dataclasses.fields(row_type))
    else:
        names = cast("tuple[str, ...]", getattr(row_type, "_fields", ()))
    if not names:
        raise TypeError(f"{row_type.__name__} is neither a NamedTuple nor a dataclass with fields")
    hints = get_type_hints(row_type)
    readers = {name: _reader(hints[name]) for name in names}
    for name, reader in readers.items():
        if reader is None:
            expected = "int, float, str, bool, a type with a classmethod parse, or one of these | None"
            raise TypeError(f"{row_type.__name__}.{name} must be {expected}, not {hints[name]}")
    return cast("dict[str, Callable[[str], object]]", readers)


def _reader(hint: object) -> Callable[[str], object] | None:
    """The function that parses a cell of this type; None for an unsupported type."""
    known: dict[object, Callable[[str], object]] = {int: int, float: float, str: str, bool: _truth}
    if hint in known:
        return known[hint]
    if isinstance(hint, types.UnionType):
        others = [one for one in get_args(hint) if one is not types.NoneType]
        inner = _reader(others[0]) if len(others) == 1 < len(get_args(hint)) else None
        return None if inner is None else lambda cell: None if cell == "-" else inner(cell)
    parse: Callable[[str], object] | None = getattr(hint, "parse", None)
    return parse if isinstance(hint, type) else None


def _truth(cell: str) -> bool:
    try:
        return _TRUTH[cell.lower()]
    except KeyError:
        raise ValueError(f"{cell!r} is not yes, no, true or false") from None


def _cells(number: int, cells: list[str], readers: dict[str, Callable[[str], object]]) -> list[object]:
    if len(cells) != len(readers):
        raise ValueError(f"line {number}: {len(cells)} cells for {len(readers)} columns: {_quote(cells)}")
    values = []
    for cell, (name, read) in zip(cells, readers.items(), strict=True):
        try:
            values.append(read(cell))
        except ValueError as error:
            raise ValueError(f"line {number}: {name} cannot be {cell!r} in {_quote(cells)}: {error}") from error
    return values
