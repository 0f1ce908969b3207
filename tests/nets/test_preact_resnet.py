"""The units of Identity Mappings, each case written out once more and held against the network's."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.nets import catalog, preact_resnet
from striate.nets.build import create
from striate.nets.cells import Conv
from striate.nets.preact_resnet import ACTIVATION_ROWS, SHORTCUT_ROWS, CifarPreActResNet, Design, Unit

# Counted from other builds of the same networks; that facts.json is what the code makes is tested in test_counts.
KNOWN = {
    "preact_resnet110": (1_730_522, 253_149_824),
    "preact_resnet164": (1_703_258, 244_500_992),
    "preact_resnet1001": (10_327_706, 1_487_849_984),
    "preact_resnet152": (60_185_128, 11_513_626_624),
    "preact_resnet200": (64_666_152, 15_007_481_856),
}
BASIC = (Conv(3, 4), Conv(3, 4))


def unit(activation: str = "full_preactivation", shortcut: str = "original", **more: object) -> Unit:
    torch.manual_seed(0)
    given = {"in_channels": 4, "stride": 1, "opens": False, "gate_bias": -6.0, **more}
    design = Design(activation, shortcut, given.pop("gate_bias"), "1x1")  # type: ignore[arg-type]
    return Unit(convs=BASIC, design=design, **given)  # type: ignore[arg-type]


def norm(x: Tensor) -> Tensor:
    """A batch norm that has just been made, in training."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def by_hand(activation: str, made: Unit, x: Tensor) -> Tensor:
    """The five columns of Figure 4, read from top to bottom."""
    first, second = (module.weight for module in made.residual if isinstance(module, nn.Conv2d))

    def conv(weight: Tensor, y: Tensor) -> Tensor:
        return F.conv2d(y, weight, padding=1)

    figure = {
        "original": lambda: (x + norm(conv(second, norm(conv(first, x)).relu()))).relu(),
        "bn_after_addition": lambda: norm(x + conv(second, norm(conv(first, x)).relu())).relu(),
        "relu_before_addition": lambda: x + norm(conv(second, norm(conv(first, x)).relu())).relu(),
        "relu_only_preactivation": lambda: x + norm(conv(second, norm(conv(first, x.relu())).relu())),
        "full_preactivation": lambda: x + conv(second, norm(conv(first, norm(x).relu())).relu()),
    }
    return figure[activation]()


def test_the_catalogue_has_the_known_counts() -> None:
    entries = {name: catalog.entry(name) for name in KNOWN}
    assert {name: (entry.parameters, entry.madds) for name, entry in entries.items()} == KNOWN


@pytest.mark.parametrize("activation", ACTIVATION_ROWS)
def test_a_unit_is_its_column_of_figure_4(activation: str) -> None:
    made, x = unit(activation), torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(made(x), by_hand(activation, made, x), atol=1e-5, rtol=1e-4)


def test_the_cases_are_the_options() -> None:
    assert tuple(ACTIVATION_ROWS) == get_args(preact_resnet.Activation)
    assert tuple(SHORTCUT_ROWS) == get_args(preact_resnet.Shortcut)


@pytest.mark.parametrize("case", SHORTCUT_ROWS)
def test_a_shortcut_is_its_row_of_table_1(case: str) -> None:
    made, x = unit("original", case, gate_bias=-1.5), torch.randn(3, 4, 5, 5)
    branch = made.residual(x)
    gate = torch.sigmoid(F.conv2d(x, made.addition.gate.weight, made.addition.gate.bias)) if made.addition.gate else x
    if case == "dropout_shortcut":
        torch.manual_seed(1)
        dropped = F.dropout(x, 0.5)
        assert 0.3 < (dropped == 0).float().mean() < 0.7
    expected = {
        "original": lambda: x + branch,
        "constant_scaling": lambda: 0.5 * x + 0.5 * branch,
        "exclusive_gating": lambda: (1 - gate) * x + gate * branch,
        "shortcut_only_gating": lambda: (1 - gate) * x + branch,
        "conv_shortcut": lambda: norm(F.conv2d(x, made.shortcut[0].weight)) + branch,  # type: ignore[index]
        "dropout_shortcut": lambda: dropped + branch,
    }[case]()
    torch.manual_seed(1)
    torch.testing.assert_close(made(x), expected.relu(), atol=1e-5, rtol=1e-4)
    assert torch.equal(unit("original", "dropout_shortcut").eval()(x), unit("original").eval()(x))


def test_gates_start_at_their_bias_and_have_a_channel_each() -> None:
    net = CifarPreActResNet(depth=14, activation="original", shortcut="exclusive_gating", gate_bias=-3)
    gates = [module.gate for module in net.modules() if isinstance(module, preact_resnet.Addition)]
    assert [gate.out_channels for gate in gates if gate] == [16, 16, 32, 32, 64, 64]
    assert all((gate.bias == -3).all() for gate in gates if gate and gate.bias is not None)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("activation", ACTIVATION_ROWS)
@pytest.mark.parametrize("shortcut", SHORTCUT_ROWS)
def test_every_case_trains_with_every_other(activation: str, shortcut: str) -> None:
    options = {"activation": activation, "shortcut": shortcut, "depth": 8, "bottleneck": False}
    net = create("preact_resnet_tiny", options=options)
    net(torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_path_between_units_is_an_identity() -> None:
    # Equation 4: the last map of a stage is its first plus what the branches add.
    net = create("preact_resnet_tiny", options={"depth": 29}).eval()
    x = net.stem(torch.randn(1, 3, 32, 32))
    opening, *others = net.stage1
    x = opening(x)
    total = x
    for one in others:
        total = total + one.residual(one.before(total))
    torch.testing.assert_close(net.stage1[2](net.stage1[1](x)), total)
    assert len(others) == 2


def test_the_first_unit_takes_the_stems_activation_and_the_last_has_its_own() -> None:
    net = create("preact_resnet_tiny")
    assert [type(module) for module in net.stem] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [len(net.get_submodule(f"stage{number}")[0].before) for number in (1, 2, 3)] == [0, 2, 2]
    assert [type(module) for module in net.last] == [nn.BatchNorm2d, nn.ReLU]
    original = create("preact_resnet_tiny", options={"activation": "original"})
    assert len(original.last) == 0


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("preact_resnet110", {"activation": "original"}, (1_730_714, 253_149_824)),
        ("preact_resnet164", {"activation": "original"}, (1_704_154, 244_500_992)),
        ("preact_resnet164", {"stride_in": "3x3"}, (1_703_258, 247_646_720)),
        ("preact_resnet200", {"stride_in": "1x1"}, (64_666_152, 14_776_270_848)),
    ],
)
def test_counts_of_variants(name: str, options: dict[str, object], count: tuple[int, int]) -> None:
    with torch.device("meta"):
        net = create(name, options=options)
    assert (parameters(net), madds(net, (224, 224) if "200" in name else (32, 32))) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 110}, "depth must be 9n + 2, from 11 to 1202 (110, 164, 1001, ...), not 111"),
        ({"depth": 110, "bottleneck": False}, "depth must be 6n + 2, from 8 to 1202 (20, 56, 110, ...), not 111"),
        ({"gate_bias": 21}, "gate_bias must be in -20 to 20, not 21"),
        ({"shortcut": "gating"}, "must be 'original' or 'constant_scaling' or"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    if "depth" in options:
        options = {**options, "depth": 111}
    with pytest.raises(RequestError) as caught:
        create("preact_resnet_tiny", options=options)
    assert message in str(caught.value)
