"""Gradient checkpointing changes what is stored for backward, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from striate.errors import RequestError
from striate.layers.checkpointing import checkpointed, checkpointing
from striate.layers.conv import ConvNormAct


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        ConvNormAct(3, 4, 3),
        nn.Sequential(ConvNormAct(4, 8, 3), nn.Dropout(0.3), ConvNormAct(8, 8, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(8 * 36, 2)),
    )


def plainly(net: nn.Sequential, x: Tensor) -> Tensor:
    out: Tensor = net(x)
    return out


def by_function(net: nn.Sequential, x: Tensor) -> Tensor:
    return checkpointed(net[2], checkpointed(net[1], checkpointed(net[0], x)))


def in_context(net: nn.Sequential, x: Tensor) -> Tensor:
    with checkpointing(*net):
        return plainly(net, x)


class ByFunction(nn.Module):
    """`by_function` as the forward of a module."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return by_function(self.net, x)


def nested(net: nn.Sequential, x: Tensor) -> Tensor:
    return checkpointed(ByFunction(net), x)


def one_step(net: nn.Sequential, run: Callable[[nn.Sequential, Tensor], Tensor]) -> tuple[list[Tensor], int]:
    """Output, every gradient and every buffer after a step, and the bytes that were kept for backward."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    torch.manual_seed(1)
    x = torch.randn(4, 3, 6, 6, requires_grad=True)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run(net, x)
    out.square().sum().backward()
    gradients = [tensor.grad for tensor in (x, *net.parameters())]
    return [out, *(grad for grad in gradients if grad is not None), *net.buffers()], sum(kept.values())


@pytest.mark.parametrize("run", [by_function, in_context, nested])
def test_nothing_changes_but_what_is_kept(run: Callable[[nn.Sequential, Tensor], Tensor]) -> None:
    made = net()
    expected, plain_bytes = one_step(copy.deepcopy(made), plainly)
    found, bytes_kept = one_step(made, run)
    assert len(found) == len(expected) == 1 + 1 + 11 + 9
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert bytes_kept < plain_bytes / 2
    assert made[0].norm.num_batches_tracked == 1
    assert not any("forward" in vars(module) for module in made.modules())


def test_backward_twice_moves_no_statistics() -> None:
    made = net()
    out = by_function(made, torch.randn(4, 3, 6, 6)).sum()
    mean = made[0].norm.running_mean.clone()
    first, second = (torch.autograd.grad(out, [*made.parameters()], retain_graph=True) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert torch.equal(made[0].norm.running_mean, mean)


def test_the_context_lets_go_after_an_error() -> None:
    made = net()
    with pytest.raises(RuntimeError), checkpointing(*made):
        made(torch.zeros(4, 5, 6, 6))
    assert not any("forward" in vars(module) for module in made.modules())


def test_parts_inside_one_another_are_refused() -> None:
    made = net()
    parts = made[0], made[1], made[1][1]
    with pytest.raises(RequestError, match="inside one another: Dropout is"), checkpointing(*parts):
        pass
    with pytest.raises(RequestError, match="ConvNormAct is"), checkpointing(made[0], made[0]):
        pass


def test_without_gradients_or_under_a_tracer_it_is_the_plain_call() -> None:
    made = net().eval()
    x = torch.randn(4, 3, 6, 6)
    with torch.no_grad():
        assert torch.equal(by_function(made, x), made(x))
        with checkpointing(*made):
            traced = torch.jit.trace(made, x)
        assert torch.equal(traced(x), made(x))


def test_in_evaluation_running_statistics_are_used() -> None:
    made = net().eval()
    x = torch.randn(4, 3, 6, 6)
    expected = torch.autograd.grad(made(x).sum(), [*made.parameters()])
    found = torch.autograd.grad(by_function(made, x).sum(), [*made.parameters()])
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
