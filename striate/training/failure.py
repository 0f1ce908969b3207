"""Where a value first became NaN or infinite, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import Diverged
from striate.recipe import Recipe
from striate.recipe.schedules import WithWarmup


class NotFinite(Diverged):
    """A loss or a parameter is NaN or infinite: training stops, and a learning-rate trial ends."""


def not_finite(net: nn.Module, x: Tensor, where: str, recipe: Recipe) -> NotFinite:
    """The error for a loss that is not finite on the batch `x` [B, C, H, W]: location, cause and advice."""
    return NotFinite(f"the loss is not a finite number at {where}: {first_non_finite(net, x)}; {_advice(recipe)}")


def check_weights(net: nn.Module, where: str, recipe: Recipe) -> None:
    """Raise NotFinite unless every parameter is finite: no loss after the last step would show it."""
    if name := _non_finite_parameter(net):
        raise NotFinite(f"the parameter {name!r} is not finite at {where}; {_advice(recipe)}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that the memory of a GPU or of the machine is exhausted."""
    # On a CPU torch has no exception class for it, only this message.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def single_value(error: BaseException) -> bool:
    """Whether an error reports that batch normalisation has a single value per channel, and so no variance."""
    return isinstance(error, ValueError) and "more than 1 value per channel" in str(error)


def first_non_finite(net: nn.Module, x: Tensor) -> str:
    """What is not finite first in a forward pass of `x` [B, C, H, W]: input, parameter, layer, or only the loss."""
    if not x.isfinite().all():
        return "the input is not finite either: check the images, mean and std"
    if name := _non_finite_parameter(net):
        return f"an earlier step made the parameter {name!r} non-finite"
    if name := _first_layer(net, x):
        return f"it starts in layer {name!r}"
    return "all layer outputs are finite, only the loss is not"


def _advice(recipe: Recipe) -> str:
    schedule, advice = recipe.schedule, f"try a lower learning rate than {recipe.optimizer.peak:g}"
    if isinstance(schedule, WithWarmup):
        advice += f" or a longer warm-up than {schedule.warmup_epochs:g} epochs"
    return advice + (', or train.precision = "float32"' if recipe.train.precision == "bfloat16" else "")


def _non_finite_parameter(net: nn.Module) -> str:
    return next((name for name, parameter in net.named_parameters() if not parameter.isfinite().all()), "")


def _first_layer(net: nn.Module, x: Tensor) -> str:
    found: list[str] = []

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        return look

    handles = [module.register_forward_hook(hook(name)) for name, module in net.named_modules() if name]
    try:
        # A module's hook runs after those of the modules inside it, so the first name found is the innermost.
        with torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""
