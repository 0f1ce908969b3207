"""Tiny Darknet against the page that describes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from striate.anatomy.summary import madds, parameters
from striate.nets.build import create
from striate.nets.tiny_darknet import ROWS, stages


def test_maps_are_as_large_as_the_table_says() -> None:
    with torch.device("meta"):
        net: Any = create("tiny_darknet").eval()
        x = torch.empty(1, 3, 224, 224)
    rows = iter(ROWS)
    for stage in net.stages:
        layers = [net.conv19] if stage == "conv19" else getattr(net, stage)
        for layer in layers:
            row = next(rows)
            assert x.shape == (1, row.input.channels, row.input.height, row.input.width), row
            x = layer(x)
            assert x.shape == (1, row.output.channels, row.output.height, row.output.width), row
    assert next(rows, None) is None
    assert net(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


def test_counts_of_the_page() -> None:
    with torch.device("meta"):
        net = create("tiny_darknet")
    numbers = sum(one.numel() for name, one in net.state_dict().items() if not name.endswith("tracked"))
    assert numbers == 1_046_488  # 4.0 MB
    assert parameters(net) == 1_042_104
    assert round(2 * madds(net, (224, 224)) / 1e9, 2) == 0.98


def test_every_convolution_but_the_last_is_normalised_and_leaky() -> None:
    with torch.device("meta"):
        net: Any = create("tiny_darknet")
    leaky = [module for module in net.modules() if isinstance(module, nn.LeakyReLU)]
    assert [module.negative_slope for module in leaky] == [0.1] * 15
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == 15
    assert sum(isinstance(module, nn.Conv2d) for module in net.modules()) == 16
    assert net.conv19.bias is not None
    assert [len(stage) for stage in stages()] == [1, 2, 5, 5, 6]


def test_a_linear_head_computes_the_same() -> None:
    torch.manual_seed(0)
    mapped: Any = create("tiny_darknet_tiny").eval()
    linear: Any = create("tiny_darknet_tiny", options={"classifier": "linear"}).eval()
    state = {name: tensor for name, tensor in mapped.state_dict().items() if not name.startswith("conv19")}
    last = mapped.conv19
    linear.load_state_dict({**state, "head.weight": last.weight.flatten(1), "head.bias": last.bias}, strict=True)
    x = torch.randn(2, 3, 48, 40)
    torch.testing.assert_close(linear(x), mapped(x))
    assert linear.embedding_size == 16


def test_odd_maps_are_pooled_to_the_edge() -> None:
    net: Any = create("tiny_darknet_tiny").eval()
    assert net.maps(torch.zeros(1, 3, 33, 17))["stage5"].shape[2:] == (3, 2)
