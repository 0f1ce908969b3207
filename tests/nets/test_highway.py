"""Highway networks: the gate at its ends, counts, and what the gates do for a gradient at the start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.layers.highway import Highway, convolutional
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.highway import CIFAR, MNIST, ROWS

KNOWN = {
    "highway19": (2_256_838, 330_826_728),
    "highway10_mnist": (151_690, 31_650_624),
    "highway10_mnist_16": (38_986, None),
    "highway_fc10": (80_560, None),
    "highway_fc20": (131_560, None),
    "highway_fc50": (284_560, None),
    "highway_fc100": (539_560, None),
}


def set_gates(net: nn.Module, bias: float) -> None:
    """Gates that are the same for every input."""
    for module in net.modules():
        if isinstance(module, Highway):
            assert isinstance(module.gate, nn.Conv2d) and module.gate.bias is not None
            nn.init.zeros_(module.gate.weight)
            nn.init.constant_(module.gate.bias, bias)


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    count, madds = KNOWN[name]
    assert entry(name).parameters == count
    assert madds is None or entry(name).madds == madds
    if name == "highway19":
        with torch.device("meta"):
            assert parameters(create(name, classes=100)) == 2_265_928


def test_the_layer_is_equation_3() -> None:
    torch.manual_seed(0)
    layer, x = convolutional(4, 3), torch.randn(2, 4, 5, 5)
    gate = torch.sigmoid(layer.gate(x))
    torch.testing.assert_close(layer(x), layer.transform(x) * gate + x * (1 - gate))


def test_closed_gates_make_the_identity_and_open_ones_a_plain_net() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(*(convolutional(4, 3) for _ in range(5)))
    x = torch.randn(2, 4, 6, 6)
    set_gates(layers, -100)
    assert torch.equal(layers(x), x)
    set_gates(layers, 100)
    plain = nn.Sequential(*(layer.transform for layer in layers.children()))
    assert torch.equal(layers(x), plain(x))


def test_gates_start_nearly_closed() -> None:
    torch.manual_seed(0)
    for name, bias in (("highway19", -2.0), ("highway10_mnist", -1.0), ("highway_fc50", -2.0)):
        gates = [module.gate for module in create(name).modules() if isinstance(module, Highway)]
        assert all(isinstance(gate, nn.Conv2d) and bool((gate.bias == bias).all()) for gate in gates)
    layer, x = convolutional(16, 3), torch.rand(2, 16, 8, 8)
    nn.init.kaiming_uniform_(layer.gate.weight, nonlinearity="linear")
    nn.init.constant_(layer.gate.bias, -2.0)
    opened = float(torch.sigmoid(layer.gate(x)).mean().detach())
    assert opened == pytest.approx(1 / (1 + math.e**2), abs=0.05)  # 0.12


def gradient_of_the_first_layer(depth: int, gated: bool) -> float:
    torch.manual_seed(0)
    net = create("highway_fc10", options={"depth": depth, "gated": gated})
    net(torch.rand(8, 1, 28, 28)).logsumexp(1).sum().backward()
    first: Tensor = net.get_submodule("full.0").weight.grad  # type: ignore[assignment]
    return float(first.norm())


def test_fifty_layers_pass_a_gradient_at_the_start_where_plain_ones_do_not() -> None:
    shallow, deep = (gradient_of_the_first_layer(depth, gated=True) for depth in (10, 50))
    assert deep > 0.001 * shallow > 0
    assert gradient_of_the_first_layer(50, gated=False) < 1e-4 * deep


def test_a_connected_net_is_one_of_linear_layers() -> None:
    torch.manual_seed(0)
    net = create("highway_fc10").eval()
    x = torch.rand(3, 1, 28, 28)
    layer = net.get_submodule("full.0")
    y = torch.relu(x.flatten(1) @ layer.weight.flatten(1).T + layer.bias)  # type: ignore[operator, union-attr]
    for one in net.get_submodule("highway").children():
        assert isinstance(one, Highway)
        h, t = one.get_submodule("transform.0"), one.gate
        transformed = torch.relu(y @ h.weight[:, :, 0, 0].T + h.bias)  # type: ignore[index, operator]
        gate = torch.sigmoid(y @ t.weight[:, :, 0, 0].T + t.bias)  # type: ignore[index, operator]
        y = transformed * gate + y * (1 - gate)
    torch.testing.assert_close(net.embed(x), y, atol=1e-5, rtol=1e-4)


def test_layers_and_maps_are_the_tables() -> None:
    for name, text, depth in (("highway19", CIFAR, 19), ("highway10_mnist", MNIST, 10)):
        rows = ROWS[text]
        with torch.device("meta"):
            net = create(name)
        assert sum(row.highway + (row.plain is not None) for row in rows) + 1 == depth  # and the linear layer
        for row in rows:
            layers = [one for one in net.get_submodule(row.stage).modules() if isinstance(one, Highway)]
            assert len(layers) == row.highway
        rates = [one.p for one in net.modules() if isinstance(one, nn.Dropout)]
        assert rates == [0.2, *(row.dropout for row in rows if row.dropout), *([0.2] if name == "highway19" else [])]
    assert [row.output for row in describe("highway19")] == [(32, 16, 16), (80, 8, 8), (128, 8, 8), (100, 8, 8), (10,)]
    assert [row.output for row in describe("highway10_mnist")] == [(32, 12, 12), (32, 6, 6), (32, 3, 3), (10,)]


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("highway_tiny", {"gate_bias": 21.0}, "gate_bias must be in -20 to 20, not 21.0"),
        ("highway10_mnist", {"channels": 0}, "channels must be from 1 to 512, not 0"),
        ("highway_fc10", {"depth": 2}, "depth must be from 3 to 1000, not 2"),
    ],
)
def test_wrong_options_are_refused(net: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create(net, options=options)
