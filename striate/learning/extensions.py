"""What a caller brings beside the recipe: own hooks, loss, augmentation and metrics, as callables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from striate.errors import RequestError
from striate.tasks.values import MetricFunction

if TYPE_CHECKING:  # they import torch, and not every strategy does
    from striate.training.examples import AugmentFunction
    from striate.training.hooks import Hook
    from striate.training.learner import LossFunction


@dataclass(frozen=True, eq=False)
class Extensions:
    """hooks: called after those of the recipe. loss: logits [N, outputs], targets -> losses [N].

    augment: images uint8 [B, C, H, W], sample numbers [B], seed, epoch -> images, in place of the recipe's own choice
    and after what its [augment] table asks for. metrics: predictions, targets -> float, by name.
    Callables cannot be written to a recipe: they are recorded by name, and a resumed run is given them again.
    """

    hooks: tuple[Hook, ...] = ()
    loss: LossFunction | None = None
    augment: AugmentFunction | None = None
    metrics: Mapping[str, MetricFunction] = field(default_factory=dict)

    def names(self) -> dict[str, Any]:
        """What was given, by name: for the model file, the log and checkpoints. Empty where nothing was."""
        found: dict[str, Any] = {
            "hooks": [name_of(type(hook)) for hook in self.hooks],
            "loss": name_of(self.loss) if self.loss else None,
            "augment": name_of(self.augment) if self.augment else None,
            "metrics": {name: name_of(metric) for name, metric in self.metrics.items()},
        }
        return {key: value for key, value in found.items() if value}

    def require_gradient_steps(self, strategy: str) -> None:
        """Raise RequestError where the strategy takes no gradient steps, and a given hook would never be called."""
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
