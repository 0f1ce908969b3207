"""A net as it is drawn: which blocks there are, and what is joined to one box."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.blocks import Block, Unit, stages
from striate.anatomy.trace import trace
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import entry


def drawn(name: str) -> dict[str, list[Block]]:
    with torch.device("meta"):
        net = create(name)
    return {stage.name: stage.blocks for stage in stages(net, trace(net, entry(name).input_size))}


def told(units: list[Unit]) -> list[tuple[str, str]]:
    return [(unit.label, unit.detail) for unit in units]


def test_residual_blocks_and_those_that_repeat() -> None:
    found = drawn("resnet20")
    assert list(found) == ["stem", "stage1", "stage2", "stage3", "head"]
    assert [block.times for block in found["stage2"]] == [1, 2]
    first, others = found["stage2"]
    assert told(first.units) == [
        ("3\u00d73 conv /2", "32 \u00b7 BN \u00b7 ReLU"),
        ("3\u00d73 conv", "32 \u00b7 BN"),
        ("zero pad shortcut", "32"),
        ("+", "ReLU"),
    ]
    assert [unit.size for unit in first.units] == [(16, 16)] * 4
    conv1, conv2, join = others.units
    assert join.inputs == (conv2.number, *conv1.inputs) and conv2.inputs == (conv1.number,)
    assert [block.times for block in found["stage1"]] == [3]
    assert told(found["head"][0].units) == [("global mean", ""), ("linear", "10")]


def test_without_shortcuts_the_blocks_are_the_same_but_plain() -> None:
    (block,) = drawn("plain20")["stage1"]
    assert (block.times, [unit.kind for unit in block.units]) == (3, ["convolution", "convolution"])


def test_layers_that_are_functions_inside_are_one_box() -> None:
    found = drawn("lenet5")
    assert [told(blocks[0].units) for blocks in found.values()] == [
        [("5\u00d75 conv", "6 \u00b7 ScaledTanh")],
        [("subsampling", "6 \u00b7 ScaledTanh")],
        [("table conv", "16 \u00b7 ScaledTanh")],
        [("subsampling", "16 \u00b7 ScaledTanh")],
        [("5\u00d75 conv", "120 \u00b7 ScaledTanh")],
        [("global mean", ""), ("linear", "84 \u00b7 ScaledTanh")],
        [("RBF", "10")],
    ]


def test_a_block_that_is_a_stage_is_not_torn() -> None:
    found = drawn("efficientnet_lite0")
    assert [unit.kind for unit in found["stage8"][0].units] == ["convolution", "depthwise", "convolution"]
    assert [(block.times, len(block.units)) for block in found["stage7"]] == [(1, 3), (3, 4)]
    assert told(found["head"][0].units)[0] == ("global mean", "dropout")


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "plain8", "efficientnet_lite_tiny"])
def test_every_layer_with_weights_is_in_one_box(name: str) -> None:
    with torch.device("meta"):
        net = create(name)
    units = [
        unit
        for stage in stages(net, trace(net, entry(name).input_size))
        for block in stage.blocks
        for unit in block.units * block.times
    ]
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum(unit.kind in ("convolution", "depthwise", "linear") for unit in units) == len(layers)


class Dense(Net):
    """One stage whose layers each see all that was before."""

    table = ""
    minimum_size = 8

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.in_channels = 4
        self.block = Concatenating(layers)
        self.head = nn.Linear(4 + 2 * layers, 3)
        self.stages = ("block",)


class Concatenating(nn.ModuleList):
    def __init__(self, layers: int) -> None:
        super().__init__(
            nn.Sequential(nn.BatchNorm2d(4 + 2 * n), nn.Conv2d(4 + 2 * n, 2, 3, padding=1)) for n in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self:
            maps.append(layer(torch.cat(maps, 1)))
        return torch.cat(maps, 1)


def test_a_dense_block_too_large_to_draw_is_told_by_its_layers() -> None:
    small, large = Dense(3), Dense(12)
    (whole,) = stages(small, trace(small, (8, 8)))[0].blocks
    assert len(whole.units) == 3 * 3 + 1 - 1 and not whole.dense  # the first layer has nothing to join
    blocks = stages(large, trace(large, (8, 8)))[0].blocks
    assert sum(block.times * len(block.units) for block in blocks) == 3 * 12
    assert any(block.dense for block in blocks)
