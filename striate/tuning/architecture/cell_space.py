"""A search space of cells as NASNet's: each line of a cell adds two operations on earlier states.

Source: Zoph et al. 2017, arXiv:1707.07012, section 3.1, with fewer operations, for small images.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from striate.errors import RequestError
from striate.tuning.architecture.space import Choice, Space, Value, aligned

OPERATIONS = {  # of a normal cell, and of a reduction cell, which has nothing to halve h and p by but these
    "normal": ("sep3x3", "sep5x5", "avg3x3", "max3x3", "identity"),
    "reduction": ("sep3x3", "sep5x5", "avg3x3", "max3x3"),
}
FILTERS = 32  # of the first cells of NASNet for CIFAR-10
SIDES = ("left", "right")
COLUMNS = ("cell", "left", "left_of", "right", "right_of", "output")


def cell_space(side: int, *, lines: int = 3, cells: int = 1, width: float = 0.25) -> Space:
    """The space of a normal and a reduction cell of `lines` lines each, for images of `side` pixels.

    cells: normal cells before, between and after the two reductions. width: the share of NASNet's 32 filters. The first
    line of a cell is of h and p, so that no network leaves out an input; each further operation is of h, p or a line
    above it. Raises RequestError for values out of range.
    """
    if not 8 <= side <= 1024 or not 1 <= lines <= 5:
        raise RequestError(f"the cell space is for images of 8 to 1024 pixels, with 1 to 5 lines, not {side}, {lines}")
    choices = []
    for cell, operations in OPERATIONS.items():
        for line in range(1, lines + 1):
            for hand in SIDES:
                choices.append(Choice(f"{cell}{line}_{hand}", operations))
                if line > 1:
                    states = ("h", "p", *(str(above) for above in range(1, line)))
                    choices.append(Choice(f"{cell}{line}_{hand}_of", states))
    setting = {"image": side, "cells": cells, "width": width}
    return Space(
        "cells", "searched_cells", tuple(choices), partial(_options, lines, setting), side, (0,) * len(choices)
    )


def _options(lines: int, setting: Mapping[str, object], chosen: dict[str, Value]) -> dict[str, object]:
    """The lines that no other line takes are the outputs, as in the paper."""
    rows: list[list[object]] = []
    for cell in OPERATIONS:
        found: list[list[object]] = []
        for line in range(1, lines + 1):
            row: list[object] = [cell]
            for hand, first in zip(SIDES, ("h", "p"), strict=True):
                of = chosen.get(f"{cell}{line}_{hand}_of", first)
                stride = "/2" if cell == "reduction" and of in ("h", "p") else ""
                row += [f"{chosen[f'{cell}{line}_{hand}']}{stride}", of]
            found.append(row)
        taken = {row[2] for row in found} | {row[4] for row in found}
        rows += [[*row, "no" if str(line) in taken else "yes"] for line, row in enumerate(found, start=1)]
    return {"table": aligned(COLUMNS, rows), **setting}
