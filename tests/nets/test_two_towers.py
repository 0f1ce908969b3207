"""AlexNet on two devices: equal to one device, and nothing crosses but where the paper has it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.errors import RequestError
from striate.layers.lrn import LRN
from striate.nets.alexnet import AlexNet, normalise_by_tower
from striate.nets.build import create
from striate.nets.two_towers import TwoTowers

CPUS = ("cpu", "cpu")


def small(*, dropout: float = 0.5) -> AlexNet:
    """A narrow net of two towers, with weights large enough to tell."""
    torch.manual_seed(0)
    net = AlexNet(classes=10, input_size=(83, 83), width=1 / 16, dropout=dropout)
    normalise_by_tower(net)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 83, 83, generator=torch.Generator().manual_seed(1))


class Moves(TorchFunctionMode):
    """Counts what is sent to a device."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.to:
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def test_logits_are_those_of_one_device() -> None:
    net = small().double().eval()
    towers = TwoTowers(net, CPUS).eval()
    torch.testing.assert_close(towers(images().double()), net(images().double()))


def test_gradients_and_a_step_are_those_of_one_device() -> None:
    net = small(dropout=0.0).double().train()  # several steps would magnify the roundings of float32
    towers = TwoTowers(net, CPUS).train()
    targets = torch.arange(3)
    for model in (net, towers):
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        for _ in range(3):
            loss = nn.functional.cross_entropy(model(images().double()), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    state = net.state_dict()
    joined = towers.joined()
    assert joined.keys() == state.keys()
    for name, value in joined.items():
        torch.testing.assert_close(value, state[name])


def test_the_state_goes_back_to_one_device() -> None:
    net = small()
    other = small()
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(TwoTowers(net, CPUS).joined())
    assert torch.equal(other.eval()(images()), net.eval()(images()))


def test_towers_exchange_where_the_paper_has_it_and_nowhere_else() -> None:
    towers = TwoTowers(small(), CPUS).eval()
    assert towers.exchanges == ("conv3", "fc6", "fc7", "fc8")
    with Moves() as moves, torch.no_grad():
        towers(images(2))
    # The image to both devices; before conv3, fc6 and fc7 both halves to both; before fc8 both to the first.
    assert [shape[1] for shape in moves.shapes] == [3, 3, *[8] * 4, *[8] * 4, *[128] * 4, *[128] * 2]


def test_a_tower_has_half_of_the_weights() -> None:
    net = small()
    one, other = (sum(p.numel() for p in tower.parameters()) for tower in TwoTowers(net, CPUS).towers)
    assert one == other
    assert one + other == sum(p.numel() for name, p in net.named_parameters() if not name.startswith("head"))


@pytest.mark.parametrize(("layer", "crosses"), [("conv1", False), ("conv2", False), ("conv3", True)])
def test_what_the_other_tower_computes_is_seen_from_conv3_on(layer: str, crosses: bool) -> None:
    net: Any = small().eval()
    x, seen = images(1), []
    for scale in (1, 2):
        net.conv1.conv.weight.data[3:] *= scale  # of the second tower
        maps = net.maps(x)[layer]
        seen.append(maps[:, : maps.shape[1] // 2])
    assert torch.equal(*seen) != crosses


def test_normalisation_by_groups_is_that_of_each_part() -> None:
    x = torch.randn(2, 8, 3, 4) * 30
    parts = torch.cat([LRN()(part) for part in x.chunk(2, 1)], 1)
    assert torch.equal(LRN(groups=2)(x), parts)
    assert not torch.allclose(LRN()(x), parts)


def test_the_full_net_is_cut_in_two_on_the_meta_device() -> None:
    with torch.device("meta"):
        net: Any = create("alexnet_towers")
        towers = TwoTowers(net, ("meta", "meta")).eval()
        assert towers(torch.empty(2, 3, 227, 227)).shape == (2, 1000)
    assert {tuple(tower["conv1"].conv.weight.shape) for tower in towers.towers} == {(48, 3, 11, 11)}  # type: ignore[index, union-attr]
    assert {tuple(tower["fc6"].full.weight.shape) for tower in towers.towers} == {(2048, 9216)}  # type: ignore[index, union-attr]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a graphics card, as a device other than the CPU")
@pytest.mark.parametrize("devices", [("cuda:0", "cpu"), ("cpu", "cuda:0")])
def test_two_kinds_of_devices_agree_with_one(devices: tuple[str, str]) -> None:
    net = small().eval()
    towers = TwoTowers(net, devices).eval()
    found = towers(images())
    assert str(found.device) == devices[0]
    torch.testing.assert_close(found.cpu(), net(images()), rtol=1e-3, atol=1e-3)
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in towers.parameters())


def test_one_tower_and_crossing_norms_are_refused() -> None:
    with torch.device("meta"):
        one: Any = create("alexnet_one_tower")
        crossing: Any = create("alexnet")
    with pytest.raises(RequestError, match="alexnet_one_tower has one tower: every layer sees all maps"):
        TwoTowers(one, CPUS)
    with pytest.raises(RequestError, match=r"conv1.norm of alexnet normalises across the towers: create"):
        TwoTowers(crossing, CPUS)
