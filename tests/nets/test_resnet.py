"""The residual networks against the tables and sections of their paper."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters, stage_rows
from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.shortcut import ZeroPadShortcut
from striate.nets import catalog
from striate.nets.build import create
from striate.nets.cells import Conv, Convs
from striate.nets.resnet import Block, ResNet

# Counted from other builds of the same networks; that facts.json is what the code makes is tested in test_counts.
KNOWN = {
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 3_857_973_248),
    "resnet101": (44_549_160, 7_570_194_432),
    "resnet152": (60_192_808, 11_282_415_616),
    "resnet50_modern": (25_557_032, 4_089_184_256),
    "resnet101_modern": (44_549_160, 7_801_405_440),
    "resnet152_modern": (60_192_808, 11_513_626_624),
    "resnet18_a": (11_515_688, 1_794_805_760),
    "resnet34_a": (21_623_848, 3_644_493_824),
    "plain18": (11_515_688, 1_794_805_760),
    "plain34": (21_623_848, 3_644_493_824),
}
BOTTLENECK = (Conv(1, 4), Conv(3, 4), Conv(1, 16))


def made(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return create(name, options=options)


def test_the_catalogue_has_the_known_counts() -> None:
    entries = {name: catalog.entry(name) for name in KNOWN}
    assert {name: (entry.parameters, entry.madds) for name, entry in entries.items()} == KNOWN


@pytest.mark.parametrize(("name", "last"), [("resnet34", 512), ("resnet50", 2048), ("plain18", 512)])
def test_maps_are_table_1s(name: str, last: int) -> None:
    widths = [last // 8, last // 4, last // 2, last]
    rows = [(row.name, row.output) for row in describe(name)]
    parts = ["conv2_x", "conv3_x", "conv4_x", "conv5_x"]
    expected = [(part, (width, size, size)) for part, width, size in zip(parts, widths, (56, 28, 14, 7), strict=True)]
    assert rows == [("conv1", (64, 112, 112)), *expected, ("head", (1000,))]


def test_a_name_counts_the_layers_with_weights() -> None:
    # Convolutions of shortcuts do not count.
    for depth in (18, 34, 50, 101, 152):
        net = made(f"resnet{depth}")
        counted = [
            module
            for name, module in net.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
        ]
        assert len(counted) == depth


def test_a_cell_is_read_and_widened() -> None:
    assert Convs.parse("1x1,64;3x3,64;1x1,256") == (Conv(1, 64), Conv(3, 64), Conv(1, 256))
    assert Convs.parse("7x7,64").scaled(0.125) == (Conv(7, 8),)


@pytest.mark.parametrize(("stride_in", "strides"), [("1x1", [2, 1, 1]), ("3x3", [1, 2, 1])])
def test_where_the_stride_is(stride_in: Literal["1x1", "3x3"], strides: list[int]) -> None:
    block = Block(8, BOTTLENECK, 2, shortcut="B", stride_in=stride_in)
    found = [module.stride[0] for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert found == [*strides, 2]
    assert block(torch.randn(2, 8, 6, 6)).shape == (2, 16, 3, 3)


def test_the_modern_stride_costs_what_is_known_of_it() -> None:
    paper, modern = describe("resnet50"), describe("resnet50_modern")
    # In conv3_x, conv4_x and conv5_x the first 1x1 convolution of one block looks at four times as many pixels.
    extra = [0, 0, *(3 * 28 * 28 * 256 * 128,) * 3, 0]
    assert [new.madds - old.madds for new, old in zip(modern, paper, strict=True)] == extra
    assert [new.parameters for new in modern] == [old.parameters for old in paper]


@pytest.mark.parametrize(("option", "kinds"), [("A", 0), ("B", 3), ("C", 16)])
def test_shortcut_options_of_section_4_1(option: str, kinds: int) -> None:
    net = made("resnet34", shortcut=option)
    shortcuts = [module.shortcut for module in net.modules() if isinstance(module, Block)]
    assert sum(isinstance(shortcut, ConvNormAct) for shortcut in shortcuts) == kinds
    assert sum(isinstance(shortcut, ZeroPadShortcut) for shortcut in shortcuts) == (3 if option == "A" else 0)
    assert not any(isinstance(module, Block) and module.shortcut for module in made("plain34").modules())


def test_option_c_adds_a_projection_to_every_other_block() -> None:
    added = [3 * (64 * 64 + 128), 3 * (128 * 128 + 256), 5 * (256 * 256 + 512), 2 * (512 * 512 + 1024)]
    assert parameters(made("resnet34_c")) == 21_797_672 + sum(added)


def test_options_of_the_cifar_networks() -> None:
    assert parameters(made("resnet20", shortcut="B")) == 272_474
    assert parameters(made("resnet110", shortcut="B")) == 1_730_714


def test_the_last_relu_comes_after_the_sum() -> None:
    block = Block(16, BOTTLENECK, 1, shortcut="B").eval()
    nn.init.zeros_(block.conv3.norm.weight)
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(block(x), x.relu())
    plain = Block(16, BOTTLENECK, 1, shortcut=None).eval()
    nn.init.constant_(plain.conv3.norm.bias, 0.5)
    nn.init.zeros_(plain.conv3.norm.weight)
    assert torch.equal(plain(x), torch.full_like(x, 0.5))


def test_weights_are_drawn_for_rectifiers() -> None:
    torch.manual_seed(0)
    for module in create("resnet_tiny").modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_in = module.weight[0].numel()
            assert float(module.weight.var().detach()) == pytest.approx(2 / fan_in, rel=0.1)


def test_all_sizes_from_32_and_no_width_beyond_8() -> None:
    net = ResNet(classes=3, depth=18, width=0.0625).eval()
    shapes: list[Tensor] = [net.features(torch.zeros(1, 3, size, 40)) for size in (32, 33, 64, 65)]
    assert [tuple(shape.shape) for shape in shapes] == [(1, 32, rows, 2) for rows in (1, 2, 2, 3)]
    with pytest.raises(RequestError, match="width must be above 0 and at most 8, not 0"):
        ResNet(width=0)
    assert stage_rows(net, (224, 224))[-2].output == (32, 7, 7)
