"""The graph of a network: from every network of the catalogue, back to torch with the same outputs, shapes checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from striate.errors import RequestError
from striate.interop.aten import graph_of
from striate.interop.graph import GraphBuilder
from striate.interop.graph_net import GraphNet
from striate.interop.operators import OPERATORS
from striate.layers.unpooling import Unpooling
from striate.nets import catalog
from striate.nets.base import Network
from striate.nets.build import create

SOME = [
    "alexnet_tiny", "maxout_tiny", "resnet8", "rir_tiny", "se_resnet_tiny", "hyper_wrn_tiny", "densenet_tiny",
    "shufflenet_tiny", "neocognitron_tiny", "snn_tiny", "tiny_darknet_tiny", "table_net_tiny",
]  # fmt: skip
WORDS = {"sequence-model", "captioner"}  # kinds that take words, which no graph of images has
NO_ROW = {"espnetv2", "fcos", "faster_rcnn"}  # poolings into several sizes, a minimum, suppression
ALL = [entry.name for entry in catalog.entries(tiny=True) if entry.kind not in WORDS and entry.file not in NO_ROW]


def made(name: str) -> tuple[Network, torch.Tensor]:
    """A network of three classes, and two images of its smallest size."""
    torch.manual_seed(0)
    entry = catalog.entry(name)
    net = create(name, classes=None if entry.kind == "self-organising" else 3).eval()
    size = entry.input_size if net.input_size or entry.tiny else (net.minimum_size,) * 2
    return net, torch.randn(2, net.in_channels, *size)


def check(name: str) -> None:
    net, images = made(name)
    with torch.no_grad():
        if not net(images).isfinite().all():  # of a thousand layers, whose sums grow with random weights
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.mul_(0.1)
    again = GraphNet(graph_of(net, images.shape[1:])).eval()
    with torch.no_grad():
        expected, found = net(images), again(images)
    scale = max(1.0, float(expected.abs().max()))
    assert found.shape == expected.shape and float((found - expected).abs().max()) <= 1e-5 * scale


@pytest.mark.parametrize("name", SOME)
def test_a_graph_is_its_net(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in SOME])
def test_a_graph_is_its_net_for_every_name(name: str) -> None:
    check(name)


def test_a_net_without_images_is_refused_with_its_operation() -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).sort(1).values

    with pytest.raises(RequestError, match=r"no row of a graph is aten\.sort"):
        graph_of(Sorted(), (1, 4, 4))
    with pytest.raises(RequestError, match="images"):
        graph_of(nn.Flatten(0), (1, 4, 4))


def test_what_is_of_the_images_alone_is_a_row() -> None:
    class Unpooled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            most, places = nn.functional.max_pool2d(x, 2, return_indices=True)
            left, right = Unpooling(2)(most, places).split(2, 1)
            return (2 - left * right[:, 0:1] / 3).pow(2).sum((2, 3)).softmax(1)

    images = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    graph = graph_of(Unpooled(), (4, 6, 6))
    assert torch.allclose(GraphNet(graph)(images), Unpooled()(images), atol=1e-6)
    assert {"max_places", "scatter", "slice", "affine", "power", "softmax"} <= {row.operator for row in graph.rows}


def test_it_is_trained_as_the_net_is() -> None:
    net, images = made("recurrent_resnet_tiny")
    again = GraphNet(graph_of(net, images.shape[1:]))
    # Weights that several rows share are one parameter.
    assert sum(one.numel() for one in again.parameters()) == sum(one.numel() for one in net.parameters())
    for module in (net.train(), again.train()):
        nn.functional.cross_entropy(module(images), torch.tensor([0, 2])).backward()
    ours = sorted(float(one.grad.norm()) for one in net.parameters() if one.grad is not None)
    theirs = sorted(float(one.grad.norm()) for one in again.parameters() if one.grad is not None)
    assert np.allclose(ours, theirs, rtol=1e-4)
    statistics = [module.running_mean for module in again.modules() if isinstance(module, nn.BatchNorm2d)]
    assert statistics and all(bool(one.any()) for one in statistics)  # they followed the batch


def test_dropout_follows_training() -> None:
    build = GraphBuilder()
    net = GraphNet(build.graph(build.add("dropout", build.input((1, 30, 30)), attributes={"rate": 0.5})))
    images = torch.ones(1, 1, 30, 30)
    assert not torch.equal(net.train()(images), images) and torch.equal(net.eval()(images), images)


WEIGHT = np.ones((4, 3, 3, 3), np.float32)
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("konv", {}, "did you mean 'conv'"),
    ("conv", {}, "row c .conv. lacks its weight"),
    ("conv", {"arrays": {"weight": WEIGHT[:, :2]}}, r"row c .conv. does not fit 3 x 8 x 8: .*channel"),
    ("conv", {"arrays": {"weight": WEIGHT}, "attributes": {"strides": (2, 2)}}, "did you mean 'stride'"),
    ("conv", {"arrays": {"weight": WEIGHT}, "attributes": {"stride": "two"}}, "does not fit"),
    ("conv", {"arrays": {"weight": np.array(["a"])}}, "not numbers"),
    ("conv", {"arrays": {"weight": "conv9.weight"}}, "conv9.weight"),
    ("max_pool", {"attributes": {"kernel": (9, 9), "stride": (1, 1)}}, "does not fit 3 x 8 x 8"),
    ("max_pool", {"attributes": {"kernel": (2, 2)}}, "lacks its stride"),
    ("reshape", {"attributes": {"shape": (5,)}}, "does not fit"),
    ("add", {}, "takes 2 inputs, not 1"),
    ("input", {"attributes": {"shape": (1, 2, 2)}}, "the first row, and no other"),
    ("pad", {"attributes": {"before": (1,), "after": (1,)}}, "each of 3 axes"),
    ("transpose", {"attributes": {"axes": (0, 0, 1)}}, "does not fit"),
    ("pad", {"attributes": {"before": (0, 2**16, 2**16), "after": (0, 0, 0)}}, "allowed: 1 to"),
]


@pytest.mark.parametrize(("operator", "given", "told"), WRONG, ids=[f"{row[0]}-{row[2][:20]}" for row in WRONG])
def test_a_row_that_does_not_fit_is_told_with_its_name(operator: str, given: dict[str, Any], told: str) -> None:
    build = GraphBuilder()
    images = build.input((3, 8, 8))
    with pytest.raises(RequestError, match=told):
        build.add(operator, images if operator != "input" else (), name="c", **given)


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-2, 9) | st.floats() | st.text(max_size=3) | st.booleans()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(OPERATORS)),
    st.dictionaries(st.sampled_from(["kernel", "stride", "padding", "axes", "axis", "shape", "size", "groups", "ceil",
                                     "stop", "before", "after"]), NUMBERS | st.tuples(NUMBERS, NUMBERS), max_size=4),
    st.integers(1, 2),
)  # fmt: skip
def test_any_row_is_added_or_refused(operator: str, attributes: dict[str, Any], count: int) -> None:
    build = GraphBuilder()
    images = build.input((3, 8, 8))
    known = OPERATORS[operator]
    arrays: dict[str, Any] = dict.fromkeys(known.arrays, np.ones((3, 3, 1, 1), np.float32))
    given = {name: value for name, value in attributes.items() if name in known.attributes}
    try:
        name = build.add(operator, (images,) * (known.inputs or count), attributes=given, arrays=arrays)
    except RequestError as error:
        assert "\n" not in str(error)
    else:
        assert all(side > 0 for side in build.shape(name))
