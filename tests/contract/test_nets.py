"""What every network promises, tried on the tiny sibling of each family and on all of LeNet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import create, net_class
from striate.nets.summary import describe, table_text
from striate.nets.supervised import Supervised

TRIED = [entry.name for entry in catalog.entries(tiny=True) if entry.tiny or entry.file == "lenet"]
each = pytest.mark.parametrize("name", TRIED)


def seeded(name: str, classes: int | None = None, in_channels: int | None = None) -> Net:
    torch.manual_seed(0)
    return create(name, classes=classes, in_channels=in_channels)


def images(net: Net, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, net.in_channels, *catalog.entry(net.name).input_size, generator=generator)


def auxiliary_heads(net: Net) -> set[str]:
    return set(net.auxiliary_heads.values()) if isinstance(net, Supervised) else set()


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float(((one.float() - other.float()).abs().max() / one.float().abs().max()).detach())


@each
def test_forward_and_backward(name: str) -> None:
    net = seeded(name).train()
    scores = net(images(net))
    assert scores.shape == (4, 10)
    nn.functional.cross_entropy(scores, torch.arange(4)).backward()
    for key, parameter in net.named_parameters():
        if key.split(".")[0] in auxiliary_heads(net):
            assert parameter.grad is None, key
            continue
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", [name for name in TRIED if issubclass(net_class(name), Supervised)])
def test_auxiliary_heads_are_for_the_loss_alone(name: str) -> None:
    net = seeded(name).eval()
    assert isinstance(net, Supervised)
    heads = auxiliary_heads(net)
    assert heads
    scores, auxiliary = net.forward_aux(images(net))
    assert torch.equal(scores, net(images(net)))
    assert [one.shape for one in auxiliary] == [(4, 10)] * len(heads)
    for head in heads:
        net.get_submodule(head).register_forward_pre_hook(lambda *_: pytest.fail("forward ran an auxiliary head"))
    net(images(net))
    for head in heads:
        net.get_submodule(head)._forward_pre_hooks.clear()

    scores, auxiliary = net.train().forward_aux(images(net))
    losses = [nn.functional.cross_entropy(one, torch.arange(4)) for one in (scores, *auxiliary)]
    (losses[0] + 0.3 * torch.stack(losses[1:]).sum()).backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key
    least = net.minimum_size
    with pytest.raises(RequestError, match="auxiliary head"):
        net.forward_aux(torch.zeros(1, net.in_channels, least, least))


@each
def test_parts_fit_together(name: str) -> None:
    net = seeded(name).eval()
    x = images(net)
    assert net.features(x).shape[:2] == (4, net.feature_channels)
    assert net.embed(x).shape == (4, net.embedding_size)
    assert torch.equal(net(x), net.head(net.embed(x)))
    for stage in net.stages:
        x = net.get_submodule(stage)(x)
    assert torch.equal(x, net.features(images(net)))


@each
def test_state_round_trip(name: str) -> None:
    net, other = seeded(name).eval(), create(name).eval()
    assert not torch.equal(net(images(net)), other(images(net)))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(images(net)), other(images(net)))


@each
def test_a_seed_decides_everything(name: str) -> None:
    scores = []
    for _ in range(2):
        net = seeded(name).train()
        scores.append(net(images(net)))
    assert torch.equal(*scores)


@each
def test_images_do_not_see_each_other(name: str) -> None:
    net = seeded(name).eval()
    together = net(images(net))
    apart = torch.cat([net(image) for image in images(net).chunk(4)])
    assert gap(together, apart) < 1e-5


@each
@pytest.mark.parametrize(("classes", "in_channels"), [(1, 1), (3, 4), (100, 3)])
def test_other_classes_and_channels(name: str, classes: int, in_channels: int) -> None:
    net = seeded(name, classes, in_channels).eval()
    assert net(images(net, 2)).shape == (2, classes)


@each
def test_what_is_no_image_is_refused(name: str) -> None:
    net = create(name)
    least = net.minimum_size
    channels = net.in_channels
    with pytest.raises(
        RequestError, match=f"{name} needs images of at least {least} x {least} pixels, not {least - 1} x"
    ):
        net(torch.zeros(1, channels, least - 1, 64))
    with pytest.raises(RequestError, match=rf"takes images \[N, {channels}, H, W\], not \[1, {channels + 1}, 64, 64\]"):
        net(torch.zeros(1, channels + 1, 64, 64))


@each
def test_other_sizes(name: str) -> None:
    least = net_class(name).minimum_size
    for size in ((least, least), (max(45, least + 7), max(38, least))):
        # A net with fully connected layers on the last map is made for one size, any other can do with every size.
        made_for_one = create(name).input_size is not None
        net = create(name, input_size=size if made_for_one else None).eval()
        assert net(torch.zeros(1, net.in_channels, *size)).shape == (1, 10)
        assert net.input_size == (size if made_for_one else None)


@each
def test_memory_format_does_not_change_the_answer(name: str) -> None:
    net = seeded(name).eval()
    plain = net(images(net))
    last = net.to(memory_format=torch.channels_last)(images(net).to(memory_format=torch.channels_last))
    assert gap(plain, last) < 1e-5


@each
def test_half_the_precision_is_near(name: str) -> None:
    net = seeded(name).eval()
    full = net(images(net))
    half = net.to(torch.bfloat16)(images(net).bfloat16())
    assert torch.isfinite(half).all()
    assert gap(full, half) < 0.05


@each
def test_tracers_hold_any_batch_and_size(name: str) -> None:
    net = seeded(name).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, images(net, 2))
        drawn = torch.fx.symbolic_trace(net)
        batch = {0: torch.export.Dim("batch", min=1, max=64)}
        exported = torch.export.export(net, (images(net, 2),), dynamic_shapes=(batch,)).module()
        for graph in (traced, drawn, exported):
            assert torch.equal(graph(images(net, 3)), net(images(net, 3)))
        if net.input_size is None:
            least = net.minimum_size
            odd = torch.randn(3, net.in_channels, max(45, least + 7), max(38, least))
            assert torch.equal(traced(odd), net(odd))


@each
def test_the_table_is_printed_back(name: str) -> None:
    printed = [line.split() for line in table_text(name).splitlines() if line]
    assert printed == [line.split() for line in net_class(name).table.splitlines() if line]
    assert printed
    entry = catalog.entry(name)
    rows = describe(name)
    assert sum(row.parameters for row in rows) == entry.parameters
    assert sum(row.madds for row in rows) == entry.madds
    assert rows[-1].output == (entry.classes,)
