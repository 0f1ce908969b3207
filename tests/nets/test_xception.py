"""Xception against Figure 5 and the numbers of its paper; SAME pooling against its definition."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe
from striate.layers.pooling import SameAvgPool2d, SameMaxPool2d
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.xception import ROWS, Block, SeparableConv


def on_meta(**options: object) -> Any:
    with torch.device("meta"):
        return create("xception", options=options).eval()


def test_parameters_are_the_papers_to_the_last_one() -> None:
    assert entry("xception").parameters == entry("xception").published["parameters"] == 22_855_952
    assert entry("xception").madds == 8_357_403_496


def test_what_leaves_a_row_is_what_the_next_one_takes() -> None:
    outputs = [row.output for row in describe("xception")[:-1]]
    taken = [(row.input.channels, row.input.height, row.input.width) for row in ROWS]
    assert [(3, 299, 299), *outputs] == taken


def test_there_are_36_convolutions_in_14_modules() -> None:
    """Section 3: 36 layers in 14 modules, all but the first and the last with a residual connection."""
    net = on_meta()
    separable = [module for module in net.modules() if isinstance(module, SeparableConv)]
    assert len(separable) + 2 == 36
    assert sum(isinstance(module, Block) for module in net.modules()) == 14 - 2


def test_nothing_is_between_depthwise_and_pointwise() -> None:
    torch.manual_seed(0)
    block = create("xception_tiny").eval().get_submodule("middle.0")
    assert isinstance(block, Block)
    x = torch.randn(2, 46, 6, 5)
    y = x
    for conv in (part for part in block.branch if isinstance(part, SeparableConv)):
        y = F.conv2d(y.relu(), conv.depthwise.weight, padding=1, groups=46)
        y = F.conv2d(y, conv.pointwise.weight) / math.sqrt(1 + 1e-3)
    torch.testing.assert_close(block(x), x + y)


def test_the_first_block_has_no_relu_before_its_first_convolution() -> None:
    net = on_meta()
    kinds = [[type(part).__name__ for part in net.get_submodule(name).branch] for name in ("block1", "block12")]
    assert kinds[0] == ["SeparableConv", "ReLU", "SeparableConv", "SameMaxPool2d"]
    assert kinds[1] == ["ReLU", *kinds[0]]
    widths = [part.pointwise.out_channels for part in net.block12.branch if isinstance(part, SeparableConv)]
    assert widths == [728, 1024]


def test_ports_pad_otherwise_only_where_a_map_of_74_is_halved() -> None:
    torch.manual_seed(0)
    same, half = (create("xception_tiny", options={"padding": padding}).eval() for padding in ("same", "half"))
    half.load_state_dict(same.state_dict())
    maps = same.maps(torch.randn(1, 3, 299, 299))
    for name in ("block1", "block2", "block3", "block12"):
        before = same.stages[same.stages.index(name) - 1]
        x = maps[before]
        assert torch.equal(same.get_submodule(name)(x), half.get_submodule(name)(x)) == (x.shape[-1] != 74), name


def by_definition(x: Tensor, kernel: int, stride: int, *, mean: bool) -> Tensor:
    """Window by window: the padding total is what ceil(n / stride) windows need, the odd pixel goes last."""
    size = x.shape[-1]
    count = -(-size // stride)
    before = max((count - 1) * stride + kernel - size, 0) // 2
    out = torch.empty(*x.shape[:2], count, count)
    for row in range(count):
        for column in range(count):
            top, left = row * stride - before, column * stride - before
            window = x[..., max(top, 0) : top + kernel, max(left, 0) : left + kernel]
            out[..., row, column] = window.mean((-2, -1)) if mean else window.amax((-2, -1))
    return out


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2)])
def test_same_pooling_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, size, size)
    assert torch.equal(SameMaxPool2d(kernel, stride)(x), by_definition(x, kernel, stride, mean=False))
    torch.testing.assert_close(SameAvgPool2d(kernel, stride)(x), by_definition(x, kernel, stride, mean=True))


def test_a_port_counts_the_padding_as_zeros() -> None:
    x = torch.ones(1, 1, 4, 4)
    assert torch.equal(SameAvgPool2d(3, 2)(x), torch.ones(1, 1, 2, 2))
    counted = SameAvgPool2d(3, 2, count_border=True)(x)
    torch.testing.assert_close(counted, torch.tensor([[[[1, 2 / 3], [2 / 3, 4 / 9]]]]))


def test_weights_start_as_glorots() -> None:
    torch.manual_seed(0)
    net = create("xception_tiny")
    conv = net.get_submodule("middle.0.branch.1.pointwise")
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (46 + 46)), rel=0.01)
