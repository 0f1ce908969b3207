"""VGG against its Table 1, and against the counts of two other libraries."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import describe
from striate.layers.lrn import LRN
from striate.nets.build import create, variants
from striate.nets.vgg import COLUMNS, stages

FULL = 123_633_664  # Multiply-adds of the three fully connected layers at 224 x 224.
CONVOLUTIONS = {
    "vgg11": 7_485_456_384,
    "vgg13": 11_184_832_512,
    "vgg16_c": 11_647_254_528,
    "vgg16": 15_346_630_656,
    "vgg19": 19_508_428_800,
}


@pytest.mark.parametrize(("column", "depth"), list(zip(COLUMNS, (11, 11, 13, 16, 16, 19), strict=True)))
def test_a_column_has_its_number_of_weight_layers(column: Any, depth: int) -> None:
    convolutions = [layer for stage in stages(column) for layer in stage if layer.kernel]
    assert len(convolutions) + 3 == depth
    assert [layer.in_channels for layer in convolutions] == [3, *(layer.channels for layer in convolutions[:-1])]
    assert {layer.kernel for layer in convolutions} == ({1, 3} if column == "C" else {3})


def test_names_stand_for_the_columns() -> None:
    columns = {name: variant.options["configuration"] for name, variant in variants("vgg").items()}
    assert [columns[name] for name in ("vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19")] == list(COLUMNS)
    for name, column in columns.items():
        if name.endswith("_bn"):
            assert column == columns[name.removesuffix("_bn")]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_multiply_adds_of_convolutions_and_of_full_layers(name: str) -> None:
    rows = {row.name: row for row in describe(name)}
    assert [rows[f"stage{number}"].output for number in range(1, 6)] == [
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    ]
    full = sum(row.madds for row in rows.values() if row.name in ("fc6", "fc7", "head"))
    assert full == FULL
    assert sum(row.madds for row in rows.values()) - full == CONVOLUTIONS[name]


@pytest.mark.parametrize(("name", "computed", "kept"), [("alexnet", 92, 96), ("vgg16", 99, 89)])
def test_convolutions_compute_and_full_layers_keep(name: str, computed: int, kept: int) -> None:
    rows = describe(name)
    full = [row for row in rows if row.name in ("fc6", "fc7", "head")]
    share = 1 - sum(row.madds for row in full) / sum(row.madds for row in rows)
    assert round(100 * share) == computed
    assert round(100 * sum(row.parameters for row in full) / sum(row.parameters for row in rows)) == kept


def test_lrn_stands_after_the_first_convolution() -> None:
    with torch.device("meta"):
        net: Any = create("vgg11_lrn")
    assert [name for name, _ in net.stage1.named_children()] == ["conv1", "lrn", "maxpool"]
    assert sum(isinstance(module, LRN) for module in net.modules()) == 1


def test_batch_normalisation_stands_before_relu_and_biases_stay() -> None:
    net: Any = create("vgg_tiny", options={"batch_norm": True})
    assert [type(part) for part in net.stage4.conv2] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert net.stage4.conv2.conv.bias is not None
    plain = create("vgg_tiny").state_dict()
    extra = {name for name in net.state_dict() if name not in plain}
    assert {name.split(".")[2] for name in extra} == {"norm"}


def test_weights_begin_as_glorot_and_bengio_say() -> None:
    torch.manual_seed(0)
    for module in create("vgg_tiny").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            area = module.weight[0, 0].numel()
            bound = math.sqrt(6 / (area * sum(module.weight.shape[:2])))
            assert 0.9 * bound < float(module.weight.abs().max().detach()) <= bound
            assert module.bias is not None
            assert not module.bias.any()


def test_fc6_is_as_large_as_the_map_that_is_left() -> None:
    net: Any = create("vgg_tiny", input_size=(64, 100))
    assert net.fc6[0].in_features == 32 * 2 * 3
    assert net(torch.rand(2, 3, 64, 100)).shape == (2, 10)


def test_half_of_fc7_is_dropped_in_training() -> None:
    torch.manual_seed(0)
    net = create("vgg_tiny")
    x = torch.rand(4, 3, 32, 32)
    dropped = (net.train().embed(x) == 0).float().mean() - (net.eval().embed(x) == 0).float().mean()
    assert 0.15 < float(dropped) < 0.35  # Half of what ReLU left, which is about a half.
