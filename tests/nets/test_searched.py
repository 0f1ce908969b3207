"""Networks of searched tables: the papers' own tables give the papers' networks, and wrong tables are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.nets import mnasnet, searched_cells, searched_mobile
from striate.nets.build import create
from striate.nets.catalog import entry


def counted(name: str, **options: object) -> tuple[int, int]:
    with torch.device("meta"):
        net = create(name, classes=entry(name).classes, options=options)
    height, width = net.options["input_size"]  # type: ignore[misc]
    return parameters(net), madds(net, (height, width))


@pytest.mark.parametrize(("net", "text"), [("a1", mnasnet.A1), ("b1", mnasnet.B1), ("small", mnasnet.SMALL)])
def test_mnasnets_own_tables_give_its_networks(net: str, text: str) -> None:
    facts = entry(f"mnasnet_{net}")
    assert counted("searched_mobile", table=text) == (facts.parameters, facts.madds)


def test_nasnets_own_cells_give_its_network() -> None:
    ours_counted, theirs_counted = entry("searched_cells"), entry("nasnet_a_cifar")  # recounted by test_counts.py
    assert (ours_counted.parameters, ours_counted.madds) == (theirs_counted.parameters, theirs_counted.madds)
    torch.manual_seed(0)
    ours = create("searched_cells", options={"width": 0.125, "cells": 1}).eval()
    torch.manual_seed(0)
    theirs = create("nasnet_a_cifar", options={"width": 0.125, "cells": 1, "keep_path": 1.0}).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images))


def test_the_images_are_of_the_size_that_the_table_is_for() -> None:
    text = searched_mobile.TINY.replace("32x", "28x").replace("16x16", "14x16").replace("8x24", "7x24")
    text = text.replace("8x48", "7x48")
    net = create("searched_mobile", classes=3, options={"table": text, "image": 28})
    assert net.options["input_size"] == [28, 28]
    maps = net.eval().maps(torch.zeros(1, 3, 28, 28))  # type: ignore[operator]
    assert [tuple(one.shape[1:]) for one in maps.values()] == [
        (8, 28, 28), (8, 28, 28), (16, 14, 14), (24, 7, 7), (48, 7, 7)
    ]  # fmt: skip


def test_depth_multiplies_the_layers_of_blocks() -> None:
    net = create("searched_mobile_tiny", options={"depth": 1.5})
    layers = [len(net.get_submodule(stage)) for stage in net.stages[1:-1]]  # type: ignore[arg-type]
    assert layers == [2, 2, 3]


MOBILE = {
    "se    output": ("se  size", "the header must be"),
    "5       0.25  16x16": ("4  0.25  16x16", "row 3 .* the kernel is 1, 3, 5 or 7, not 4"),
    "0.25  16x16": ("0.5  16x16", "row 3 .* se is -, or 0.25 of a block, not 0.5"),
    "16x16   1": ("9x16  1", "row 3 .* as large as the input, 32, or half, not 9"),
    "8x24    2": ("8x24  99", "row 4 .* the layers are 1 to 40"),
    "MBConv    3          5": ("MBConv  60  5", "row 3 .* not 60"),
    "MBConv    3          3": ("Shuffle  3  3", "row 4 .* Conv, SepConv or MBConv, not Shuffle"),
    "8x48": ("8x99999", "row 5 .* the channels are 1 to 4096, not 99999"),
    "4      MBConv": ("7  MBConv", "its stage is 4, not 7"),
}


@pytest.mark.parametrize("right", MOBILE)
def test_a_table_of_stages_that_cannot_be_built_is_refused(right: str) -> None:
    wrong, why = MOBILE[right]
    assert right in searched_mobile.TINY
    with pytest.raises(RequestError, match=why):
        create("searched_mobile", options={"table": searched_mobile.TINY.replace(right, wrong, 1), "image": 32})


CELLS = {
    "avg3x3    1 ": ("avg3x3  7 ", "row 9 .* of h, p or a line above it, not of 7"),
    "sep5x5/2  h": ("sep5x5  h", "row 6 .* needs a stride of 2, not 1"),
    "sep5x5    h": ("sep9x9  h", "row 1 .* the kernel of sep is 3 or 5 or 7, not 9"),
    "normal     sep3x3": ("other  sep3x3", "row 5 .* normal or reduction, not other"),
    "identity  h": ("nothing  h", "cannot be read"),
    "identity  h         yes": ("identity  h  no", "line 5 of the normal cell .* neither taken nor an output"),
}


@pytest.mark.parametrize("right", CELLS)
def test_a_table_of_cells_that_cannot_be_built_is_refused(right: str) -> None:
    wrong, why = CELLS[right]
    with pytest.raises(RequestError, match=why):
        create("searched_cells", options={"table": searched_cells.TABLE.replace(right, wrong, 1)})


def test_a_cell_has_lines() -> None:
    only = "\n".join(line for line in searched_cells.TABLE.splitlines() if "reduction" not in line)
    with pytest.raises(RequestError, match="1 to 5 lines; reduction has 0"):
        create("searched_cells", options={"table": only})
    assert np.prod(entry("searched_cells").input_size) == 32 * 32
