"""Blocks of trained networks are removed, and their branches measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from real_data import DATA
from torch import Tensor, nn

from striate import import_weights
from striate.errors import RequestError
from striate.inference.backbones import net_of
from striate.inspect.blocks import branch_responses, find_blocks, removal
from striate.inspect.lesions import lesion_curve, lesions
from striate.inspect.replacing import run_as
from striate.nets.build import create
from striate.weights.resnet_checkpoint import PIXELS, import_resnet_checkpoint

IMAGES = DATA / "cifar10_lossless_5k.npz"
PLAIN = DATA / "weights" / "resnet56_plain_landscape.pt"
needs_data = pytest.mark.skipif(not IMAGES.is_file(), reason="no ../shared/data with CIFAR-10 (STRIATE_TEST_DATA)")


def cifar(count: int, mean: object, std: object) -> tuple[Tensor, Tensor]:
    with np.load(IMAGES) as data:
        images, labels = data["xte"][:count], data["yte"][:count]
    x = torch.from_numpy(((images - np.array(mean)) / np.array(std)).astype(np.float32))
    return x.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels).long()


def resnet(name: str) -> nn.Module:
    (path,) = (DATA / "weights").glob(f"{name}-*.th")
    net = create(name)
    net.load_state_dict({key: torch.from_numpy(one) for key, one in import_resnet_checkpoint(path, name).items()})
    return net


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "size", "residual", "plain"),
    [("resnet20", 8, 9, 0), ("plain8", 8, 0, 3), ("preact_resnet_tiny", 8, 3, 0), ("mobilenet_v2", 32, 10, 7)],
)
def test_blocks_are_found_and_known_for_residual(name: str, size: int, residual: int, plain: int) -> None:
    blocks = find_blocks(create(name), noise(1, 3, size, size))
    assert (sum(b.residual for b in blocks), sum(not b.residual for b in blocks)) == (residual, plain)


def test_a_removed_branch_is_one_that_adds_nothing() -> None:
    """Removing is the same as a last norm whose scale and shift are 0; with a shape that changes, too."""
    net = create("resnet8").eval()
    x = noise(2, 3, 8, 8)
    for block in find_blocks(net, x[:1]):
        with run_as(net, {block.name: removal(net, block)}):
            without = net(x)
        last = net.get_submodule(f"{block.name}.conv2.norm")
        with torch.no_grad():
            kept = last.weight.clone(), last.bias.clone()  # type: ignore[operator]
            last.weight.zero_(), last.bias.zero_()  # type: ignore[operator]
            assert torch.equal(net(x), without)
            last.weight.copy_(kept[0]), last.bias.copy_(kept[1])  # type: ignore[operator]
        assert not torch.equal(net(x), without)


def test_what_is_kept_changes_nothing() -> None:
    """Each figure is that of a network in which the block is really replaced, and everything runs again."""
    net = create("plain8").train()
    x, y = noise(8, 3, 8, 8), torch.arange(8) % 10
    found = lesions(net, x, y)
    assert net.training and all(module.training for module in net.modules())
    net.eval()
    assert found.intact == float((net(x).argmax(1) == y).float().mean())
    for block in found.blocks:
        if block.before == block.after:
            parent, place = block.name.rsplit(".", 1)
            chain = net.get_submodule(parent)
            module, chain._modules[place] = chain._modules[place], nn.Identity()
            assert found.without[block.name] == float((net(x).argmax(1) == y).float().mean())
            chain._modules[place] = module


def test_a_curve_begins_and_ends_where_it_must_and_its_draws_are_those_of_the_seed() -> None:
    net = create("resnet8").eval()
    x, y = noise(8, 3, 8, 8), torch.arange(8) % 10
    curve = lesion_curve(net, x, y, [0, 1, 3], draws=2)
    assert curve == lesion_curve(net, x, y, [0, 1, 3], draws=2)
    found = lesions(net, x, y)
    assert curve[0] == [found.intact] * 2
    assert set(curve[1]) <= set(found.without.values())
    assert curve[3][0] == curve[3][1]
    with pytest.raises(RequestError, match="from 0 to 3"):
        lesion_curve(net, x, y, [4])


def test_networks_without_blocks_are_refused() -> None:
    with pytest.raises(RequestError, match="no blocks"):
        find_blocks(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), noise(1, 3, 8, 8))


@needs_data
def test_a_trained_residual_network_survives_the_loss_of_a_block() -> None:
    x, y = cifar(60, PIXELS.mean, PIXELS.std)
    net = resnet("resnet20")
    found = lesions(net, x, y)
    assert found.intact > 0.85
    assert 0.1 < found.median_loss < 0.3  # with only nine blocks each counts
    assert min(found.without.values()) > 0.2
    responses = branch_responses(net, x)
    assert list(responses) == [block.name for block in found.blocks]
    assert all(0.1 < value < 2 for value in responses.values())


@needs_data
@pytest.mark.slow
def test_lesions_of_56_layers_residual_and_plain(tmp_path: Path) -> None:
    """400 test images: a median loss under 3 points, and no plain network above 40 % without a block."""
    x, y = cifar(400, PIXELS.mean, PIXELS.std)
    net = resnet("resnet56")
    found = lesions(net, x, y)
    assert len(found.blocks) == 27
    assert found.median_loss < 0.03
    assert min(found.without, key=found.without.__getitem__) == "stage2.0"
    assert all(0.2 < value < 1 for value in branch_responses(net, x[:100]).values())
    model = import_weights(
        DATA / "weights" / "resnet56_plain_landscape.pt",
        net="plain56",
        source="landscape",
        out=tmp_path / "m.safetensors",
    ).model
    plain = lesions(net_of(model), *cifar(400, model.pixels.mean, model.pixels.std))
    assert plain.intact > 0.8
    assert max(plain.without.values()) < 0.4
