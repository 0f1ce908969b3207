"""Labels as tables write them: values that mean a missing one, and several in one cell."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from striate.errors import printable
from striate.tasks.multilabel import LABELS_APART

# What pandas writes or reads as a missing value, in its spelling: a class called "none" is a class.
MISSING = frozenset(
    [
        "#N/A",
        "#NA",
        "#N/A!",
        "<NA>",
        "<na>",
        "N/A",
        "n/a",
        "NA",
        "NULL",
        "null",
        "NaN",
        "nan",
        "NAN",
        "-nan",
        "-NaN",
        "None",
        "NONE",
        "1.#QNAN",
        "1.#IND",
        "-1.#IND",
        "-1.#QNAN",
    ]
)
_SEPARATORS = (LABELS_APART, ";", ",")
_LIST = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)

Splitting = Callable[[str], Sequence[Any]]


def is_missing(text: str) -> bool:
    """Whether a cell's text stands for no value."""
    return text in MISSING


def splitting(cells: Iterable[str]) -> tuple[Splitting, str]:
    """How the labels in the cells of one column are separated, and a line for the user, or "".

    One reading for the whole column: lists as Python or JSON write them, or the first of | ; , that occurs. Blanks
    only separate if that leaves fewer labels than there are cells that differ; otherwise "red fox" is one label.
    """
    filled = {cell.strip() for cell in cells if cell.strip() and not is_missing(cell.strip())}
    if filled and all(_LIST.fullmatch(cell) for cell in filled):
        return _as_list, "labels are read as lists, such as " + printable(min(filled)[:60])
    for separator in _SEPARATORS:
        if any(separator in cell for cell in filled):
            told = "" if separator == LABELS_APART else f"labels are separated by {separator!r}"
            return partial(_separated, separator), told
    several = {cell for cell in filled if len(cell.split()) > 1}
    if several:
        pieces = {piece for cell in filled for piece in cell.split()}
        if len(pieces) < len(filled):
            return str.split, "labels are separated by blanks"
        example = printable(min(several)[:60])
        return lambda cell: [cell], (
            f"labels with blanks, such as {example!r}, are read as one label each; separate several labels by "
            f"{LABELS_APART}"
        )
    return lambda cell: [cell], ""


def _separated(separator: str, cell: str) -> Sequence[str]:
    return cell.split(separator)


def _as_list(cell: str) -> Sequence[Any]:
    """The values of a list in text. Raises ValueError."""
    inner = cell.strip()[1:-1].strip()
    if not inner:
        return []
    try:
        found = ast.literal_eval(f"[{inner}]")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = [piece.strip().strip("'\"") for piece in inner.split(",")]
    return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in found]
