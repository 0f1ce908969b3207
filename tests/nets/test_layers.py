"""Layers against an independent way of computing the same."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

from striate.errors import RequestError
from striate.layers.activation import ScaledTanh
from striate.layers.conv import ConvNormAct, SameConv2d
from striate.layers.shortcut import ZeroPadShortcut
from striate.layers.subsampling import Subsampling


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 7), (7, 6), (1, 8)])
def test_same_padding_is_tensorflows(kernel: int, stride: int, size: tuple[int, int]) -> None:
    conv = SameConv2d(2, 3, kernel, stride=stride)
    x = torch.rand(1, 2, *size)
    pads: list[int] = []
    for side in reversed(size):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    expected = F.conv2d(F.pad(x, pads), conv.weight, conv.bias, stride)
    assert conv(x).shape[2:] == tuple(math.ceil(side / stride) for side in size)
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize("kernel", [(1, 7), (3, 2)])
@pytest.mark.parametrize("padding", ["half", "same", "valid"])
def test_a_kernel_may_be_longer_than_high(kernel: tuple[int, int], padding: Literal["half", "same", "valid"]) -> None:
    rows, columns = kernel
    brick = ConvNormAct(2, 3, kernel, padding=padding)
    assert brick.conv.weight.shape == (3, 2, rows, columns)
    around = {"half": (2 * (rows // 2), 2 * (columns // 2)), "same": (rows - 1, columns - 1), "valid": (0, 0)}[padding]
    assert brick(torch.rand(1, 2, 9, 8)).shape[2:] == (9 + around[0] - rows + 1, 8 + around[1] - columns + 1)


def test_same_padding_refuses_a_kernel_smaller_than_its_stride() -> None:
    with pytest.raises(RequestError, match="not 1 with stride 2"):
        SameConv2d(1, 1, 1, stride=2)


def test_subsampling_is_sum_times_coefficient_plus_bias() -> None:
    layer = Subsampling(1, 2)
    torch.nn.init.constant_(layer.weight, 3.0)
    torch.nn.init.constant_(layer.bias, 0.5)
    assert layer(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).item() == 30.5


def test_option_a_keeps_every_second_pixel_and_adds_zeros() -> None:
    x = torch.rand(1, 2, 4, 5)
    y = ZeroPadShortcut(2, 4, 2)(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, [0, 3]].any()


def test_scaled_tanh_is_one_at_one() -> None:
    assert ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0])).tolist() == pytest.approx([-1, 0, 1], abs=1e-4)
