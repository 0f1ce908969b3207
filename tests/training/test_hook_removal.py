"""Everything that training attaches to a network is removed, whether the loop ends or fails at any point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import QUICK, noise, small_net

from striate.training import techniques as room
from striate.training.hooks import Hook
from striate.training.loop import fit

POINTS = [name for name in vars(Hook) if not name.startswith("_") and callable(getattr(Hook, name))]
POINTS = [name for name in POINTS if name not in ("tensors", "facts", "restore", "note")]
# Constructor arguments of each technique of the package; a new one without an entry here fails the test below.
MADE: dict[str, tuple[Any, ...]] = {
    "GradientClipping": (1.0,),
    "WeightAveraging": (0.9,),
    "BestEpoch": (2,),
    "PathSchedule": (),
}


def techniques() -> Iterator[type[Hook]]:
    """Every hook of every file in `striate.training.techniques`."""
    for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, type) and issubclass(value, Hook) and value.__module__ == found.name:
                yield value


TECHNIQUES = {hook.__name__: hook for hook in techniques()}
# What the recipe attaches to a network.
RECIPES = {
    "plain": {},
    "gradient checkpointing": {"train.gradient_checkpointing": "sqrt"},
    "averaged": {"train.ema_decay": 0.9},
}


class Failing(Hook):
    """Raises at one point of the loop."""

    def __init__(self, point: str) -> None:
        def fail(*given: Any) -> Any:
            raise ZeroDivisionError(point)

        setattr(self, point, fail)


def attached(net: nn.Module) -> dict[str, Any]:
    """Everything that may be attached to a module: hooks, own forwards, flags of parameters, the mode."""
    found: dict[str, Any] = {}
    for name, module in net.named_modules():
        own = {key for key in vars(module) if key not in ("training",)}
        hooks = {key: len(value) for key, value in vars(module).items() if key.endswith("_hooks") and value}
        found[name] = (type(module), sorted(own), hooks)
    found["gradients"] = [parameter.requires_grad for parameter in net.parameters()]
    return found


def test_every_technique_has_constructor_arguments_here() -> None:
    assert TECHNIQUES.keys() == MADE.keys() and POINTS == [
        "start", "epoch_begins", "batch_ready", "loss_ready", "gradients_ready", "step_done", "epoch_done", "end",
    ]  # fmt: skip


@pytest.mark.parametrize("point", [None, *POINTS])
@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES.keys())
@pytest.mark.parametrize("technique", MADE)
def test_nothing_remains_attached_to_the_network(technique: str, changes: dict[str, Any], point: str | None) -> None:
    net, examples = small_net(), noise()
    before, state = attached(net), torch.get_rng_state()
    hooks = [TECHNIQUES[technique](*MADE[technique]), *([Failing(point)] if point else [])]
    recipe = QUICK.updated(changes)
    if point is None:
        fit(net, examples, recipe, held_out=examples, hooks=hooks)
    else:
        with pytest.raises(ZeroDivisionError, match=point):
            fit(net, examples, recipe, held_out=examples, hooks=hooks)
    assert attached(net) == before
    assert torch.equal(torch.get_rng_state(), state)
