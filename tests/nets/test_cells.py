"""The cells of the papers' tables: read as printed, and refused when they are written otherwise."""

from __future__ import annotations

import pytest

from striate.nets.cells import (
    ColumnLayer,
    Convs,
    DepthName,
    Filter,
    LayerCount,
    MapSize,
    Operation,
    Parts,
    Patch,
    Steps,
    StridedKind,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Patch, "7x7/2", (7, 2)),
        (MapSize, "28x14x192", (28, 14, 192)),
        (MapSize, "28x192", (28, 28, 192)),
        (Filter, "3x3x3x32", (3, 32)),
        (Filter, "3x3x512", (3, 512)),
        (Convs, "1x1,64;3x3,256", ((1, 64), (3, 256))),
        (Parts, "conv-relu-pool", ("conv", "relu", "pool")),
        (Parts, "BN,ReLU", ("BN", "ReLU")),
        (Parts, "-", ()),
        (LayerCount, "2n", (0, 2)),
        (LayerCount, "1+2n", (1, 2)),
        (StridedKind, "inception/2", ("inception", 2)),
        (StridedKind, "max_pool", ("max_pool", 1)),
        (ColumnLayer, "conv3-64", ("conv", 3, 64)),
        (ColumnLayer, "FC-4096", ("FC", 0, 4096)),
        (ColumnLayer, ".", ("", 0, 0)),
        (DepthName, "densenet121", ("densenet121", 121)),
        (Steps, "avg;1x7/2V,96", (("avg", ((3, 3),), 1, False, 0), ("conv", ((1, 7),), 2, True, 96))),
        (Operation, "sep5x5/2", ("sep", 5, 2)),
        (Operation, "identity", ("identity", 1, 1)),
        (Steps, "max/2V", (("max", ((3, 3),), 2, True, 0),)),
        (Steps, "1x3+3x1,256", (("conv", ((1, 3), (3, 1)), 1, False, 256),)),
    ],
)
def test_a_cell_is_read_as_printed(kind: type[Patch], text: str, value: tuple[object, ...]) -> None:
    assert kind.parse(text) == value
    assert type(kind.parse(text)) is kind


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Patch, "7x5/2"), (Patch, "7x7"), (MapSize, "28"), (Filter, "3x5x32"), (Convs, "3x3"), (Convs, "3x3,64;"),
        (LayerCount, "n"), (StridedKind, "inception/"), (ColumnLayer, "conv3"), (DepthName, "densenet"),
        (Operation, "sep5x3"), (Operation, "identity/2"),
        (Steps, "1x7"), (Steps, "max,64"), (Steps, "1x1,64;"), (Steps, "7,64"),
    ],
)  # fmt: skip
def test_another_way_of_writing_is_refused(kind: type[Patch], text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a cell such as|expected channels"):
        kind.parse(text)
