"""A caller's own hooks, loss, augmentation and metrics, as callables that extend the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from striate.errors import RequestError
from striate.tasks.values import MetricFunction

if TYPE_CHECKING:  # they import torch, which not every strategy needs
    from striate.training.examples import AugmentFunction
    from striate.training.hooks import Hook
    from striate.training.training_module import LossFunction


@dataclass(frozen=True, eq=False)
class Extensions:
    """hooks: run after those of the recipe. loss: logits [N, outputs], targets -> losses [N].

    augment: images uint8 [B, C, H, W], sample numbers [B], seed, epoch -> images, in place of the recipe's
    automatic choice and after its [augment] table. metrics: predictions, targets -> float, by name.
    Callables cannot be written to a recipe: they are recorded by name, and must be given again to resume.
    """

    hooks: tuple[Hook, ...] = ()
    loss: LossFunction | None = None
    augment: AugmentFunction | None = None
    metrics: Mapping[str, MetricFunction] = field(default_factory=dict)

    def names(self) -> dict[str, Any]:
        """The extensions' names, for the model file, the log and checkpoints. Empty if there are none."""
        found: dict[str, Any] = {
            "hooks": [name_of(type(hook)) for hook in self.hooks],
            "loss": name_of(self.loss) if self.loss else None,
            "augment": name_of(self.augment) if self.augment else None,
            "metrics": {name: name_of(metric) for name, metric in self.metrics.items()},
        }
        return {key: value for key, value in found.items() if value}

    def require_gradient_steps(self, strategy: str) -> None:
        """Raise RequestError if the strategy takes no gradient steps, so that a hook would never be called."""
        given = [name for name in ("hooks", "loss", "augment") if getattr(self, name)]
        if given and strategy == "features":
            raise RequestError(
                f"{' and '.join(given)} act in gradient steps, and strategy 'features' fits a linear head without any: "
                "give strategy='finetune' or strategy='scratch'"
            )


def name_of(given: Callable[..., Any]) -> str:
    """A callable's import path, or its type's for an object: `package.module:name`."""
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}:{named.__qualname__}"
