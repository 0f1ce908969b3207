"""Self-normalising networks: the constants, the fixed point, alpha dropout, and the authors' nets."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import parameters
from striate.errors import RequestError
from striate.layers.dropout import AlphaDropout
from striate.nets.build import create, net_class
from striate.nets.catalog import entry
from striate.nets.snn import ALPHA, CIFAR, MNIST, ROWS, SCALE

COUNTS = {
    "snn_mnist": 535_818,
    "snn_cifar": 1_250_858,
    "snn8_mnist": 4_931_370,
    "snn16_mnist": 9_854_890,
    "snn32_mnist": 19_701_930,
    "snn8_cifar": 75_552_778,
    "snn16_cifar": 151_074_826,
    "snn32_cifar": 302_118_922,
}


def normal_below(x: float) -> float:
    """The share of a standard normal distribution below x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def test_the_constants_solve_the_two_equations_of_the_fixed_point() -> None:
    # Means of exp(x) and exp(2x) over the negative half of a standard normal, in closed form.
    once = math.exp(0.5) * normal_below(-1)
    twice = math.exp(2) * normal_below(-2)
    alpha = math.sqrt(1 / (2 * math.pi)) / (0.5 - once)  # the mean stays 0
    scale = (0.5 + alpha**2 * (twice - 2 * once + 0.5)) ** -0.5  # the variance stays 1
    assert (alpha, scale) == (pytest.approx(ALPHA, rel=1e-14), pytest.approx(SCALE, rel=1e-14))


def test_selu_is_its_formula_and_elu_scaled() -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    formula = SCALE * torch.where(x > 0, x, ALPHA * x.exp() - ALPHA)
    torch.testing.assert_close(nn.SELU()(x), formula, rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(nn.SELU()(x), SCALE * nn.ELU(ALPHA)(x), rtol=1e-15, atol=1e-15)


def moments(x: Tensor) -> tuple[float, float]:
    return float(x.detach().mean()), float(x.detach().var())


def test_32_layers_keep_mean_and_variance_and_relu_does_not() -> None:
    torch.manual_seed(0)
    net: Any = create("snn32_mnist").eval()
    x = torch.randn(256, 1, 28, 28)
    with torch.no_grad():
        for maps in net.maps(x).values():
            mean, variance = moments(maps)
            assert abs(mean) < 0.1 and abs(variance - 1) < 0.1
        for stage in net.stages:  # the same weights under ReLU
            x = getattr(net, stage).conv(x).relu()
    assert moments(x)[1] < 1e-6


def test_he_weights_do_not_keep_them() -> None:
    torch.manual_seed(0)
    net: Any = create("snn32_mnist").eval()
    for stage in net.stages:
        getattr(net, stage).conv.weight.data *= math.sqrt(2)
    with torch.no_grad():
        assert moments(net.features(torch.randn(256, 1, 28, 28)))[1] > 2


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_alpha_dropout_keeps_mean_and_variance(rate: float) -> None:
    torch.manual_seed(1)
    keep, dropped = 1 - rate, -SCALE * ALPHA
    a = (keep + dropped**2 * keep * rate) ** -0.5
    b = -a * rate * dropped
    x = torch.randn(1_000_000)
    y = AlphaDropout(rate)(x)
    gone = torch.isclose(y, torch.tensor(a * dropped + b))
    assert float(gone.float().mean()) == pytest.approx(rate, abs=0.002)
    torch.testing.assert_close(y[~gone], a * x[~gone] + b)
    assert moments(y) == (pytest.approx(0, abs=0.005), pytest.approx(1, abs=0.01))
    assert torch.equal(AlphaDropout(rate).eval()(x), x)
    theirs = nn.AlphaDropout(rate)(x)  # torch's: the same two moments, and the same value for what is dropped
    assert moments(theirs) == (pytest.approx(0, abs=0.005), pytest.approx(1, abs=0.01))
    assert float(torch.isclose(theirs, y[gone][0]).float().mean()) == pytest.approx(rate, abs=0.002)


def test_only_alpha_dropout_is_used_with_the_tutorials_rates() -> None:
    for name, rates in {"snn_cifar": [0.1, 0.1, 0.2], "snn_mnist": [0.05, 0.05], "snn8_mnist": []}.items():
        with torch.device("meta"):
            net = create(name)
        assert [module.rate for module in net.modules() if isinstance(module, AlphaDropout)] == rates
        assert not any(isinstance(module, nn.Dropout | nn.BatchNorm2d | nn.ReLU) for module in net.modules())


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_authors_nets(name: str) -> None:
    assert entry(name).parameters == COUNTS[name]


@pytest.mark.parametrize(("name", "rows"), [("snn_cifar", CIFAR), ("snn_mnist", MNIST)])
def test_maps_are_as_large_as_the_table_says(name: str, rows: str) -> None:
    with torch.device("meta"):
        net: Any = create(name).eval()
        x = torch.empty(1, net.in_channels, *net.input_size)
    assert net_class(name).table == rows
    *hidden, output = ROWS[rows]
    for row in hidden:
        x = getattr(net, row.layer)(x)
        assert x.shape == (1, row.units, row.size, row.size)
    assert net.head(x.flatten(1)).shape == (1, output.units)


def test_the_baseline_of_figure_1_normalises_after_relu() -> None:
    with torch.device("meta"):
        net: Any = create("snn8_mnist", options={"activation": "relu_bn"})
    assert [type(part).__name__ for part in net.full1] == ["Conv2d", "ReLU", "BatchNorm2d"]
    assert parameters(net) == COUNTS["snn8_mnist"] + 8 * 2 * 784
    with pytest.raises(RequestError, match="option layers of snn8_mnist must be 8 or 16 or 32, not 9"):
        create("snn8_mnist", options={"layers": 9})


def test_weights_begin_by_lecuns_rule() -> None:
    torch.manual_seed(2)
    net: Any = create("snn_cifar")
    for layer, fan_in in ((net.conv4.conv, 9 * 64), (net.full.conv, 36 * 64)):
        assert float(layer.weight.detach().var()) == pytest.approx(1 / fan_in, rel=0.03)
        assert not layer.bias.any()
    baseline: Any = create("snn8_mnist", options={"activation": "relu_bn"})
    assert float(baseline.full2.conv.weight.detach().var()) == pytest.approx(2 / 784, rel=0.03)
    tutorial: Any = create("snn_mnist")
    assert float(tutorial.head.weight.detach().var()) == pytest.approx(2 / (256 + 10), rel=0.1)
