"""Fast depthwise convolutions give the same outputs and gradients, and are restored afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.layers.conv import SameConv2d
from striate.training.depthwise import fast_depthwise


def gradients(conv: nn.Module, *, fast: bool, half: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 13, 11, generator=generator).contiguous(memory_format=torch.channels_last).requires_grad_()
    conv.zero_grad()
    if fast:
        with fast_depthwise(conv), torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = conv(x).float()
    else:
        y = conv(x)
    (y * torch.randn(y.shape, generator=generator)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad.clone() for parameter in conv.parameters())]


@pytest.mark.parametrize("kernel", [1, 3, (3, 5), 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_numbers(kernel: int | tuple[int, int], stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, padding=1, groups=6, bias=bias).to(memory_format=torch.channels_last)
    plain = gradients(conv, fast=False)
    for half in (False, True):
        for mine, theirs in zip(gradients(conv, fast=True, half=half), plain, strict=True):
            # Unchanged ones compute in bfloat16 under autocast, like any convolution.
            rough = half and stride == 1 and kernel in (1, 3)
            torch.testing.assert_close(mine, theirs, rtol=0.03 if rough else 1e-4, atol=0.3 if rough else 1e-4)


def test_same_padding_is_preserved() -> None:
    torch.manual_seed(0)
    conv = SameConv2d(6, 6, 5, stride=2, groups=6)
    for mine, theirs in zip(gradients(conv, fast=True), gradients(conv, fast=False), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_other_convolutions_are_unchanged_and_all_are_restored() -> None:
    net = nn.Sequential(nn.Conv2d(6, 6, 5), nn.Conv2d(6, 12, 5, groups=6), nn.Conv2d(6, 6, 5, groups=6, dilation=2))
    deep = nn.Conv2d(6, 6, 5, groups=6)
    with pytest.raises(KeyError), fast_depthwise(net.append(deep)):
        assert ["_conv_forward" in vars(module) for module in net] == [False, False, False, True]
        raise KeyError
    assert "_conv_forward" not in vars(deep)


def test_a_frozen_one_costs_no_gradient() -> None:
    conv = nn.Conv2d(6, 6, 5, groups=6).requires_grad_(False)
    x = torch.randn(2, 6, 9, 9, requires_grad=True)
    with fast_depthwise(conv):
        conv(x).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is None
