"""Convolutions of small maps as matrix products: the same outputs and gradients, restored afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.training.small_maps import fast_small_maps

AS_PRODUCT, AS_BEFORE = "_PatchProductBackward", "ConvolutionBackward0"


def gradients(conv: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """Output and gradients of input and parameters, for a fixed gradient of the output."""
    conv.zero_grad()
    x = x.detach().requires_grad_()
    y = conv(x)
    (y.float() * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad, *(parameter.grad.clone() for parameter in conv.parameters())]  # type: ignore[union-attr]


def image(channels: int, height: int, width: int) -> Tensor:
    x = torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last)


# Output maps of up to 3 places; the kernels reach beyond the border, or do not reach it.
@pytest.mark.parametrize("kernel", [1, 3, (3, 2)])
@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_numbers(
    kernel: int | tuple[int, int], stride: int | tuple[int, int], padding: int, bias: bool
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(384, 384, kernel, stride, padding, bias=bias).to(memory_format=torch.channels_last)
    least = 3 if kernel != 1 and not padding else 1
    x = image(384, least, least if padding else least + (2 if stride == 2 else 0))
    plain = gradients(conv, x)
    with fast_small_maps(conv):
        assert AS_PRODUCT in made_by(conv, x)
        found = gradients(conv, x)
    for mine, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)


def test_bfloat16_is_as_exact_as_before() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 512, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = image(512, 2, 2)
    exact = gradients(conv.double(), x.double())
    conv.float()
    with torch.autocast("cpu", torch.bfloat16):
        before = gradients(conv, x)
        with fast_small_maps(conv):
            now = gradients(conv, x)
            assert AS_PRODUCT in made_by(conv, x)
    assert [one.dtype for one in now] == [one.dtype for one in before] == [torch.bfloat16, torch.float32, torch.float32]
    for mine, theirs, right in zip(now, before, exact, strict=True):
        assert (mine - right).norm() < 1.2 * (theirs - right).norm()


def made_by(conv: nn.Conv2d, x: Tensor) -> set[str]:
    """The names of the operations behind an output."""
    seen, todo = set(), [conv(x.detach().requires_grad_()).grad_fn]
    while todo:
        operation = todo.pop()
        if operation is not None:
            seen.add(operation.name())
            todo += [before for before, _ in operation.next_functions]
    return seen


@pytest.mark.parametrize(
    ("conv", "size", "expected"),
    [
        (nn.Conv2d(512, 512, 3, padding=1), 2, AS_PRODUCT),
        (nn.Conv2d(512, 512, 3, padding=1), 8, AS_BEFORE),  # a larger map
        (nn.Conv2d(64, 64, 3, padding=1), 2, AS_BEFORE),  # few weights
        (nn.Conv2d(512, 512, 3, padding=1, groups=2), 2, AS_BEFORE),
        (nn.Conv2d(512, 512, 3, padding=2, dilation=2), 2, AS_BEFORE),
        (nn.Conv2d(512, 512, 3, padding=1, padding_mode="reflect"), 2, AS_BEFORE),
    ],
)
def test_by_shape(conv: nn.Conv2d, size: int, expected: str) -> None:
    with fast_small_maps(conv):
        assert {AS_PRODUCT, AS_BEFORE} & made_by(conv, image(512 if conv.in_channels > 64 else 64, size, size)) == {
            expected
        }


def test_all_are_restored_and_a_frozen_one_costs_no_gradient() -> None:
    conv = nn.Conv2d(512, 512, 3, padding=1).requires_grad_(False)
    with pytest.raises(KeyError), fast_small_maps(conv):
        x = image(512, 1, 1).requires_grad_()
        conv(x).sum().backward()
        assert x.grad is not None
        assert conv.weight.grad is None
        raise KeyError
    assert "_conv_forward" not in vars(conv)
