"""Another normalisation in any network: the cubes of Wu and He's figure, scale and shift, and the place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate import move_norm, swap_activation, swap_norm
from striate.errors import RequestError
from striate.layers.lrn import LRN
from striate.nets.build import create
from striate.nets.norms import NORMS, groups_of

CHANNELS = 12  # six groups of two


def conv_net(*, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    parts = nn.Conv2d(3, CHANNELS, 3, bias=bias), nn.BatchNorm2d(CHANNELS, eps=1e-3), nn.ReLU()
    with torch.no_grad():
        parts[1].weight.uniform_(0.5, 2)
        parts[1].bias.uniform_(-1, 1)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 2))


def count(net: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> int:
    return sum(isinstance(layer, kind) for layer in net.modules())


# The values of a map [N, C, H, W] that share a mean and a variance; a group's channels are an axis of their own.
CUBES = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3), "group": (2, 3, 4)}


@pytest.mark.parametrize("norm", CUBES)
def test_the_cubes_of_the_figure(norm: str) -> None:
    net = conv_net().double()
    scale, shift = (value.detach().clone().view(1, -1, 1, 1) for value in (net[1].weight, net[1].bias))
    assert swap_norm(net, norm) == (norm != "batch")
    x = torch.randn(5, CHANNELS, 6, 7, dtype=torch.float64) * 3 + 2
    cube = x.unflatten(1, (6, 2)) if norm == "group" else x
    mean = cube.mean(CUBES[norm], keepdim=True)
    variance = (cube - mean).square().mean(CUBES[norm], keepdim=True)
    normalised = ((cube - mean) / (variance + 1e-3).sqrt()).reshape(x.shape)
    assert torch.allclose(net[1](x), scale * normalised + shift, atol=1e-12)


def test_layer_normalisation_of_vectors_is_one_mean_for_each_image() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    images = torch.zeros(2, 3, 2, 2)
    swap_norm(net, "layer", images=images)
    x = torch.randn(16, 8)
    mean, variance = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
    assert mean.shape == variance.shape == (16, 1)
    assert torch.allclose(net[2](x), (x - mean) / (variance + 1e-5).sqrt(), atol=1e-5)
    assert torch.allclose(net[2](x), nn.LayerNorm(8)(x), atol=1e-6)
    for norm in ("instance", "local-response"):
        with pytest.raises(RequestError, match=f"{norm} normalisation is of maps only"):
            swap_norm(net, norm, images=images)
    assert swap_norm(net, "batch", images=images) == 1
    assert type(net[2]) is nn.BatchNorm1d


def test_groups_are_32_or_the_largest_divisor_that_leaves_two_channels_each() -> None:
    wanted = {1: 1, 2: 1, 3: 1, 7: 1, 8: 4, 12: 6, 16: 8, 24: 12, 48: 24, 64: 32, 96: 32, 100: 25, 160: 32, 1280: 32}
    assert {channels: groups_of(channels) for channels in wanted} == wanted


def test_scale_shift_and_eps_are_kept() -> None:
    net = conv_net()
    scale, shift = (value.detach().clone() for value in (net[1].weight, net[1].bias))
    for norm in ("group", "instance", "layer", "batch"):
        swap_norm(net, norm)
        assert torch.equal(net[1].weight, scale) and torch.equal(net[1].bias, shift)
        assert net[1].eps == 1e-3
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Conv2d(4, 2, 3))
    swap_norm(plain, "group")
    assert plain[1].weight is None and plain[1].bias is None


@pytest.mark.parametrize("norm", ["none", "local-response"])
def test_without_a_shift_the_convolution_before_gets_a_bias(norm: str) -> None:
    net = conv_net()
    assert swap_norm(net, norm) == 1
    assert torch.equal(net[0].bias, torch.zeros(CHANNELS))
    assert type(net[1]) is (nn.Identity if norm == "none" else LRN)
    net(torch.randn(2, 3, 9, 9)).sum().backward()
    assert net[0].bias.grad.any()
    kept = conv_net(bias=True)
    bias = kept[0].bias
    swap_norm(kept, norm)
    assert kept[0].bias is bias


def test_before_a_preactivated_layer_there_may_be_no_convolution() -> None:
    net = create("densenet_tiny")
    assert count(net, NORMS) == swap_norm(net, "none") == 15
    biased = [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None]
    # The stem, before the first layer's norm, and each bottleneck's first convolution.
    assert biased == ["stem", *(f"block{block}.{layer}.conv1.conv" for block in (1, 2, 3) for layer in (0, 1))]


def test_a_local_response_has_no_scale_and_shift_so_its_successor_starts_with_one_and_zero() -> None:
    net = create("alexnet_tiny")
    assert swap_norm(net, "batch") == 2
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)


@pytest.mark.parametrize(
    ("name", "options", "norms", "moved"),
    [
        ("resnet_tiny", {}, 20, 9),  # 8 blocks: the first of two norms; and the stem
        ("vgg_tiny", {"batch_norm": True}, 8, 8),
        ("efficientnet_lite_tiny", {}, 31, 21),
        ("densenet_tiny", {}, 15, 15),
        ("preact_resnet_tiny", {}, 10, 10),
    ],
)
def test_every_norm_of_a_family(name: str, options: dict[str, object], norms: int, moved: int) -> None:
    net = create(name, options=options)
    assert count(net, NORMS) == norms
    assert swap_norm(net, "group") == norms == count(net, nn.GroupNorm)
    assert move_norm(net, "before") == 0
    other = create(name, options=options)
    assert move_norm(other, "after") == moved
    assert count(other, NORMS) == norms


def test_after_the_activation_is_the_convolution_activated_then_normalised() -> None:
    net = conv_net()
    x = torch.randn(4, 3, 9, 9)
    conv, norm = net[0], net[1]
    assert move_norm(net, "after") == 1
    assert net[2] is norm
    y = conv(x).relu()
    y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), correction=0, keepdim=True) + 1e-3).sqrt()
    y = y * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    assert torch.allclose(net(x), net[5](y.mean((2, 3))), atol=1e-5)
    assert move_norm(net, "after") == 0
    assert move_norm(net, "before") == 1
    assert net[1] is norm


def test_scale_and_shift_can_be_left_out_and_put_back() -> None:
    net = create("resnet_tiny")
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    move_norm(net, "after", affine=False)
    assert sum(norm.weight is None and norm.bias is None and not norm.affine for norm in norms) == 9
    net.eval()(torch.randn(2, 3, 32, 32))
    net = conv_net()
    move_norm(net, "before", affine=False)
    assert net[1].weight is None and [name for name, _ in net.named_parameters()] == ["0.weight", "5.weight", "5.bias"]
    move_norm(net, "after")
    assert torch.equal(net[2].weight, torch.ones(CHANNELS)) and torch.equal(net[2].bias, torch.zeros(CHANNELS))


class Residual(nn.Module):
    """One ReLU, called twice, as libraries often write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.last(self.relu(out).mean((2, 3)))


def test_an_activation_that_serves_several_places_cannot_be_moved() -> None:
    with pytest.raises(RequestError, match="one ReLU is called 2 times"):
        move_norm(Residual(), "after")
    net = Residual()
    assert swap_norm(net, "none") == 2
    assert net.conv1.bias is not None and type(net.bn2) is nn.Identity


def test_a_net_without_norms_is_refused() -> None:
    with pytest.raises(RequestError, match="no normalisation was found that could be swapped"):
        swap_norm(create("lenet5"), "group")
    with pytest.raises(RequestError, match="no normalisation was found directly before or after an activation"):
        move_norm(create("lenet5"), "after")
    for swapped, given in ((swap_norm, "bach"), (move_norm, "befor")):
        with pytest.raises(RequestError, match=r"batch|before"):
            swapped(conv_net(), given)  # type: ignore[arg-type]


def test_the_norms_of_a_net_are_swapped_once_and_before_they_are_moved() -> None:
    net = create("resnet_tiny")
    swap_norm(net, "group")
    with pytest.raises(RequestError, match="created with swap_norm 'group' already"):
        swap_norm(net, "layer")
    net = create("resnet_tiny")
    move_norm(net, "after")
    swap_activation(net, "elu")
    with pytest.raises(RequestError, match="created with move_norm 'after' already"):
        swap_norm(net, "layer")
