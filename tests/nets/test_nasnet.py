"""NASNet-A against its cells and tables, its authors' index lists, and the schedule of its dropped paths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.layers.drop_path import ScheduledDropPath
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.nasnet import JOINED, LINES, NORMAL, REDUCTION, ROWS, NASNet, places
from striate.nets.nasnet_cell import Cell, FactorizedReduction, How
from striate.training.techniques.path_schedule import set_progress


def on_meta(name: str, **options: object) -> Any:
    with torch.device("meta"):
        return create(name, options=options).eval()


def test_counts_are_those_of_independent_builds_and_of_the_paper() -> None:
    assert (entry("nasnet_a_large").parameters, entry("nasnet_a_large").madds) == (88_753_150, 23_783_414_658)
    mobile = entry("nasnet_a_mobile")
    # Ports that pad by hand and cut the border off again count 568,234,858.
    assert (mobile.parameters, mobile.madds) == (5_289_978, 563_638_816)
    assert round(mobile.madds / 1e6) == 564
    assert round(entry("nasnet_a_cifar").parameters / 1e6, 1) == 3.3


@pytest.mark.parametrize(
    ("text", "operations", "states"),
    [
        (NORMAL, "sep5 sep3 sep5 sep3 avg3 identity avg3 avg3 sep3 identity", (0, 1, 1, 1, 0, 1, 1, 1, 0, 0)),
        (REDUCTION, "sep5 sep7 max3 sep7 avg3 sep5 identity avg3 sep3 max3", (0, 1, 0, 1, 0, 1, 3, 2, 2, 0)),
    ],
)
def test_the_printed_lines_are_the_authors_lists(text: str, operations: str, states: tuple[int, ...]) -> None:
    """There: the operations of all blocks in order, and the hidden state of each, 0 for h and 1 for p."""
    cells = [(one, of) for line in LINES[text] for one, of in (line[:2], line[2:])]
    kernels = [one.kind if one.kind == "identity" else f"{one.kind}{one.kernel}" for one, _ in cells]
    assert kernels == operations.split()
    assert tuple("hp12345".index(of) for _, of in cells) == states
    halving = [one.stride for one, of in cells if of in ("h", "p")]
    assert set(halving) == ({2} if text == REDUCTION else {1})
    assert len(JOINED[text]) == (4 if text == REDUCTION else 6)


def test_a_cell_is_its_lines() -> None:
    torch.manual_seed(0)
    how = How(nn.BatchNorm2d, False)
    cell = Cell(LINES[NORMAL], JOINED[NORMAL], 4, 6, 5, back=2, larger=False, drop=0.0, how=how).eval()
    x, before = torch.randn(2, 6, 5, 5), torch.randn(2, 5, 5, 5)
    h, p = cell.squeeze(x), cell.previous(before)
    average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    part = [[getattr(line, side) for side in ("left", "right")] for line in cell.lines]
    sums = [
        part[0][0](h) + part[0][1](p),
        part[1][0](p) + part[1][1](p),
        average(h) + p,
        average(p) + average(p),
        part[4][0](h) + h,
    ]
    torch.testing.assert_close(cell(x, before), torch.cat([p, *sums], 1))


def test_the_factorized_reduction_sees_every_other_pixel_and_the_ones_between() -> None:
    torch.manual_seed(0)
    layer = FactorizedReduction(3, 7, How(nn.Identity, False))
    assert (layer.path1.out_channels, layer.path2.out_channels) == (3, 4)
    for size in (5, 6):
        x = torch.randn(1, 3, size, size)
        out = layer(x)
        assert out.shape == (1, 7, 3, 3)
        torch.testing.assert_close(out[:, :3], layer.path1(x.relu()[:, :, ::2, ::2]))
        between = layer.path2(x.relu()[:, :, 1::2, 1::2])
        torch.testing.assert_close(out[:, 3:, : between.shape[2], : between.shape[3]], between)


@pytest.mark.parametrize(("name", "network"), [("nasnet_a_mobile", "mobile"), ("nasnet_a_large", "large")])
def test_sizes_and_widths_of_the_stages(name: str, network: str) -> None:
    row = ROWS[network]
    found = {stage.name: stage.output for stage in describe(name)}
    sides = {"mobile": (111, 56, 28, 14, 7), "large": (165, 83, 42, 21, 11)}[network]
    f = row.filters
    assert found["stem"] == (row.stem, sides[0], sides[0])
    assert found["stem_cell1"] == (f, sides[1], sides[1])
    assert found["stem_cell2"] == (2 * f, sides[2], sides[2])
    assert found["cell1"] == found[f"cell{row.N}"] == (6 * f, sides[2], sides[2])
    assert found["reduce1"] == (8 * f, sides[3], sides[3])
    assert found[f"cell{3 * row.N}"] == found["last"] == (24 * f, sides[4], sides[4])


def test_what_a_cell_after_a_reduction_sees() -> None:
    """In mobile the input of the reduction; in large the output of the cell before that."""
    for network, back in (("mobile", 2), ("large", 3)):
        row = ROWS[network]
        after = {place.name: place.back for place in places(row)}
        assert after[f"cell{row.N + 1}"] == after[f"cell{2 * row.N + 1}"] == back
        assert {after[f"cell{number}"] for number in range(2, row.N + 1)} == {2}
        assert after["stem_cell1"] == 1


def test_the_stages_run_as_their_cells_say() -> None:
    torch.manual_seed(0)
    net = create("nasnet_tiny").eval()
    x = torch.randn(2, 3, 32, 32)
    outputs: list[torch.Tensor] = []
    for stage, seen in net.maps(x).items():
        module = net.get_submodule(stage)
        x = module(x, outputs[-module.back]) if isinstance(module, Cell) else module(x)
        outputs.append(x)
        assert torch.equal(x, seen)


def test_paths_are_dropped_more_by_cell_and_by_progress() -> None:
    net = create("nasnet_tiny")
    cells = [module for module in net.modules() if isinstance(module, Cell)]
    assert len(cells) == 5
    rates = [{round(one.rate, 6) for one in cell.modules() if isinstance(one, ScheduledDropPath)} for cell in cells]
    assert rates == [{round(0.4 * number / 5, 6)} for number in range(1, 6)]
    # Every operation but the two identities of a normal cell and the one of a reduction.
    counts = [sum(isinstance(one, ScheduledDropPath) for one in cell.modules()) for cell in cells]
    assert counts == [8, 9, 8, 9, 8]
    assert not any(isinstance(one, ScheduledDropPath) for one in on_meta("nasnet_a_mobile").modules())


def test_a_scheduled_path_is_kept_in_expectation_and_untouched_in_evaluation() -> None:
    torch.manual_seed(0)
    layer, x = ScheduledDropPath(0.4).train(), torch.ones(20_000, 1, 1, 1)
    for progress in (0.0, 0.5, 1.0):
        set_progress(layer, progress)
        out = layer(x).flatten()
        assert (out == 0).float().mean().item() == pytest.approx(0.4 * progress, abs=0.01)
        assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert layer.eval()(x) is x
    assert not layer.state_dict()


def test_without_drop_paths_the_parameters_have_the_same_names() -> None:
    names = [set(on_meta("nasnet_a_cifar", cells=1, keep_path=keep).state_dict()) for keep in (0.6, 1.0)]
    assert names[0] == names[1]


def test_the_auxiliary_head_has_filters_as_large_as_its_pooled_map() -> None:
    large = on_meta("nasnet_a_large_aux")
    assert isinstance(large, NASNet)
    assert large.auxiliary_heads == {"cell12": "auxiliary1"}
    head = large.get_submodule("auxiliary1")
    convs = [(conv.kernel_size, conv.out_channels) for conv in head.modules() if isinstance(conv, nn.Conv2d)]
    assert convs == [((1, 1), 128), ((6, 6), 768)]
    assert on_meta("nasnet_a_cifar_aux").auxiliary1.full.conv.kernel_size == (4, 4)
    with pytest.raises(RequestError, match="needs a map of at least 5 x 5, and images of 64 x 64 pixels give 4 x 4"):
        create("nasnet_a_mobile", input_size=(64, 64), options={"auxiliary": True})


def test_norms_are_those_of_the_authors_code() -> None:
    for name, eps in (("nasnet_a_mobile", 1e-3), ("nasnet_a_cifar_aux", 1e-5)):
        assert {one.eps for one in on_meta(name).modules() if isinstance(one, nn.BatchNorm2d)} == {eps}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("keep_path", 0.0, "keep_path must be above 0"), ("cells", 21, "cells must be from 1 to 20, not 21")],
)
def test_options_out_of_range_are_refused(option: str, value: float, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        create("nasnet_a_mobile", options={option: value})
