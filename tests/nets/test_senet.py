"""Squeeze-and-excitation: the layer against its equations, and the function that puts it into a net."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, madds, parameters
from striate.errors import RequestError
from striate.layers.conv import ConvAct
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.layers.table_conv import TableConv2d
from striate.nets import senet
from striate.nets.build import create
from striate.nets.catalog import entry, papers
from striate.nets.check import check_net
from striate.nets.mobilenet_v1 import SeparableConv
from striate.nets.senet import ROWS, SENET154_ROWS, SENet154, squeeze_excite, squeeze_excite_convs


def layers(net: nn.Module) -> list[SqueezeExcitation]:
    return [module for module in net.modules() if isinstance(module, SqueezeExcitation)]


def test_the_layer_is_equations_two_to_four() -> None:
    torch.manual_seed(0)
    layer = SqueezeExcitation(8, 2)
    x = torch.randn(3, 8, 5, 4)
    down, down_bias = layer.reduce.weight[:, :, 0, 0], layer.reduce.bias
    up, up_bias = layer.expand.weight[:, :, 0, 0], layer.expand.bias
    z = x.flatten(2).sum(2) / 20
    s = torch.sigmoid((z @ down.T + down_bias).clamp(min=0) @ up.T + up_bias)
    torch.testing.assert_close(layer(x), s[:, :, None, None] * x)


def test_it_stands_on_the_branch_before_the_addition() -> None:
    net = create("se_resnet_tiny").eval()
    block = net.get_submodule("stage1.0")
    for layer in layers(block):
        nn.init.constant_(layer.expand.bias, -1000)  # sigmoid: all channels of the branch are silenced
    x = torch.randn(2, 16, 6, 6)
    assert torch.equal(block(x), x.relu())


def test_the_two_layers_of_every_block_are_the_tables() -> None:
    with torch.device("meta"):
        net = create("se_resnet50")
    found = [(layer.reduce.in_channels, layer.reduce.out_channels) for layer in layers(net)]
    assert found == [(row.fc_up, row.fc_down) for row in ROWS for _ in range(row.blocks)]
    for row, stage in zip(ROWS, describe("se_resnet50")[1:5], strict=True):
        assert stage.output == (row.conv_1x1_out, row.output_size, row.output_size)


@pytest.mark.parametrize(
    ("name", "with_biases", "without"), [("se_resnet50", 28_088_024, 28_071_976), ("se_bn_inception", 11_931_622, None)]
)
def test_the_papers_nets_are_met_exactly(name: str, with_biases: int, without: int | None) -> None:
    with torch.device("meta"):
        assert parameters(create(name)) == with_biases
        if without:
            assert parameters(create(f"{name}_lecture")) == without


def test_it_stands_behind_every_module_of_inception() -> None:
    net = create("bn_inception_tiny").eval()
    squeeze_excite(net)
    assert len(layers(net)) == 10
    x = torch.rand(2, 3, 32, 32)
    for layer in layers(net):
        nn.init.constant_(layer.expand.bias, 1000)  # sigmoid: every channel passes as it is
        nn.init.zeros_(layer.expand.weight)
    plain = create("bn_inception_tiny").eval()
    kept = {key.replace(".body.", "."): value for key, value in net.state_dict().items() if "excitation" not in key}
    plain.load_state_dict(kept)
    torch.testing.assert_close(net(x), plain(x))


def test_a_units_branch_ends_in_it() -> None:
    net = create("preact_resnet_tiny", options={"depth": 20}).eval()
    squeeze_excite(net)
    unit = net.get_submodule("stage1.1")
    (layer,) = layers(unit)
    nn.init.constant_(layer.expand.bias, -1000)
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(unit(x), x)


def test_biases_are_counted_apart() -> None:
    """Per block of C channels: 2 C^2 / r weights, and C / r + C biases."""
    plain, channels = entry("resnet20").parameters, [16] * 3 + [32] * 3 + [64] * 3
    weights = sum(2 * c * c // 16 for c in channels)
    assert parameters(create("se_resnet20", options={"bias": False})) == plain + weights
    assert entry("se_resnet20").parameters == plain + weights + sum(c // 16 + c for c in channels)
    assert entry("se_resnet20").madds == entry("resnet20").madds + weights


def test_parameters_of_the_net_keep_their_names_and_values() -> None:
    net = create("resnet8")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    squeeze_excite(net)
    after = net.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert {key for key in after if "excitation" not in key} == set(before)
    assert len(layers(net)) == 3
    assert all(not layer.reduce.bias.any() and layer.reduce.weight.any() for layer in layers(net))


def test_any_part_of_any_net_can_be_named() -> None:
    net = create("lenet5").eval()
    squeeze_excite(net, {TableConv2d: lambda block: ""}, reduction=4)
    (layer,) = layers(net)
    assert (layer.reduce.in_channels, layer.reduce.out_channels) == (16, 4)
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    assert net(torch.rand(1, 1, 32, 32)).shape == (1, 10)
    hook.remove()
    assert seen[0].shape == (1, 16, 10, 10)


def test_a_plain_mobilenet_becomes_the_papers() -> None:
    with torch.device("meta"):
        net = create("mobilenet_v1")
        squeeze_excite(net)
    assert parameters(net) == entry("se_mobilenet_v1").parameters
    # Table 3 says 572 M multiply-adds, which is with the additions of every pooling: 569 M without.
    stages = [net.get_submodule(name) for name in net.stages[1:]]
    blocks = [sum(isinstance(module, SeparableConv) for module in stage.modules()) for stage in stages]
    maps = [row.output for row in describe("mobilenet_v1")[1:-1]]
    additions = sum(count * c * h * w for count, (c, h, w) in zip(blocks, maps, strict=True))
    assert round((madds(net, (224, 224)) + additions) / 1e6) == 572


# Counted from independent builds.
SECOND_WING = {
    "senet154": (115_088_984, 20_688_363_520),
    "se_vgg16_bn": (138_596_784, 15_470_490_624),
    "se_inception_resnet_v2": (64_387_444, 13_164_289_376),
    "se_shufflenet_g3": (2_484_533, 138_071_088),
}


@pytest.mark.parametrize("name", SECOND_WING)
def test_counts_of_the_second_wing_are_those_of_independent_builds(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == SECOND_WING[name]


def test_senet_154_is_its_table() -> None:
    with torch.device("meta"):
        net = create("senet154")
    found = [(layer.reduce.in_channels, layer.reduce.out_channels) for layer in layers(net)]
    assert found == [(row.fc_up, row.fc_down) for row in SENET154_ROWS for _ in range(row.blocks)]
    convs = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    maps = net.eval().maps(torch.empty(1, 3, 224, 224, device="meta"))
    for number, row in enumerate(SENET154_ROWS, start=2):
        block = f"conv{number}_x.0"
        assert maps[f"conv{number}_x"].shape[1:] == (row.conv_1x1_out, row.output_size, row.output_size)
        three = convs[f"{block}.conv2.conv"]
        assert (three.groups, three.out_channels) == (row.groups, row.conv_3x3)
        assert convs[f"{block}.conv1.conv"].out_channels == row.conv_1x1
        assert three.stride == ((1, 1) if number == 2 else (2, 2))
        assert convs[f"{block}.shortcut.conv"].kernel_size == (row.projection, row.projection)
    # 154 layers: those of the blocks with weights, the three of the stem, the classifier; SE and shortcuts not counted.
    assert 3 * sum(row.blocks for row in SENET154_ROWS) + 3 + 1 == 154


def test_senet_154_with_a_block_a_row_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senet, "SENET154_ROWS", tuple(row._replace(blocks=1) for row in SENET154_ROWS))

    def made(classes: int, in_channels: int = 3) -> nn.Module:
        net = SENet154(classes=classes, in_channels=in_channels, width=1 / 32)
        squeeze_excite(net)
        return net

    assert [str(failure) for failure in check_net(made, classes=3, input_size=(64, 64))] == []


def test_it_stands_after_every_convolution_of_vgg() -> None:
    net = create("vgg_tiny").eval()
    squeeze_excite_convs(net)
    convs = [module for module in net.modules() if isinstance(module, ConvAct)]
    assert len(layers(net)) == len(convs)
    assert [name for name, _ in convs[0].named_children()][-2:] == ["act", "excitation"]
    with torch.device("meta"):
        assert len(layers(create("se_vgg16_bn"))) == 13


def test_it_stands_on_the_branch_of_a_shuffle_unit_and_before_the_scale_of_a_residual() -> None:
    for name, block, channels in (("shufflenet_tiny", "stage2.1", 24), ("inception_resnet_tiny", "a.0", 16)):
        net = create(name).eval()
        squeeze_excite(net)
        for layer in layers(net):
            nn.init.constant_(layer.expand.bias, -1000)
        x = torch.randn(2, channels, 6, 6)
        assert torch.equal(net.get_submodule(block)(x), x.relu())
    with torch.device("meta"):
        assert len(layers(create("se_inception_resnet_v2"))) == 40
        widths = [layer.expand.out_channels for layer in layers(create("se_shufflenet_g3"))]
    # Where a unit halves the map, the branch has only the channels that the pooled input has not.
    assert widths[0] == 240 - 24 and widths[1] == 240


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(RequestError, match=r"lenet5 has none of the blocks .*: Inception, Block, Unit, SeparableConv"):
        squeeze_excite(create("lenet5"))
    with pytest.raises(RequestError, match="reduction must be at least 1, not 0"):
        squeeze_excite(create("resnet8"), reduction=0)


@pytest.mark.parametrize(
    ("name", "count", "cost"),
    [
        ("se_resnext50_32x4d", 27_559_896, 4_232_994_816),
        ("se_resnext101_32x4d", 48_955_416, 7_974_739_968),
        ("se_wrn_16_8", 11_049_290, 1_548_231_680),
        ("se_shake_26_2x96d", 26_292_546, 3_776_989_440),
        ("se_shake_even_29_2x4x64d", 35_051_508, 5_387_874_304),
    ],
)
def test_the_known_counts_of_other_papers_networks(name: str, count: int, cost: int) -> None:
    assert (entry(name).parameters, entry(name).madds) == (count, cost)


@pytest.mark.parametrize(
    ("name", "part", "inputs", "channels"),
    [("wrn_tiny", "conv2.0", 16, 16), ("resnext_tiny", "stage1.0", 8, 32), ("shake_shake_tiny", "stage1.0", 16, 8)],
)
def test_it_stands_on_the_branches_of_other_papers_blocks(name: str, part: str, inputs: int, channels: int) -> None:
    net = create(name).eval()
    squeeze_excite(net)
    block = net.get_submodule(part)
    (layer,) = layers(block)
    assert layer.expand.out_channels == channels
    nn.init.constant_(layer.expand.bias, -1000)  # what is left is the shortcut
    x = torch.randn(2, inputs, 6, 6)
    shortcut = x if getattr(block, "shortcut", None) is None else block.get_submodule("shortcut")(x)
    assert torch.equal(block(x), shortcut.relu() if name == "resnext_tiny" else shortcut)


def test_rows_of_published_numbers_name_nets_that_there_are() -> None:
    files = ("mobilenet_v1", "mobilenet_v2", "efficientnet", "senet")
    for paper in (paper for file, paper in papers() if file in files and "rows" in paper):
        for row in paper["rows"]:
            assert row.get("why_not") or row["net"] in paper["nets"], row
