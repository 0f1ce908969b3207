"""The contract of every network, checked on the tiny sibling of each family and on all of LeNet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import describe, table_text
from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import create, net_class, variant_of
from striate.nets.check import check_net
from striate.nets.supervised import Supervised

TRIED = [entry.name for entry in catalog.entries(tiny=True, kind="classifier") if entry.tiny or entry.file == "lenet"]
each = pytest.mark.parametrize("name", TRIED)
# The deepest take seconds for each pass; of their kinds inception_v3_tiny is left here.
DEEP = {"bn_inception_tiny", "inception_resnet_tiny", "inception_v4_tiny", "nasnet_tiny"}
each_but_deep = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEEP else []) for name in TRIED]
)


def seeded(name: str, classes: int | None = None, in_channels: int | None = None) -> Net:
    torch.manual_seed(0)
    return create(name, classes=classes, in_channels=in_channels)


def images(net: Net, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, net.in_channels, *catalog.entry(net.name).input_size, generator=generator)


def auxiliary_heads(net: Net) -> set[str]:
    return set(net.auxiliary_heads.values()) if isinstance(net, Supervised) else set()


@each_but_deep
def test_a_net_keeps_the_contract(name: str) -> None:
    failures = [str(failure) for failure in check_net(name)]
    if name == "graph_net_tiny":  # its rows are of an imported network, and say which images it takes
        failures = [one for one in failures if "this imported network takes images of 3 x 32 x 32" not in one]
    assert failures == []


# The tiny net of searched cells is a NASNet without such a head.
SUPERVISED = [name for name in TRIED if issubclass(net_class(name), Supervised) and name != "searched_cells_tiny"]


@pytest.mark.parametrize("name", SUPERVISED)
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


# A stage of the others takes more than the map before it; their own tests run them.
CHAINS = [name for name in TRIED if net_class(name)._run_stages is Net._run_stages]


@pytest.mark.parametrize("name", CHAINS)
def test_maps_are_those_of_the_stages(name: str) -> None:
    net = seeded(name).eval()
    x = images(net)
    maps = net.maps(x)
    for stage in net.stages:
        x = net.get_submodule(stage)(x)
        assert torch.equal(maps.pop(stage), x)
    assert not maps
    assert torch.equal(x, net.features(images(net)))


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


@each_but_deep
def test_tracers_hold_any_size(name: str) -> None:
    net = seeded(name).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, images(net, 2))
        drawn = torch.fx.symbolic_trace(net)
        for graph in (traced, drawn):
            assert torch.equal(graph(images(net, 3)), net(images(net, 3)))
        if net.input_size is None:
            least = net.minimum_size
            odd = torch.randn(3, net.in_channels, max(45, least + 7), max(38, least))
            assert torch.equal(traced(odd), net(odd))


@each
def test_the_table_is_printed_back(name: str) -> None:
    printed = [line.split() for line in table_text(name).splitlines() if line]
    assert printed == [line.split() for line in variant_of(name).table.splitlines() if line]
    assert printed
    entry = catalog.entry(name)
    rows = describe(name)
    assert sum(row.parameters for row in rows) == entry.parameters
    assert sum(row.madds for row in rows) == entry.madds
    assert rows[-1].output == (entry.classes,)
