"""Where a number first stopped being finite, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import WorkError
from striate.recipe import Recipe
from striate.recipe.schedules import WithWarmup


class NotFinite(WorkError):  # noqa: N818  (said of a number)
    """A loss or a parameter is not a finite number: where training must stop, and where a trial has seen enough."""


def not_finite(net: nn.Module, x: Tensor, where: str, recipe: Recipe) -> NotFinite:
    """The error for a loss that is not finite on the batch `x` [B, C, H, W]: where, why, and what would help."""
    return NotFinite(f"the loss is not a finite number at {where}: {culprit(net, x)}; {_advice(recipe)}")


def check_weights(net: nn.Module, where: str, recipe: Recipe) -> None:
    """Raise NotFinite unless every parameter is finite: the last step of all is followed by no loss that would tell."""
    if name := _spoilt(net):
        raise NotFinite(f"the parameter {name!r} is not finite at {where}; {_advice(recipe)}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the machine, did not suffice."""
    # On a CPU torch has no class of its own for it, but these words.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def culprit(net: nn.Module, x: Tensor) -> str:
    """What first is not finite when `net` looks at `x` [B, C, H, W]: input, parameter, layer, or only the loss."""
    if not x.isfinite().all():
        return "the input is not finite either, so see to the images, mean and std"
    if name := _spoilt(net):
        return f"an earlier step spoilt the parameter {name!r}"
    if name := _first_layer(net, x):
        return f"it begins in layer {name!r}"
    return "the layers are finite, only the loss is not"


def _advice(recipe: Recipe) -> str:
    schedule, advice = recipe.schedule, f"try a lower learning rate than {recipe.optimizer.peak:g}"
    if isinstance(schedule, WithWarmup):
        advice += f" or a longer warm-up than {schedule.warmup_epochs:g} epochs"
    return advice + (', or train.precision = "float32"' if recipe.train.precision == "bfloat16" else "")


def _spoilt(net: nn.Module) -> str:
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
        # A module answers after those inside it, so the first name found is the innermost.
        with torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""
