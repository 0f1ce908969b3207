"""Network in Network against its papers' sizes, and its two ways of classifying against each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import madds, parameters
from striate.nets.build import create, net_class
from striate.nets.catalog import entry
from striate.nets.nin import ROWS


@pytest.mark.parametrize("name", ["nin_cifar", "nin_imagenet"])
def test_maps_are_as_large_as_the_table_says(name: str) -> None:
    with torch.device("meta"):
        net: Any = create(name).eval()
        x = torch.empty(1, 3, *entry(name).input_size)
    for row in ROWS[net_class(name).table]:
        layer = getattr(net, row.layer)
        assert layer.conv(x).shape == (1, row.conv, row.size, row.size)
        x = layer(x)
    assert x.shape == (1, entry(name).classes, row.size, row.size)
    assert net(torch.empty(1, 3, *entry(name).input_size, device="meta")).shape == (1, entry(name).classes)


def test_counts_of_other_definitions() -> None:
    with torch.device("meta"):
        assert parameters(create("nin_cifar", classes=100)) == 984_356
        net = create("nin_imagenet")
    # At 227, as other nets of Caffe's zoo, and at 128, as in the caffenet-benchmark.
    assert madds(net, (227, 227)) == 1_105_996_320
    assert madds(net, (128, 128)) == 323_989_632


def test_there_is_nothing_fully_connected_unless_asked_for() -> None:
    assert not any(isinstance(module, nn.Linear) for module in create("nin_tiny").modules())
    linear = create("nin_tiny", options={"classifier": "linear"})
    assert isinstance(linear.head, nn.Linear)
    assert parameters(linear) == parameters(create("nin_tiny"))


def test_linear_is_map_without_the_last_relu() -> None:
    torch.manual_seed(0)
    mapped: Any = create("nin_tiny").eval()
    linear: Any = create("nin_tiny", options={"classifier": "linear"}).eval()
    last = mapped.mlpconv3.mlp2
    state = {key: value for key, value in mapped.state_dict().items() if not key.startswith("mlpconv3.mlp2")}
    linear.load_state_dict(
        {**state, "head.weight": last.conv.weight.flatten(1), "head.bias": last.conv.bias}, strict=True
    )
    x = torch.rand(2, 3, 40, 36)
    assert linear.embed(x).shape == (2, linear.embedding_size)
    last.act = nn.Identity()
    torch.testing.assert_close(linear(x), mapped(x))
    # With ReLU, scores are means of maps of which none is below zero.
    last.act = nn.ReLU()
    assert torch.equal(mapped(x), mapped.features(x).mean((2, 3)))
    assert (mapped(x) >= 0).all()


def test_pooled_values_are_dropped_in_training_and_kept_in_the_mean() -> None:
    torch.manual_seed(0)
    net: Any = create("nin_tiny")
    x = torch.rand(64, 3, 32, 32)
    whole = net.eval().mlpconv1(x)
    dropped = net.train().mlpconv1(x)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
    assert float(kept[whole > 0].float().mean()) == pytest.approx(0.5, abs=0.02)


def test_weights_begin_normal() -> None:
    torch.manual_seed(0)
    # A quarter of the inputs, so twice the author's 0.05.
    for module in create("nin_tiny", options={"width": 0.25}).modules():
        if isinstance(module, nn.Conv2d):
            assert float(module.weight.detach().std()) == pytest.approx(2 * 0.05, rel=0.1)
            assert module.bias is not None
            assert not module.bias.any()
