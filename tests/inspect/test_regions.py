"""Explaining a class of a segmenter over a region, by what explains an output of a classifier."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from striate.inspect import class_map, grad_cam, occlusion
from striate.inspect.regions import RegionMeans, coarsest_layer
from striate.nets.build import create


def test_a_class_is_explained_by_the_places_of_its_region() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
    x = torch.randn(1, 3, 8, 8)
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[2:5, 3:7] = True
    means = RegionMeans(net, region)
    found = class_map(means, x, 2, "1")  # what is above it is linear, and mixes no places
    wanted = float(net(x)[0, 2][region].detach().mean())
    assert found.exact and found.outputs[0] == pytest.approx(wanted, abs=1e-6)
    assert found.values[0].mean() + found.bias[0] == pytest.approx(wanted, abs=1e-5)
    values = torch.from_numpy(found.values[0])
    assert not values[~region].any() and (values[region] != 0).sum() > 8
    weights = net[2].weight[2].detach()[:, 0, 0] * region.sum() / 64 / region.sum()
    cam = (weights[:, None, None] * net[:2](x)[0].detach()).sum(0)
    assert torch.allclose(torch.from_numpy(grad_cam(means, x, 2, "1")[0]), cam, atol=1e-6)
    lost = occlusion(means, x[0], 2, patch=(2, 2), stride=(2, 2)).values
    # Patches beyond the reach of the region change nothing.
    assert max(abs(lost[3]).max(), abs(lost[:, 0]).max()) < 1e-6 and abs(lost[1, 2]) > 1e-3
    with pytest.raises(ValueError, match="empty"):
        RegionMeans(net, torch.zeros(8, 8, dtype=torch.bool))


def test_a_copy_is_a_network_of_its_own() -> None:
    net: Any = create("fcn_lite_tiny").eval()
    x = torch.randn(1, 3, 64, 64)
    means = RegionMeans(net)
    assert means.stages == net.stages and means.get_submodule("head") is net.head
    copied = copy.deepcopy(means)
    with torch.no_grad():
        before = means(x)
        assert torch.allclose(before, net(x).mean((2, 3)))
        for weight in copied.get_submodule("stage1").parameters():
            weight.zero_()
        assert torch.equal(means(x), before) and not torch.equal(copied(x), before)


def test_the_coarsest_map_is_at_the_end_of_the_encoder() -> None:
    net = create("enet_tiny").eval()
    assert coarsest_layer(RegionMeans(net), torch.zeros(1, 3, 64, 64)) == "section3"
    fcn = create("fcn_lite_tiny").eval()
    assert coarsest_layer(RegionMeans(fcn), torch.zeros(1, 3, 64, 64)) == "stage6"  # stage8 has 2 x 2
