"""Maxout units against what the paper proves of them, and the nets against the authors' scripts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.layers.dropout import UnscaledDropout
from striate.layers.maxout import Maxout, MaxoutConv2d
from striate.nets.build import create, net_class
from striate.nets.catalog import entry
from striate.nets.maxout import ROWS

# Counted from the authors' scripts.
COUNTS = {
    "maxout_mnist_full": (1_233_610, 1_231_200),
    "maxout_mnist": (471_994, 30_746_736),
    "maxout_cifar": (16_247_830, 732_290_696),
    "maxout_cifar_first": (5_468_282, 267_217_248),
    "maxout_svhn": (10_461_050, 303_466_400),
}


def unit(*weights: Tensor) -> MaxoutConv2d:
    """One unit over 3 channels, with these pieces and no bias."""
    made = MaxoutConv2d(3, 1, 1, pieces=len(weights))
    made.load_state_dict(
        {"conv.weight": torch.stack(weights)[:, :, None, None], "conv.bias": torch.zeros(len(weights))}
    )
    return made


def test_two_pieces_are_the_absolute_value_or_relu() -> None:
    torch.manual_seed(0)
    w, x = torch.randn(3), torch.randn(16, 3, 4, 5)
    linear = torch.einsum("c,nchw->nhw", w, x)[:, None]
    torch.testing.assert_close(unit(w, -w)(x), linear.abs())
    torch.testing.assert_close(unit(w, torch.zeros(3))(x), linear.relu())
    torch.testing.assert_close(unit(w)(x), linear)


def test_the_pieces_of_a_unit_are_its_own() -> None:
    x = torch.arange(6.0)[None, :, None, None] * torch.tensor([1.0, -1.0])  # 0 to 5, and 0 to -5
    assert Maxout(3)(x)[0, :, 0].tolist() == [[2, 0], [5, -3]]
    assert Maxout(2)(x)[0, :, 0].tolist() == [[1, 0], [3, -2], [5, -4]]
    with pytest.raises(RequestError, match="one piece at least, not 0"):
        Maxout(0)


def test_a_layer_is_convex_in_its_input() -> None:
    torch.manual_seed(1)
    layer = MaxoutConv2d(3, 8, 3, pieces=4, padding=1)
    one, other = torch.randn(2, 3, 9, 9), torch.randn(2, 3, 9, 9)
    for share in (0.1, 0.5, 0.8):
        between = layer(share * one + (1 - share) * other)
        assert (between <= share * layer(one) + (1 - share) * layer(other) + 1e-5).all()


def test_the_gradient_flows_to_the_largest_piece_only() -> None:
    x = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, -1.0]], requires_grad=True)
    Maxout(3)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 0, 1, 0, 0]]  # of equal ones, the first


def test_pixels_are_dropped_without_a_scale_and_hidden_inputs_with_one() -> None:
    torch.manual_seed(2)
    net: Any = create("maxout_tiny").train()
    image, hidden = torch.full((64, 3, 32, 32), 3.0), torch.full((64, 6, 16, 16), 3.0)
    kept = net.h0.dropout(image)
    assert set(kept.unique().tolist()) == {0, 3}
    assert float((kept > 0).float().mean()) == pytest.approx(0.8, abs=0.01)
    halved = net.h1.dropout(hidden)
    assert set(halved.unique().tolist()) == {0, 6}
    assert float((halved > 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert {type(module) for module in net.h0.modules()} >= {UnscaledDropout}


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    torch.manual_seed(3)
    net, x = create("maxout_tiny"), torch.randn(2, 3, 32, 32)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_scripts(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == COUNTS[name]


def test_biases_tied_over_the_map_are_fewer() -> None:
    with torch.device("meta"):
        net = create("maxout_mnist", options={"biases": "channel"})
    assert parameters(net) == 418_714
    assert madds(net, (28, 28)) == COUNTS["maxout_mnist"][1]


@pytest.mark.parametrize("name", COUNTS)
def test_maps_are_as_large_as_the_table_says(name: str) -> None:
    with torch.device("meta"):
        net: Any = create(name).eval()
        x = torch.empty(1, net.in_channels, *net.input_size)
    *below, last = ROWS[net_class(name).table]
    for row in below:
        x = getattr(net, row.layer)(x)
        assert x.shape == (1, row.units, row.size, row.size)
    assert net.head(x.flatten(1)).shape == (1, last.units)


def test_maps_before_pooling_are_the_authors() -> None:
    with torch.device("meta"):
        for name, sizes in {
            "maxout_mnist": (21, 9, 6),
            "maxout_cifar": (33, 15, 9),
            "maxout_svhn": (36, 20, 12),
        }.items():
            net: Any = create(name).eval()
            x = torch.empty(1, net.in_channels, *net.input_size)
            for stage, size in zip(net.stages, sizes, strict=False):
                assert getattr(net, stage).maxout(x).shape[2:] == (size, size)
                x = getattr(net, stage)(x)


def test_the_order_of_pixels_does_not_matter_without_convolutions() -> None:
    torch.manual_seed(4)
    net: Any = create("maxout_mnist_full", options={"width": 0.1}).eval()
    x, order = torch.rand(3, 1, 28, 28), torch.randperm(784)
    expected = net(x)
    net.h0.maxout.conv.weight.data = net.h0.maxout.conv.weight.data.flatten(2)[:, :, order].unflatten(2, (28, 28))
    torch.testing.assert_close(net(x.flatten(2)[:, :, order].unflatten(2, (28, 28))), expected)


def test_there_is_no_other_non_linearity() -> None:
    allowed = {"MaxoutConv2d", "Maxout", "Conv2d", "PositionBias", "MaxPool2d", "Dropout", "UnscaledDropout", "Linear"}
    with torch.device("meta"):
        for name in COUNTS:
            _, *parts = create(name).modules()
            assert {type(part).__name__ for part in parts} <= allowed | {"Sequential"}


def test_weights_begin_uniform() -> None:
    torch.manual_seed(5)
    net: Any = create("maxout_cifar_first")
    for layer in (net.h1.maxout.conv, net.h3.maxout.conv, net.head):
        weight = layer.weight.detach()
        assert float(weight.abs().max()) == pytest.approx(0.005, rel=0.01)
        assert float(weight.std()) == pytest.approx(0.005 / 3**0.5, rel=0.03)
        assert not layer.bias.any()
