"""Static hypernetworks: the generator by its equation, its counts, and the networks with frozen kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import parameters
from striate.anatomy.trace import trace
from striate.errors import RequestError
from striate.layers.hyper_conv import HyperConv2d, KernelGenerator
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.hypernetworks import GROUPS, MNIST_ROWS, generate_kernels


def seeded(name: str) -> Any:
    torch.manual_seed(0)
    return create(name).eval()


def generated(net: nn.Module) -> dict[str, HyperConv2d]:
    return {name: module for name, module in net.named_modules() if isinstance(module, HyperConv2d)}


def test_counts_are_the_papers() -> None:
    assert parameters(KernelGenerator(64, 64, 16, 16, 3)) == 75_920
    assert parameters(KernelGenerator(4, 4, 16, 16, 7)) == 4_240
    assert entry("hyper_wrn_40_1").parameters == 97_770
    assert entry("hyper_wrn_40_2").parameters == 155_626
    # The paper's second way of counting: kernels, embeddings and generator only.
    net = seeded("hyper_wrn_40_2")
    other = sum(parameters(module) for module in net.modules() if isinstance(module, nn.BatchNorm2d | nn.Linear))
    inside = parameters(net.conv2[0].residual.conv1.generator)
    assert parameters(net) - (other - inside) == 148_928


@pytest.mark.parametrize(
    ("name", "kernels", "made"),
    [("hyper_wrn_40_1", "wrn_40_1", 51_544_064), ("hyper_wrn_40_2", "wrn_40_2", 205_750_272)],
)
def test_making_the_kernels_is_counted(name: str, kernels: str, made: int) -> None:
    assert entry(name).madds == entry(kernels).madds + made
    with torch.device("meta"):
        net = create(name)
    tiles = sum(layer.tiles[0] * layer.tiles[1] for layer in generated(net).values())
    assert made == tiles * 212_992
    counted = trace(net, (32, 32)).counted
    assert sum(cost.madds for cost in counted if ".generator." in cost.module) == made
    # Each is made where it is used, though the generator is one.
    groups = {cost.module.partition(".")[0] for cost in counted if ".generator." in cost.module}
    assert groups == {"conv2", "conv3", "conv4"}


@pytest.mark.parametrize(("name", "column"), [("hyper_wrn_40_1", "tiles_k1"), ("hyper_wrn_40_2", "tiles_k2")])
def test_the_tiles_of_a_group_are_those_of_the_table(name: str, column: str) -> None:
    with torch.device("meta"):
        net = create(name)
    for row in GROUPS:
        layers = [layer for path, layer in generated(net).items() if path.startswith(row.group)]
        assert len(layers) == (12 if row.kernels == "generated" else 0)
        assert sum(len(layer.embeddings) for layer in layers) == (getattr(row, column) or 0)
    assert {id(layer.generator) for layer in generated(net).values()} == {id(net.conv2[0].residual.conv1.generator)}  # type: ignore[union-attr, index]
    assert isinstance(net.conv3[0].shortcut, nn.Conv2d)  # type: ignore[union-attr, index]
    assert isinstance(net.conv1, nn.Conv2d)


def test_a_kernel_by_its_equation() -> None:
    torch.manual_seed(1)
    made = KernelGenerator(5, 6, 3, 2, 3)
    z = torch.randn(4, 5)
    w_in, b_in = made.by_input.weight.view(3, 6, 5), made.by_input.bias.view(3, 6)
    w_out, b_out = made.to_kernels.weight.view(2, 3, 3, 6), made.to_kernels.bias.view(2, 3, 3)
    kernels = made(z)
    assert kernels.shape == (4, 2, 3, 3, 3)
    for tile in range(4):
        for i in range(3):
            a = w_in[i] @ z[tile] + b_in[i]
            torch.testing.assert_close(kernels[tile, :, i], torch.einsum("oyxd,d->oyx", w_out, a) + b_out)


def test_tiles_are_laid_by_input_and_then_output_channels() -> None:
    torch.manual_seed(2)
    layer = HyperConv2d(6, 4, KernelGenerator(5, 5, 3, 2, 3))
    tiles, kernel = layer.generator(layer.embeddings), layer.kernel()
    assert layer.tiles == (2, 2)
    for i in range(2):
        for o in range(2):
            assert torch.equal(kernel[2 * o : 2 * o + 2, 3 * i : 3 * i + 3], tiles[2 * i + o])
    with pytest.raises(RequestError, match="kernels of 2 x 3 channels cannot fill one of 4 x 5"):
        HyperConv2d(5, 4, layer.generator)


def test_equal_embeddings_make_equal_kernels() -> None:
    net = seeded("hyper_wrn_tiny")
    one, other = net.conv2[0].residual.conv1, net.conv2[0].residual.conv2
    assert not torch.equal(one.kernel(), other.kernel())
    other.embeddings.data.copy_(one.embeddings)
    assert torch.equal(one.kernel(), other.kernel())


def test_the_gradient_reaches_every_embedding() -> None:
    net = seeded("hyper_wrn_tiny").train()
    net(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for layer in generated(net).values():
        assert layer.embeddings.grad is not None and layer.embeddings.grad.any(dim=1).all()


@pytest.mark.parametrize(("hyper", "plain"), [("hyper_wrn_40_1", "wrn_40_1"), ("hyper_wrn_tiny", "wrn_tiny")])
def test_with_frozen_kernels_it_is_the_wide_resnet(hyper: str, plain: str) -> None:
    net, same = seeded(hyper), create(plain).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
    state = {key: value for key, value in net.state_dict().items() if key in same.state_dict()}
    kernels = {f"{path}.weight": layer.kernel().detach() for path, layer in generated(net).items()}
    same.load_state_dict(state | kernels)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net(x), same(x))


def test_the_small_net_for_mnist() -> None:
    net = seeded("hyper_mnist")
    layer = net.conv2.conv
    assert layer.kernel().numel() == 12_544 and layer.embeddings.numel() == 4
    assert parameters(layer.generator) + layer.embeddings.numel() == 4_244
    x = torch.rand(2, 1, 28, 28)
    for row in MNIST_ROWS[:-1]:
        x = getattr(net, row.layer)(x)
        assert x.shape == (2, row.maps, row.size, row.size)
    same = nn.Conv2d(16, 16, 7, padding=3)
    same.load_state_dict({"weight": layer.kernel().detach(), "bias": layer.bias.detach()})
    maps = torch.rand(2, 16, 14, 14)
    torch.testing.assert_close(layer(maps), same(maps))


def test_wrong_nets_and_embeddings_are_refused() -> None:
    with pytest.raises(RequestError, match="generated for the blocks of a Wide ResNet, not of Sequential"):
        generate_kernels(nn.Sequential())
    with pytest.raises(RequestError, match="an embedding has from 1 to 1024 numbers, not 0"):
        create("hyper_wrn_40_1", options={"embedding": 0})
