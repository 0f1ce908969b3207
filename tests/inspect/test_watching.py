"""Outputs of modules are read and replaced, and nothing is left on the network afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import nn

from striate.errors import RequestError
from striate.inspect.watching import replaced, watched
from striate.layers.modes import in_evaluation
from striate.nets.build import create


def hooks(net: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in net.modules()
    )


@pytest.mark.parametrize(
    "watching",
    [
        lambda net: watched(net, ["conv1", "head"]),
        lambda net: replaced(net, "conv1", lambda x, y: y),
        in_evaluation,
    ],
)
def test_nothing_is_left(watching: Callable[[nn.Module], AbstractContextManager[object]]) -> None:
    net = create("resnet_tiny").train()
    net.get_submodule("conv1").eval()
    modes = [module.training for module in net.modules()]
    with pytest.raises(KeyError), watching(net):
        raise KeyError
    assert hooks(net) == 0
    assert [module.training for module in net.modules()] == modes


def test_outputs_are_read_and_replaced() -> None:
    net = create("resnet_tiny").eval()
    x = torch.randn(1, net.in_channels, 32, 32, generator=torch.Generator().manual_seed(0))
    with watched(net, ["head"]) as outputs:
        plain = net(x)
        assert outputs["head"] is plain
    with replaced(net, net.stages[-1], lambda before, after: torch.zeros_like(after)):
        assert torch.equal(net(x), net.head.bias.expand_as(plain))  # type: ignore[union-attr]
    assert torch.equal(net(x), plain)


def test_an_unknown_module_is_answered_with_the_nearest() -> None:
    net = create("resnet_tiny")
    with pytest.raises(RequestError, match="conv1"), watched(net, ["convl"]):
        pass
    assert hooks(net) == 0
