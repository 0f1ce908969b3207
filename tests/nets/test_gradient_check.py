"""Gradients written by hand are checked against differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate import check_gradient
from striate.errors import RequestError

RIGHT, WRONG = 1e-6, 1e-3


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


class Cube(torch.autograd.Function):
    """x^3 with a derivative that may be planted wrong at one place."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(value)
        ctx.wrong = wrong
        return value**3

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        found = 3 * value**2 * gradients[0]
        if ctx.wrong:
            found[1, 2] *= 1.01
        return found, None


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (nn.Linear(4, 3), x(2, 4)),
        (nn.Conv2d(2, 3, 3, padding=1), x(1, 2, 4, 4)),
        (nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3)), x(3, 2, 3, 3)),  # the bias has no gradient
        (nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Tanh()), x(2, 4)),
        (torch.sin, x(2, 3)),
        (lambda value: Cube.apply(value, False), x(2, 3)),
    ],
)
def test_right_gradients_pass(layer: Any, given: Tensor) -> None:
    assert check_gradient(layer, given).error < RIGHT


def test_a_wrong_derivative_of_a_function_is_found_with_its_place() -> None:
    found = check_gradient(lambda value: Cube.apply(value, True), x(2, 3))
    assert found.where == "input[1, 2]" and found.error == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert found.backward / found.differences == pytest.approx(1.01)
    assert "at input[1, 2]" in str(found)


class Affine:
    """x W + b with its gradient by hand; `fault` is planted."""

    def __init__(self, fault: str = "") -> None:
        self.parameters = {"weight": x(3, 2), "bias": x(2)}
        self.gradients: dict[str, Tensor] = {}
        self.fault = fault

    def forward(self, given: Tensor) -> Tensor:
        self.seen = given.clone()
        return given @ self.parameters["weight"] + self.parameters["bias"]

    def backward(self, gradient: Tensor) -> Tensor:
        self.gradients = {"weight": self.seen.T @ gradient, "bias": gradient.sum(0)}
        if self.fault == "bias":
            self.gradients["bias"] = gradient.mean(0)
        if self.fault == "shape":
            self.gradients["weight"] = self.gradients["weight"].T
        if self.fault == "missing":
            del self.gradients["weight"]
        if self.fault == "nan":
            self.gradients["weight"] = self.gradients["weight"] * torch.nan
        return gradient @ self.parameters["weight"].T


def test_a_layer_written_by_hand_is_checked_with_its_parameters() -> None:
    layer = Affine()
    before = layer.parameters["weight"].clone()
    assert check_gradient(layer, x(4, 3)).error < RIGHT
    assert torch.equal(layer.parameters["weight"], before) and not hasattr(layer, "seen")  # a copy was checked
    wrong = check_gradient(Affine("bias"), x(4, 3))
    assert wrong.error > WRONG and wrong.where.startswith("bias[")
    assert wrong.differences == pytest.approx(4 * wrong.backward)
    assert check_gradient(Affine("nan"), x(4, 3)).error == float("inf")


def test_gradients_that_are_missing_or_of_another_shape_are_refused() -> None:
    with pytest.raises(RequestError, match=r"the gradient of weight is \[2, 3\], not \[3, 2\]"):
        check_gradient(Affine("shape"), x(4, 3))
    with pytest.raises(RequestError, match="no gradient of 'weight'"):
        check_gradient(Affine("missing"), x(4, 3))
    with pytest.raises(RequestError, match="floating-point"):
        check_gradient(nn.Linear(3, 2), torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(RequestError, match="one tensor, not a tuple"):
        check_gradient(lambda value: (value, value), x(2))  # type: ignore[arg-type, return-value]


def test_a_detached_output_is_a_wrong_gradient() -> None:
    found = check_gradient(lambda value: (value**2).detach(), x(2, 3))
    assert found.error == 1.0 and found.backward == 0.0


def test_torchs_random_state_is_restored() -> None:
    before = torch.get_rng_state()
    check_gradient(nn.Dropout(0.5), x(2, 3))
    assert torch.equal(torch.get_rng_state(), before)
