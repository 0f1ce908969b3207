"""ZFNet against Figure 3 of its paper, and beside the network that it changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from striate.anatomy.summary import describe
from striate.nets import alexnet
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.zfnet import ROWS


def on_meta(**options: object) -> Any:
    with torch.device("meta"):
        return create("zfnet", options=options).eval()


def test_counts_are_those_of_an_independent_build() -> None:
    assert (entry("zfnet").parameters, entry("zfnet").madds) == (62_357_608, 1_168_032_896)


def test_maps_are_as_large_as_figure_3_says() -> None:
    net = on_meta()
    x = torch.empty(1, 3, 224, 224, device="meta")
    for row in ROWS[:5]:
        stage = getattr(net, row.layer)
        assert stage.conv(x).shape == (1, row.maps, row.size, row.size)
        x = stage(x)
    # 110 rounds up to 55, 26 to 13 and 13 to 6: with pooling that rounds down, fc6 would be smaller.
    assert x.shape[1:] == (256, 6, 6)
    assert [row.output[1] for row in describe("zfnet")[:5]] == [55, 13, 13, 13, 6]


def test_the_first_layer_is_finer_than_alexnets_and_all_layers_see_all_maps() -> None:
    before, now = alexnet.ROWS[alexnet.ALEXNET], ROWS
    assert [(row.kernel, row.stride) for row in (before[0], now[0])] == [(11, 4), (7, 2)]
    assert [row.maps for row in before] == [row.maps for row in now]
    assert all(conv.groups == 1 for conv in on_meta().modules() if isinstance(conv, nn.Conv2d))


def test_maps_are_normalised_after_pooling_or_before_with_the_same_parameters() -> None:
    parts = [name for name, _ in on_meta().conv1.named_children()]
    assert parts == ["conv", "relu", "pool", "norm"]
    torch.manual_seed(0)
    after, before = create("zfnet_tiny"), create("zfnet_tiny", options={"layers": "pytorchcv"})
    assert [name for name, _ in before.get_submodule("conv2").named_children()] == ["conv", "relu", "norm", "pool"]
    before.load_state_dict(after.state_dict())
    x = 50 * torch.randn(2, 3, 63, 63)
    assert not torch.allclose(before.maps(x)["conv1"], after.maps(x)["conv1"])
    # Both only scale what is there.
    assert torch.equal(before.maps(x)["conv1"] > 0, after.maps(x)["conv1"] > 0)


def test_weights_start_at_a_hundredth_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    net = create("zfnet_tiny")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None and not layer.bias.any()
    weights = torch.cat([value.flatten() for key, value in net.named_parameters() if key.endswith("weight")])
    # A sixteenth of the width, four times the deviation.
    assert abs(weights.std().item() - 0.04) < 0.001
