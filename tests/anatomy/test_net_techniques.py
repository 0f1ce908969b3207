"""Techniques are found in the networks themselves, and the catalogue's file has what is found."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.techniques import techniques, techniques_of
from striate.anatomy.trace import trace
from striate.errors import RequestError
from striate.jobs.catalogue import list_nets
from striate.nets import catalog
from striate.nets.base import Net

TINY = [entry.name for entry in catalog.entries(tiny=True) if entry.tiny or entry.file == "lenet"]


def test_the_file_names_every_network() -> None:
    stored = json.loads(catalog.TECHNIQUES.read_text("utf-8"))
    assert set(stored) == {entry.name for entry in catalog.entries(tiny=True)}, "run python -m striate.anatomy.facts"


@pytest.mark.parametrize("name", TINY)
def test_the_file_has_what_is_found(name: str) -> None:
    assert list(catalog.entry(name).techniques) == techniques_of(name), "run python -m striate.anatomy.facts"


class Drawn(Net):
    """A small net with a shortcut, a grouped convolution and a dropout of nothing."""

    table = ""
    minimum_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 4
        self.stem = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.act = nn.Sequential(nn.SELU(), nn.Dropout(0.0))
        self.stages = ("stem",)
        self.head = nn.Linear(4, 2)

    def embed(self, x: Tensor) -> Tensor:
        return (self.act(self.stem(x)) + x).mean((2, 3))


def test_layers_and_joins_are_named() -> None:
    with torch.device("meta"):
        net = Drawn()
    found = techniques(net, trace(net, (8, 8)))
    assert found == ["SELU", "global average pooling", "grouped convolution", "sum of branches"]


@pytest.mark.parametrize(
    ("technique", "some", "none"),
    [
        ("maxout", {"maxout_cifar"}, {"resnet18"}),
        ("sum of branches", {"resnet18", "mobilenet_v2", "enet_19"}, {"alexnet", "vgg16", "plain20"}),
        ("squeeze-and-excitation", {"se_resnet50", "efficientnet_b0"}, {"resnet50"}),
        ("depthwise convolution", {"mobilenet_v1"}, {"alexnet"}),
        ("hypernetwork", {"hyper_mnist", "hyper_lstm_ptb"}, {"lstm_ptb"}),
        ("alpha dropout", {"snn_cifar"}, {"snn8_cifar", "nin_cifar"}),
        ("auxiliary heads", {"googlenet"}, {"bn_inception"}),
        ("self-organisation", {"cognitron", "neocognitron"}, {"lenet5"}),
    ],
)
def test_networks_are_found_by_technique(technique: str, some: set[str], none: set[str]) -> None:
    found = {net.name for net in list_nets(techniques=[technique])}
    assert some <= found and not none & found


def test_several_techniques_must_all_be_used() -> None:
    both = {net.name for net in list_nets(techniques=["unpooling", "dilated convolution"])}
    assert both == {"enet_19"}
    with pytest.raises(RequestError, match="unknown technique 'maxuot'; did you mean 'maxout'"):
        list_nets(techniques=["maxuot"])
    with pytest.raises(RequestError, match=r"unknown technique '[?]'; known: .*maxout.*unpooling"):
        list_nets(techniques=["?"])
