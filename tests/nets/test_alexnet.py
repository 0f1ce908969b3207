"""AlexNet and the nets of its name against the numbers of their papers and of Caffe's definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.layers.lrn import LRN
from striate.nets.alexnet import ALEXNET, ROWS
from striate.nets.build import create, net_class
from striate.nets.catalog import entry

# Parameters and multiply-adds of bvlc_alexnet, layer by layer, from Caffe's definition.
CAFFES = {
    "conv1": (34_944, 105_415_200),
    "conv2": (307_456, 223_948_800),
    "conv3": (885_120, 149_520_384),
    "conv4": (663_936, 112_140_288),
    "conv5": (442_624, 74_760_192),
    "fc6": (37_752_832, 37_748_736),
    "fc7": (16_781_312, 16_777_216),
    "head": (4_097_000, 4_096_000),
}
ALL = ["alexnet", "caffenet", "alexnet_one_tower", "caffenet128"]


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return create(name).eval()


@pytest.mark.parametrize("name", ["alexnet", "caffenet"])
def test_each_layer_costs_what_caffes_does(name: str) -> None:
    assert {row.name: (row.parameters, row.madds) for row in describe(name)} == CAFFES


@pytest.mark.parametrize("name", ALL)
def test_maps_are_as_large_as_the_table_says(name: str) -> None:
    net, rows = on_meta(name), ROWS[net_class(name).table]
    x = torch.empty(1, 3, *entry(name).input_size, device="meta")
    for row in rows[:5]:
        stage = getattr(net, row.layer)
        assert stage.conv(x).shape == (1, row.maps, row.size, row.size)
        x = stage(x)
    # The kernel of fc6 in the table is the map that is left; fc7's activations are the embedding.
    assert x.shape[2:] == (rows[5].kernel, rows[5].kernel)
    assert net.embedding_size == rows[6].maps


def test_kernels_shrink_on_the_way() -> None:
    assert [row.kernel for row in ROWS[ALEXNET][:5]] == [11, 5, 3, 3, 3]


def test_the_paper_says_224_and_needs_227() -> None:
    with torch.device("meta"):
        net: Any = create("alexnet", input_size=(224, 224))
        assert net.conv1.conv(torch.empty(1, 3, 224, 224)).shape[2:] == (54, 54)
        assert net.conv1.conv(torch.empty(1, 3, 227, 227)).shape[2:] == (55, 55)


@pytest.mark.parametrize(("layer", "crosses"), [("conv2", False), ("conv3", True), ("conv4", False), ("conv5", False)])
def test_towers_meet_in_conv3_only(layer: str, crosses: bool) -> None:
    torch.manual_seed(0)
    conv = create("alexnet_tiny").get_submodule(f"{layer}.conv")
    assert isinstance(conv, nn.Conv2d)
    x = torch.rand(1, conv.in_channels, 5, 5)
    other = x.clone()
    other[:, conv.in_channels // 2 :] += 1
    mine, yours = (conv(other) - conv(x)).abs().amax((0, 2, 3)).chunk(2)
    assert bool(mine.any()) is crosses
    assert yours.all()


def test_one_tower_has_no_groups_and_no_normalisation() -> None:
    modules = list(on_meta("alexnet_one_tower").modules())
    assert {module.groups for module in modules if isinstance(module, nn.Conv2d)} == {1}
    assert not any(isinstance(module, LRN) for module in modules)


def test_caffenet_pools_first_and_has_caffes_constants() -> None:
    names = {
        name: [part for part, _ in on_meta(name).get_submodule("conv1").named_children()]
        for name in ("alexnet", "caffenet")
    }
    assert names["alexnet"] == ["conv", "relu", "norm", "pool"]
    assert names["caffenet"] == ["conv", "relu", "pool", "norm"]
    x = 100 * torch.rand(1, 8, 3, 3)
    caffes = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
    torch.testing.assert_close(on_meta("caffenet").conv2.norm(x), caffes(x))


def written_out(a: Tensor, alpha: float, beta: float, k: float) -> Tensor:
    """The formula of section 3.3, map by map."""
    b = torch.empty_like(a)
    maps = a.shape[1]
    for i in range(maps):
        near = a[:, max(0, i - 2) : min(maps - 1, i + 2) + 1]
        b[:, i] = a[:, i] / (k + alpha * (near**2).sum(1)) ** beta
    return b


def test_lrn_is_the_papers_formula() -> None:
    # Activations so large that the sum weighs as much as k.
    x = 200 * torch.rand(2, 7, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LRN()(x), written_out(x, 1e-4, 0.75, 2))
    # Torch divides alpha by the number of channels, the paper does not.
    torch.testing.assert_close(LRN()(x), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(x))
    assert not torch.allclose(LRN()(x), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)(x))
    with pytest.raises(RequestError, match="odd number of channels, such as 5, not 4"):
        LRN(4)


def test_pooling_overlaps() -> None:
    pools = [module for module in on_meta("alexnet").modules() if isinstance(module, nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [(3, 2)] * 3


def test_biases_are_lifted_as_section_5_says() -> None:
    torch.manual_seed(0)
    net = create("alexnet_tiny", options={"width": 0.25})
    layers = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    lifted = [name.split(".")[0] for name, layer in layers.items() if layer.bias is not None and layer.bias.eq(1).all()]
    flat = [name.split(".")[0] for name, layer in layers.items() if layer.bias is not None and layer.bias.eq(0).all()]
    assert lifted == ["conv2", "conv4", "conv5", "fc6", "fc7"]
    assert flat == ["conv1", "conv3", "head"]
    # A quarter of the inputs, so twice the paper's 0.01.
    assert all(float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1) for layer in layers.values())


def test_half_of_fc7_is_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    net, x = create("alexnet_tiny"), torch.rand(4, 3, 83, 83)
    assert (net.train().embed(x) == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert (net.eval().embed(x) > 0).float().mean() > 0.9
    # Dropout stands before the layers in the one-tower net, so its embedding is whole.
    one = create("alexnet_one_tower", input_size=(63, 63), options={"width": 1 / 16})
    assert (one.train().embed(torch.rand(4, 3, 63, 63)) > 0).float().mean() > 0.8


def test_another_size_than_it_was_made_for_is_refused() -> None:
    net = create("alexnet_tiny", input_size=(64, 80))
    assert net(torch.zeros(1, 3, 64, 80)).shape == (1, 10)
    with pytest.raises(RequestError, match=r"was made for images of 64 x 80 pixels \(input_size\), not 80 x 64"):
        net(torch.zeros(1, 3, 80, 64))


@pytest.mark.parametrize("options", [{"width": 0.0}, {"width": 9.0}, {"dropout": 1.0}, {"dropout": -0.1}])
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "nin_cifar", "squeezenet1_0"])
def test_options_out_of_range_are_refused(name: str, options: dict[str, float]) -> None:
    (key, value), *_ = options.items()
    with pytest.raises(RequestError, match=f"{key} must be .*, not {value}"):
        create(name, options=options)
