"""A layer's gradient compared with differences of its outputs: a check of a backward pass written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from striate.errors import RequestError

STEP = 1e-5  # where truncation (its square) and rounding (1e-16 / step) of float64 are about equal
FLOOR = 1e-3  # of the largest gradient: smaller ones are compared with this share of it


@runtime_checkable
class ManualLayer(Protocol):
    """A layer whose gradient is written by hand, without autograd.

    `parameters` are its tensors by name. `backward` is called after `forward` of the same input; it returns the
    gradient of the input, and leaves those of the parameters in `gradients`, by the same names.
    """

    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """The output."""

    def backward(self, gradient: Tensor) -> Tensor:
        """From the gradient of the output to that of the input."""


class GradientError(NamedTuple):
    """The largest relative error of a gradient, and where: `weight[3, 1]`; then both values there."""

    error: float
    where: str
    backward: float
    differences: float

    def __str__(self) -> str:
        return f"{self.error:.1e} at {self.where}: {self.backward:.6g} backward, {self.differences:.6g} by differences"


def check_gradient(layer: nn.Module | ManualLayer | Callable[[Tensor], Tensor], x: Tensor) -> GradientError:
    """The largest relative error of a layer's backward pass, against central differences in float64.

    layer: an `nn.Module`, also with a `torch.autograd.Function` of your own; a function of one tensor; or an object
    whose `forward` and `backward` are written by hand (see ManualLayer). A copy is checked, in float64 and in its mode.
    x: an input; every number of it and of the parameters costs two forward passes, so take a small one.

    The loss is the sum of the outputs times fixed random weights. For each number t its derivative by differences is
    `(loss(t + h) - loss(t - h)) / 2h` with `h = 1e-5 max(1, |t|)`, and the error `|b - d| / max(|b|, |d|, floor)`; the
    floor is a thousandth of the largest gradient. A right backward pass has about 1e-8; above 1e-5 there is an error in
    it, or the function has a kink there, as ReLU has at 0. Before each pass torch's generator has the same seed, so
    dropout is no obstacle; its state is restored.
    Raises RequestError for an input that is not of floating point, and an output or gradient of another shape.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise RequestError("the gradient is checked at a tensor of floating-point numbers")
    own = copy.deepcopy(layer)
    if isinstance(own, nn.Module):
        own.double()
        subject: _Subject = _Autograd(own, dict(own.named_parameters()))
    elif isinstance(own, ManualLayer):
        own.parameters = {name: value.detach().double() for name, value in own.parameters.items()}
        subject = _Manual(own)
    else:
        subject = _Autograd(own, {})
    at = x.detach().double().clone()
    with torch.random.fork_rng(devices=[]):
        output = _seeded(subject.forward, at)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        backward = subject.backward(at, weights.to(output.device))
        tensors = {"input": at, **subject.parameters}
        _check_shapes(tensors, backward)
        differences = {name: _differences(subject, at, tensor, weights) for name, tensor in tensors.items()}
    return _largest(backward, differences)


class _Subject(Protocol):
    @property
    def parameters(self) -> Mapping[str, Tensor]: ...

    def forward(self, x: Tensor) -> Tensor: ...

    def backward(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]: ...


class _Autograd:
    def __init__(self, function: Callable[[Tensor], Tensor], parameters: Mapping[str, Tensor]) -> None:
        self.function, self.parameters = function, parameters

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def backward(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        leaf = x.clone().requires_grad_(True)
        wanted = {"input": leaf, **self.parameters}
        with torch.enable_grad():
            output = _seeded(self.function, leaf)
            if not output.requires_grad:
                return {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
            found = torch.autograd.grad(output, list(wanted.values()), weights, allow_unused=True)
        zeros = (torch.zeros_like(tensor) for tensor in wanted.values())
        return {name: zero if one is None else one for name, one, zero in zip(wanted, found, zeros, strict=True)}


class _Manual:
    def __init__(self, layer: ManualLayer) -> None:
        self.layer, self.parameters = layer, layer.parameters

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.forward(x)

    def backward(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        _seeded(self.layer.forward, x)
        found = self.layer.backward(weights)
        missing = self.parameters.keys() - self.layer.gradients.keys()
        if missing:
            raise RequestError(f"backward leaves no gradient of {sorted(missing)[0]!r} in gradients")
        return {"input": found, **{name: self.layer.gradients[name] for name in self.parameters}}


def _seeded(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    torch.manual_seed(0)
    output = function(x)
    if not isinstance(output, Tensor):
        raise RequestError(f"forward must give one tensor, not a {type(output).__name__}")
    return output


def _check_shapes(tensors: Mapping[str, Tensor], backward: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if backward[name].shape != tensor.shape:
            raise RequestError(
                f"the gradient of {name} is {list(backward[name].shape)}, not {list(tensor.shape)} as {name} itself"
            )


@torch.no_grad()
def _differences(subject: _Subject, x: Tensor, tensor: Tensor, weights: Tensor) -> Tensor:
    """The derivative of the loss by each number of `tensor`, which is the input or a parameter."""
    found = torch.zeros_like(tensor).flatten()
    for place in range(tensor.numel()):
        where = torch.unravel_index(torch.tensor(place), tensor.shape)
        own = float(tensor[where])
        step = STEP * max(1.0, abs(own))
        outputs = []
        for value in (own + step, own - step):
            tensor[where] = value
            outputs.append(_seeded(subject.forward, x).clone())
        tensor[where] = own
        # The outputs first: a difference of the sums would lose more digits.
        found[place] = ((outputs[0] - outputs[1]) * weights).sum() / (2 * step)
    return found.view(tensor.shape)


def _largest(backward: Mapping[str, Tensor], differences: Mapping[str, Tensor]) -> GradientError:
    sizes = [float(one.abs().max()) for one in (*backward.values(), *differences.values()) if one.numel()]
    floor = max(FLOOR * max(sizes, default=0.0), torch.finfo(torch.float64).eps / STEP)
    worst = GradientError(-1.0, "", 0.0, 0.0)
    for name, numeric in differences.items():
        if not numeric.numel():
            continue
        exact = backward[name].detach()
        error = (exact - numeric).abs() / torch.maximum(exact.abs(), numeric.abs()).clamp_min(floor)
        error = error.nan_to_num(nan=torch.inf)  # a gradient that is not a number is as wrong as can be
        place = int(error.argmax())
        if float(error.flatten()[place]) > worst.error:
            where = ", ".join(str(int(index)) for index in torch.unravel_index(torch.tensor(place), numeric.shape))
            values = float(exact.flatten()[place]), float(numeric.flatten()[place])
            worst = GradientError(float(error.flatten()[place]), f"{name}[{where}]", *values)
    return worst
