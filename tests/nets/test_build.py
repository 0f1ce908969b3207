"""`create` makes what was asked for, can make it again, and refuses the rest before anything is allocated."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import parameters
from striate.errors import RequestError
from striate.nets.build import create


def test_defaults_are_the_catalogues() -> None:
    net = create("lenet5")
    assert (net.name, net.in_channels) == ("lenet5", 1)
    assert net.options == {"classes": 10, "in_channels": 1, "input_size": [32, 32], "options": {}}


def test_name_and_options_make_the_same_net_again() -> None:
    net = create("resnet20", classes=7, in_channels=1, input_size=(48, 64), options={"residual": False})
    again = create(net.name, **json.loads(json.dumps(net.options)))
    assert again.options == net.options
    assert [tensor.shape for tensor in again.parameters()] == [tensor.shape for tensor in net.parameters()]


def test_an_option_takes_the_place_of_the_variants() -> None:
    assert parameters(create("resnet20", options={"depth": 32})) == 464_154


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 0}, "classes must be a whole number from 1 to 100000, not 0"),
        ({"classes": 10**9}, "not 1000000000"),
        ({"classes": True}, "not True"),
        ({"classes": "10"}, "not '10'"),
        ({"classes": 10.0}, "not 10.0"),
        ({"in_channels": 1025}, "in_channels must be a whole number from 1 to 1024"),
        ({"input_size": (4, 32)}, "resnet20 needs images of at least 8 x 8 pixels, not 4 x 32"),
        ({"input_size": 32}, "input_size must be height and width"),
        ({"input_size": (32, 10**9)}, "input_size must be a whole number from 1 to 16384"),
        ({"options": {"dept": 20}}, "unknown option of resnet20: 'dept'; did you mean 'depth'?"),
        ({"options": {"depth": 21}}, "depth must be 6n + 2"),
        ({"options": {"depth": 6 * 10**9 + 2}}, "depth must be 6n + 2"),
        ({"options": {"depth": True}}, "option depth of resnet20 must be a whole number, not True"),
        ({"options": {"residual": 1}}, "must be true or false, not 1"),
        ({"options": {"classes": 10}}, "classes is an argument of create by itself"),
        ({"options": ["depth"]}, "options must be names with values"),
    ],
)
def test_wrong_requests_are_refused(given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Conv2d, "__init__", lambda *_, **__: pytest.fail("allocated before checking"))
    with pytest.raises(RequestError) as caught:
        create("resnet20", **given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet5", {"output": "softmax"}, "option output of lenet5 must be 'rbf' or 'linear', not 'softmax'"),
        ("efficientnet_lite0", {"width": float("nan")}, "must be a number, not nan"),
        ("efficientnet_lite0", {"width": 100.0}, "width must be above 0 and at most 8"),
        ("efficientnet_lite0", {"dropout": 1}, "dropout must be at least 0 and below 1"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        create(name, options=options)
    assert message in str(caught.value)


def test_dropout_is_in_the_vector_and_in_training_only() -> None:
    net = create("efficientnet_lite_tiny", options={"dropout": 0.5})
    x = torch.rand(2, 3, 32, 32)
    assert (net.train().embed(x) == 0).float().mean() > 0.3
    assert torch.equal(net.eval()(x), net.head(net.embed(x)))
