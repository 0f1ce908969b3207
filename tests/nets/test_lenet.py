"""LeNet-5 against the numbers of its paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from striate.anatomy.summary import describe
from striate.layers.rbf import RBF
from striate.layers.table_conv import TableConv2d
from striate.nets.build import create
from striate.nets.lenet import GRID, ROWS, class_codes


def test_the_grid_is_the_papers() -> None:
    assert sum(map(sum, GRID)) == 60
    assert [sum(row) for row in GRID] == [10] * 6
    seen = [{s2 for s2 in range(6) if GRID[s2][c3]} for c3 in range(16)]
    threes = [{m % 6, (m + 1) % 6, (m + 2) % 6} for m in range(6)]
    fours = [{m % 6, (m + 1) % 6, (m + 2) % 6, (m + 3) % 6} for m in range(6)]
    split = [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]
    assert seen == [*threes, *fours, *split, set(range(6))]


def test_trainable_parameters_and_connections_are_those_printed() -> None:
    assert [row.parameters for row in describe("lenet5")] == [row.trainable for row in ROWS]
    assert sum(row.trainable for row in ROWS) == 60_000
    assert sum(row.connections for row in ROWS) == 340_908
    for row, counted in zip(ROWS, describe("lenet5"), strict=True):
        assert counted.output == ((row.maps, row.size, row.size) if row.layer not in ("F6", "OUTPUT") else (row.maps,))
        outputs = row.maps * row.size**2
        if row.kind == "subsampling":
            assert row.connections == outputs * (row.kernel**2 + 1)
        else:
            # The paper counts a bias as a connection, except in the output, which has none.
            assert row.connections == counted.madds + (outputs if row.kind != "rbf" else 0)


def test_c3_is_the_dense_convolution_with_zeros_where_there_is_no_link() -> None:
    c3 = TableConv2d(GRID, 5)
    assert sum(parameter.numel() for parameter in c3.parameters()) == 1_516
    dense = c3.dense_weight()
    linked = torch.tensor(GRID).T
    assert torch.equal((dense != 0).flatten(2).any(2), linked)
    assert torch.equal(dense[linked], c3.weight)
    x = torch.rand(2, 6, 14, 14)
    torch.testing.assert_close(c3(x), F.conv2d(x, dense, c3.bias))
    c3(x).sum().backward()
    # Each link is one window sum of its own input map, whatever else shares the kernel.
    assert c3.weight.grad is not None
    torch.testing.assert_close(c3.weight.grad[0, 0, 0], x[:, 0, :10, :10].sum())


def test_the_nearest_code_scores_highest() -> None:
    codes = class_codes(10, 84)
    assert codes.shape == (10, 84)
    assert torch.equal(codes.abs(), torch.ones(10, 84))
    scores = RBF(codes)(codes)
    assert torch.equal(scores.argmax(1), torch.arange(10))
    assert torch.equal(scores.diag(), torch.zeros(10))
    # Two digits differ in six pixels at least, or the output could not tell them apart.
    assert (scores - 1000 * torch.eye(10)).max() <= -4 * 6


def test_other_class_counts_take_the_same_codes_every_time() -> None:
    assert torch.equal(class_codes(26, 84), class_codes(26, 84))
    assert create("lenet5", classes=26)(torch.rand(1, 1, 32, 32)).shape == (1, 26)
    assert "head.codes" in create("lenet5", classes=26).state_dict()


def test_a_larger_image_is_seen_in_more_than_one_place() -> None:
    net = create("lenet5_plain")
    x = torch.rand(1, 1, 48, 32)
    assert net.features(x).shape == (1, 120, 5, 1)
    assert net(x).shape == (1, 10)
