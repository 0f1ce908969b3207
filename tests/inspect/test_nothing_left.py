"""No function that looks into a network leaves anything on it: hooks, forwards, modes, weights, gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.inspect.blocks import branch_responses, find_blocks
from striate.inspect.fields import box_by_gradient, equivariance_error, exciting_patches, field_of
from striate.inspect.filters import filter_norms, first_convolution
from striate.inspect.gradients import global_head, gradient_norms
from striate.inspect.identities import stage_sums
from striate.inspect.lesions import lesion_curve, lesions
from striate.inspect.paths import gradient_by_path_length
from striate.inspect.replacing import run_as, with_sum
from striate.inspect.smoothness import batch_noise, drift, loss_along_gradient
from striate.inspect.statistics import shared_axes
from striate.inspect.surface import loss_surface
from striate.nets.build import create

X, Y = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4)

FUNCTIONS: dict[str, Callable[[nn.Module], object]] = {
    "find_blocks": lambda net: find_blocks(net, X),
    "branch_responses": lambda net: branch_responses(net, X),
    "lesions": lambda net: lesions(net, X, Y),
    "lesion_curve": lambda net: lesion_curve(net, X, Y, [1, 2], draws=1),
    "gradient_by_path_length": lambda net: gradient_by_path_length(net, X, Y, [1], draws=1),
    "stage_sums": lambda net: stage_sums(net, X),
    "field_of": lambda net: field_of(net, "stem", (3, 8, 8)),
    "box_by_gradient": lambda net: box_by_gradient(net, "stem", X, (3, 3)),
    "exciting_patches": lambda net: exciting_patches(net, "stem", X, [0]),
    "equivariance_error": lambda net: equivariance_error(net.stem, X, 1),  # type: ignore[arg-type]
    "filter_norms": filter_norms,
    "first_convolution": lambda net: first_convolution(net, X),
    "gradient_norms": lambda net: gradient_norms(net, X, Y, [global_head(32, 10)]),
    "loss_along_gradient": lambda net: loss_along_gradient(net, (X, Y), [0.1]),
    "drift": lambda net: drift(net, "stem", X, [(X, Y)], lr=0.1),
    "batch_noise": lambda net: batch_noise(net, X[0], X, 2, draws=2),
    "loss_surface": lambda net: loss_surface(net, X, Y, points=3, plane=False),
    "shared_axes": lambda net: shared_axes(net.stem.norm, (2, 16, 4, 4)),  # type: ignore[union-attr,arg-type]
}


def state(net: nn.Module) -> list[object]:
    hooks = [
        [len(found) for name, found in vars(module).items() if name.endswith("_hooks") and hasattr(found, "__len__")]
        for module in net.modules()
    ]
    forwards = ["forward" in vars(module) for module in net.modules()]
    grads = [parameter.grad for parameter in net.parameters()]
    return [hooks, forwards, [module.training for module in net.modules()], grads, [p.dtype for p in net.parameters()]]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_left(name: str, training: bool) -> None:
    net = create("resnet20" if name == "stage_sums" else "resnet8").train(training)
    net.get_submodule("stage2").train(not training)
    before, weights = state(net), copy.deepcopy(net.state_dict())
    FUNCTIONS[name](net)
    assert state(net) == before
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["lesions", "branch_responses", "exciting_patches", "gradient_norms", "loss_surface"])
def test_nothing_is_left_after_an_error(name: str) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("in the middle")

    net = create("resnet8").train()
    net.stage3.add_module("1", Fails())  # type: ignore[operator,union-attr]
    before = state(net)
    with pytest.raises(KeyError):
        FUNCTIONS[name](net)
    assert state(net) == before


def test_a_module_that_is_run_otherwise_is_itself_again() -> None:
    net = create("resnet8").eval()
    plain = net(X)
    with run_as(net, {"stage1": lambda forward, x: forward(x) * 0}), run_as(net, {"stage1": lambda forward, x: x}):
        inner = net(X)
    assert not torch.equal(inner, plain)
    with run_as(net, {"stage1": lambda forward, x: forward(x) * 0}):
        outer = net(X)
        with run_as(net, {"stage1": lambda forward, x: x}):
            assert torch.equal(net(X), inner)
        assert torch.equal(net(X), outer)
    assert torch.equal(net(X), plain)
    block = net.get_submodule("stage1.0")
    with run_as(net, {"stage1.0": with_sum(block, "shortcut", torch.add)}):
        assert torch.equal(net(X), plain)
