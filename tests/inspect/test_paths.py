"""Paths of a residual network, and the algebra of its shortcuts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.blocks import find_blocks
from striate.inspect.identities import (
    gradient_terms,
    layer_jacobians,
    product_of,
    scaled_shortcuts,
    stage_sums,
)
from striate.inspect.paths import gradient_by_path_length, path_lengths, path_outputs, unravelled
from striate.inspect.replacing import run_as, with_sum
from striate.nets.build import create


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_lengths_of_paths_are_binomial() -> None:
    """The paper's 54 blocks: paths through 5 to 17 of them are 0.4537 % of all."""
    shares = path_lengths(54)
    assert sum(shares) == 1
    assert f"{float(sum(shares[5:18])):.4%}" == "0.4537%"
    assert max(range(55), key=shares.__getitem__) == 27


def test_paths_of_linear_branches_add_up_to_the_output() -> None:
    torch.manual_seed(0)
    branches = [nn.Linear(6, 6, bias=False).double() for _ in range(4)]
    x = y = noise(3, 6)
    for branch in branches:
        y = y + branch(y)
    outputs = path_outputs(branches, x)
    assert len(outputs) == 16
    torch.testing.assert_close(outputs.sum(0), y, rtol=0, atol=1e-12)
    terms = unravelled(4)
    assert terms[0] == "y0" and terms[-1] == "f4(f3(f2(f1(y0))))"
    named = {f"f{place}": branch for place, branch in enumerate(branches, 1)} | {"y0": x}
    for term, output in zip(terms, outputs, strict=True):
        torch.testing.assert_close(eval(term, {}, dict(named)), output)
    with pytest.raises(RequestError, match="at most 16"):
        unravelled(17)


def test_gradients_of_all_paths_add_up() -> None:
    """Each residual block by its branch or by its shortcut: of three blocks the eight gradients sum to the whole."""
    net = create("resnet8").double().eval()
    x = noise(2, 3, 8, 8).requires_grad_()
    target = torch.tensor([1, 2])
    (whole,) = torch.autograd.grad(F.cross_entropy(net(x), target), x)
    summed = torch.zeros_like(whole)
    blocks = find_blocks(net, x[:1].detach())
    for path in range(8):
        keep = [
            (lambda s, f: s.detach() + f) if path >> place & 1 else (lambda s, f: s + f.detach()) for place in range(3)
        ]
        instead = {
            block.name: with_sum(net.get_submodule(block.name), block.shortcut, keep[place])
            for place, block in enumerate(blocks)
        }
        with run_as(net, instead):
            (part,) = torch.autograd.grad(F.cross_entropy(net(x), target), x)
        summed += part
    torch.testing.assert_close(summed, whole, rtol=0, atol=1e-12)


def test_gradients_by_length() -> None:
    net = create("resnet8")
    x, y = noise(2, 3, 8, 8, dtype=torch.float32), torch.tensor([1, 2])
    rows = gradient_by_path_length(net, x, y, [0, 1, 2, 3])
    assert [row.share for row in rows] == [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    assert sum(row.total for row in rows) == pytest.approx(1)
    assert rows == gradient_by_path_length(net, x, y, [0, 1, 2, 3])
    with pytest.raises(RequestError, match="no residual blocks"):
        gradient_by_path_length(create("plain8"), x, y, [0])
    with pytest.raises(RequestError, match="from 0 to 3"):
        gradient_by_path_length(net, x, y, [4])


def test_a_value_is_the_start_and_all_branches_and_its_gradient_has_two_terms() -> None:
    """Within a stage of a pre-activation network: to 1e-5 and 1e-6 in float32."""
    net = create("preact_resnet110", options={"depth": 20})
    x = noise(2, 3, 16, 16, dtype=torch.float32).requires_grad_()
    stages = stage_sums(net, x)
    assert [len(stage.blocks) for stage in stages] == [3, 2, 2]
    for stage in stages:
        assert stage.error < 1e-5
    stages = stage_sums(net.double(), noise(2, 3, 16, 16).requires_grad_())
    for stage in stages:
        terms = gradient_terms(stage, stage.x_K.square().sum())
        assert terms.error < 1e-6
        assert terms.through.abs().max() > 0
        assert torch.equal(terms.direct, 2 * stage.x_K)


def test_with_a_relu_after_the_sum_it_does_not_hold() -> None:
    assert stage_sums(create("resnet20"), noise(2, 3, 16, 16, dtype=torch.float32))[0].error > 0.01


def test_a_plain_gradient_is_a_product_of_matrices() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 5).double(), torch.tanh, nn.Linear(5, 4).double()]
    jacobians = layer_jacobians(layers, noise(6))
    assert [tuple(jacobian.shape) for jacobian in jacobians] == [(5, 6), (5, 5), (4, 5)]
    whole = torch.autograd.functional.jacobian(nn.Sequential(layers[0], nn.Tanh(), layers[2]), noise(6))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(product_of(jacobians), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_scaled_shortcut_carries_the_power_of_its_factor(factor: float) -> None:
    x = noise(3).requires_grad_()
    values = scaled_shortcuts([torch.zeros_like] * 20, x, factor)
    (gradient,) = torch.autograd.grad(values[-1].sum(), x)
    assert torch.equal(gradient, torch.full_like(x, factor**20))
    values = scaled_shortcuts([lambda y: 0.1 * y.tanh()] * 20, x, factor)
    (gradient,) = torch.autograd.grad(values[-1].sum(), x)
    assert (gradient.norm() > 1e5) if factor > 1 else (gradient.norm() < 1e-3)
