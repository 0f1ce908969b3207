"""What a run of the loop is told, and what it tells after each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from striate.data.augment import POLICIES
from striate.errors import RequestError, unknown


@dataclass(frozen=True)
class Settings:
    """The choices of a run. Raises RequestError for a value out of range.

    `learning_rate` is the peak, reached after `warmup_epochs` (at most half of the run; a fraction will do).
    `augment` names a policy of `striate.data.augment`, `augment_pad` its largest shift in pixels.
    `clip_norm` is the largest length of a step's whole gradient, longer ones are scaled down to it; 0 leaves them be.
    With it one rate serves both a softmax and LeNet-5's distances, which otherwise diverge above 0.005.
    `precision` "bfloat16" runs the network under autocast; weights and loss stay float32.
    """

    epochs: int = 40
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.05
    augment: str = "shift"
    augment_pad: int = 2
    clip_norm: float = 1.0
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.augment not in POLICIES:
            raise unknown("augmentation policy", self.augment, POLICIES)
        if self.precision not in ("float32", "bfloat16"):
            raise unknown("precision", self.precision, ("float32", "bfloat16"))
        _at_least(1, epochs=self.epochs, batch=self.batch)
        _at_least(0, weight_decay=self.weight_decay, clip_norm=self.clip_norm)
        _at_least(0, warmup_epochs=self.warmup_epochs, augment_pad=self.augment_pad)
        if not 0 < self.learning_rate < float("inf"):
            raise RequestError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name, value in (("momentum", self.momentum), ("label_smoothing", self.label_smoothing)):
            if not 0 <= value < 1:
                raise RequestError(f"{name} must be at least 0 and below 1, not {value}")


def _at_least(low: int, **values: float) -> None:
    for name, value in values.items():
        if not low <= value < float("inf"):
            raise RequestError(f"{name} must be at least {low}, not {value}")


@dataclass(frozen=True)
class EpochReport:
    """One epoch, in numbers.

    `epoch` counts from 1. `loss` is the mean over the images learnt from, each as the network was at its step.
    `accuracy` is the held-out fraction right, 0 to 1, or None. `learning_rate` is the last step's. `seconds` and
    `images_per_second` are of learning alone, without the held-out images.
    """

    epoch: int
    loss: float
    accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
