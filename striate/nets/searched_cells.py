"""Networks of two cells found by a search, a normal and a reduction cell: the table of their lines is an option.

Barret Zoph, Vijay Vasudevan, Jonathon Shlens, Quoc V. Le, 2017. arXiv:1707.07012.
`striate tune --architecture` writes such tables; the one below, the default, is NASNet-A's Figure 4.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.errors import RequestError
from striate.nets.base import Variant
from striate.nets.cells import Operation
from striate.nets.nasnet import NORMAL, REDUCTION, NASNet
from striate.nets.nasnet_cell import Line
from striate.tables import table as read_table

# A line of a cell is the sum of two operations on h, the input, p, the input of the cell before, or an earlier line.
# output: whether the cell gives the line, by channels; a normal cell also gives p.
TABLE = """
    cell       left      left_of  right     right_of  output
    normal     sep5x5    h        sep3x3    p         yes
    normal     sep5x5    p        sep3x3    p         yes
    normal     avg3x3    h        identity  p         yes
    normal     avg3x3    p        avg3x3    p         yes
    normal     sep3x3    h        identity  h         yes
    reduction  sep5x5/2  h        sep7x7/2  p         no
    reduction  max3x3/2  h        sep7x7/2  p         yes
    reduction  avg3x3/2  h        sep5x5/2  p         yes
    reduction  identity  2        avg3x3    1         yes
    reduction  sep3x3    1        max3x3/2  h         yes
"""

TINY = """
    cell       left      left_of  right     right_of  output
    normal     sep3x3    h        identity  p         yes
    reduction  sep3x3/2  h        max3x3/2  p         no
    reduction  identity  1        avg3x3    1         yes
"""

MOST_LINES = 5  # of a cell
KERNELS = {"identity": (1,), "sep": (3, 5, 7), "avg": (3, 5), "max": (3, 5)}


class Row(NamedTuple):
    cell: str
    left: Operation
    left_of: str
    right: Operation
    right_of: str
    output: bool


class SearchedCells(NASNet):
    """NASNet's network for CIFAR-10 of the cells in `table`: a convolution, three times `cells` normal cells with a
    reduction between, global average pooling, dropout, a linear layer.

    `width` multiplies the 32 filters of the first cells; `image` is the side of the images that the cells were found
    for, any of at least 8 are accepted. `dropout` and `keep_path` are NASNet's, off by default. Raises RequestError for
    a table that cannot be built, with its wrong line, and for values out of range.
    """

    table = TABLE

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        table: str = TABLE,
        image: int = 32,
        width: float = 1.0,
        cells: int = 6,
        dropout: float = 0.0,
        keep_path: float = 1.0,
    ) -> None:
        if not 8 <= image <= 4096:
            raise RequestError(f"image is a side of 8 to 4096 pixels, not {image}")
        # Plain values, which a module may have before its own constructor runs; that of the parent reads them.
        self.table, self.image = table, image
        self.lines, self.joined = cell_lines(table)
        super().__init__(
            classes=classes,
            in_channels=in_channels,
            network="cifar",
            width=width,
            cells=cells,
            dropout=dropout,
            keep_path=keep_path,
        )


def cell_lines(text: str) -> tuple[dict[str, list[Line]], dict[str, list[str]]]:
    """The lines of the two cells of a table, and the states that each gives, by the names that NASNet has for them.

    Raises RequestError, with the wrong line, for a table that cannot be built.
    """
    try:
        rows = read_table(Row, text)
    except ValueError as error:
        raise RequestError(f"the table of searched_cells cannot be read: {error}") from error
    names = {"normal": NORMAL, "reduction": REDUCTION}
    lines: dict[str, list[Line]] = {NORMAL: [], REDUCTION: []}
    joined: dict[str, list[str]] = {NORMAL: ["p"], REDUCTION: []}
    for number, row in enumerate(rows, start=1):
        if row.cell not in names:
            raise _refused(number, f"the cell is normal or reduction, not {row.cell}")
        cell = names[row.cell]
        for operation, of in (row[1:3], row[3:5]):
            if reason := _wrong(operation, of, len(lines[cell]), reduces=cell == REDUCTION):
                raise _refused(number, reason)
        lines[cell].append(Line(*row[1:5]))
        if row.output:
            joined[cell].append(str(len(lines[cell])))
    for name, cell in names.items():
        if not 1 <= len(lines[cell]) <= MOST_LINES:
            raise RequestError(f"a cell of searched_cells has 1 to {MOST_LINES} lines; {name} has {len(lines[cell])}")
        taken = {of for line in lines[cell] for of in (line.left_of, line.right_of)} | set(joined[cell])
        if lost := [place for place in range(1, len(lines[cell]) + 1) if str(place) not in taken]:
            raise RequestError(f"line {lost[0]} of the {name} cell of searched_cells is neither taken nor an output")
    return lines, joined


def _refused(number: int, reason: str) -> RequestError:
    return RequestError(f"row {number} of the table of searched_cells: {reason}")


def _wrong(operation: Operation, of: str, before: int, *, reduces: bool) -> str:
    """What cannot be built of an operation in a cell with `before` lines above it; "" for nothing."""
    kind, kernel, stride = operation
    wanted = 2 if reduces and of in ("h", "p") else 1
    if kernel not in KERNELS[kind]:
        return f"the kernel of {kind} is {' or '.join(map(str, KERNELS[kind]))}, not {kernel}"
    if of not in ("h", "p", *(str(line) for line in range(1, before + 1))):
        return f"an operation is of h, p or a line above it, not of {of}"
    if stride != wanted:
        halved = "halves h and p" if reduces else "halves nothing"
        return f"{kind} of {of} needs a stride of {wanted}, not {stride}: the cell {halved}"
    return ""


VARIANTS = {
    "searched_cells": Variant(SearchedCells, {}),
    "searched_cells_tiny": Variant(SearchedCells, {"table": TINY, "width": 0.125, "cells": 1}),
}

# Deviations: dropped paths and dropout are off by default, for the short trainings of a search.
# searched_cells_tiny is ours, for tests.
