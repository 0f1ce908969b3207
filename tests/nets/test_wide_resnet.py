"""Wide ResNet: counts, the block written out once more, dropout, and the initial weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.cells import Conv
from striate.nets.resnet import Block
from striate.nets.wide_resnet import ROWS, WideBlock, WideResNet, imagenet_stages

# Counted from other builds of the same networks, for 10 and for 100 classes.
KNOWN = {
    "wrn_16_8": (10_961_370, 11_007_540, 1_548_145_664),
    "wrn_28_10": (36_479_194, 36_536_884, 5_243_328_768),
    "wrn_40_4": (8_949_210, 8_972_340, 1_298_582_016),
    "wrn_40_1": (563_930, 569_780, 83_280_512),
    "wrn_40_2": (2_243_546, 2_255_156, 327_599_360),
    "wrn_40_8": (35_748_314, 35_794_484, 5_172_024_320),
    "wrn_22_8": (17_158_106, 17_204_276, 2_454_115_328),
    "wrn_28_12": (52_517_850, 52_587_060, 7_543_905_792),
    "wrn_16_10": (17_116_634, 17_174_324, 2_412_173_568),
    "wrn_40_10_dropout": (55_841_754, 55_899_444, 8_074_483_968),
}
CONVS = (Conv(3, 8), Conv(3, 8))


def norm(x: Tensor) -> Tensor:
    """A batch norm that has just been made, in training."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    ten, hundred, madds = KNOWN[name]
    assert (entry(name).parameters, entry(name).madds) == (ten, madds)
    with torch.device("meta"):
        assert parameters(create(name, classes=100)) == hundred


def test_wrn_50_2_is_resnet_50_with_inner_widths_doubled() -> None:
    assert (entry("wide_resnet50_2").parameters, entry("wide_resnet50_2").madds) == (68_883_240, 11_398_021_120)
    with torch.device("meta"):
        wide, plain = create("wide_resnet50_2"), create("resnet50_modern")
    blocks = [[one for one in net.modules() if isinstance(one, Block)] for net in (wide, plain)]
    assert len(blocks[0]) == 16 == sum(stage.blocks for stage in imagenet_stages())
    for ours, theirs in zip(*blocks, strict=True):
        pairs = [(ours.get_submodule(f"{name}.conv"), theirs.get_submodule(f"{name}.conv")) for name in ours.convs]
        assert [one.out_channels / other.out_channels for one, other in pairs] == [2, 2, 1]
        assert [one.stride for one, _ in pairs] == [other.stride for _, other in pairs]


def test_groups_have_the_tables_sizes() -> None:
    rows = describe("wrn_28_10")
    assert [row.name for row in rows] == [*(row.group_name for row in ROWS), "last", "head"]
    for row, shown in zip(ROWS, rows, strict=False):
        channels = row.block_type[-1].channels * (10 if row.times_k else 1)
        assert shown.output == (channels, row.output_size, row.output_size)
    # The depth counts the convolutions, those of the three shortcuts among them.
    assert sum(isinstance(one, nn.Conv2d) for one in WideResNet(depth=16, k=2).modules()) == 16


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 1), (4, 2)])
def test_a_block_is_figure_1d(in_channels: int, stride: int) -> None:
    torch.manual_seed(0)
    block, x = WideBlock(in_channels, CONVS, stride, dropout=0.0), torch.randn(3, in_channels, 6, 6)
    seen = norm(x).relu()
    first = nn.functional.conv2d(seen, block.residual.conv1.weight, stride=stride, padding=1)
    branch = nn.functional.conv2d(norm(first).relu(), block.residual.conv2.weight, padding=1)
    shortcut = x if block.shortcut is None else nn.functional.conv2d(seen, block.shortcut.weight, stride=stride)
    assert (block.shortcut is None) == (in_channels == 8)
    torch.testing.assert_close(block(x), shortcut + branch, atol=1e-5, rtol=1e-4)


def test_no_projection_where_k_is_one() -> None:
    blocks = [one for one in create("wrn_tiny").modules() if isinstance(one, WideBlock)]
    assert [block.shortcut is not None for block in blocks] == [False, True, True]
    wider = [one for one in WideResNet(depth=10, k=2).modules() if isinstance(one, WideBlock)]
    assert all(block.shortcut is not None for block in wider)


def test_dropout_stands_before_the_second_convolution_in_training_only() -> None:
    torch.manual_seed(0)
    block, x = WideBlock(8, CONVS, 1, dropout=0.5), torch.randn(4, 8, 8, 8)
    seen: list[Tensor] = []
    block.residual.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    block(x)
    # Half of what ReLU lets through, about half, remains, times two.
    assert 0.2 < (seen[0] > 0).float().mean() < 0.3
    plain = WideBlock(8, CONVS, 1, dropout=0.0)
    plain.load_state_dict(block.state_dict())
    assert torch.equal(block.eval()(x), plain.eval()(x))
    rates = [
        one.p
        for one in create("wrn_16_8_dropout", classes=2, options={"k": 1}).modules()
        if isinstance(one, nn.Dropout)
    ]
    assert rates == [0.4] * 6


def test_the_initial_weights_are_by_fan_in() -> None:
    torch.manual_seed(0)
    net = WideResNet(depth=10, k=4)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            expected = math.sqrt(2 / math.prod(module.weight.shape[1:]))
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.02)
    assert float(net.head.weight.detach().abs().max()) <= 1 / math.sqrt(256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth must be 6N \\+ 4, from 10 to 1204"),
        ({"k": 33}, "k, the widening factor, must be from 1 to 32, not 33"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create("wrn_tiny", options=options)
