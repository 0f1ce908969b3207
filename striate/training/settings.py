"""What a run of the loop is told, and what it tells after each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from striate.data.augment.augmentation import Augmentation
from striate.errors import RequestError, unknown
from striate.training.losses import loss_for


@dataclass(frozen=True)
class Settings:
    """The choices of a run. Raises RequestError for a value out of range.

    `learning_rate` is the peak, reached after `warmup_epochs` (at most half of the run; a fraction will do).
    `augment` is the text of an `Augmentation`, such as "flip=0.5 rotate=10" or a preset.
    `clip_norm` is the largest length of a step's whole gradient, longer ones are scaled down to it; 0 leaves them be.
    With it one rate serves both a softmax and LeNet-5's distances, which otherwise diverge above 0.005.
    `precision` "bfloat16" runs the network under autocast; weights and loss stay float32.
    `task` is a kind of `striate.task`, `loss` one of its losses in `striate.training.losses` ("auto": the task's own).
    `unit`: for a number, what its loss counts errors in, such as the deviation of the targets.
    `size` (height, width): of what the network sees, where the images are larger ((0, 0): as they are); `fraction`:
    the share of their side that it sees without augmentation.
    """

    epochs: int = 40
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.05
    augment: str = "shift"
    clip_norm: float = 1.0
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    task: str = "class"
    loss: str = "auto"
    unit: float = 1.0
    size: tuple[int, int] = (0, 0)
    fraction: float = 1.0

    def __post_init__(self) -> None:
        Augmentation.from_text(self.augment)
        loss_for(self.task, self.loss)
        if self.precision not in ("float32", "bfloat16"):
            raise unknown("precision", self.precision, ("float32", "bfloat16"))
        _at_least(1, epochs=self.epochs, batch=self.batch)
        _at_least(0, weight_decay=self.weight_decay, clip_norm=self.clip_norm, warmup_epochs=self.warmup_epochs)
        for name, value in (("learning_rate", self.learning_rate), ("unit", self.unit)):
            if not 0 < value < float("inf"):
                raise RequestError(f"{name} must be above 0, not {value}")
        for name, value in (("momentum", self.momentum), ("label_smoothing", self.label_smoothing)):
            if not 0 <= value < 1:
                raise RequestError(f"{name} must be at least 0 and below 1, not {value}")
        if not 0 < self.fraction <= 1:
            raise RequestError(f"fraction must be above 0 and at most 1, not {self.fraction}")
        if self.size != (0, 0) and min(self.size) < 1:
            raise RequestError(f"size must be at least 1 each way, not {self.size}")


def _at_least(low: int, **values: float) -> None:
    for name, value in values.items():
        if not low <= value < float("inf"):
            raise RequestError(f"{name} must be at least {low}, not {value}")


@dataclass(frozen=True)
class EpochReport:
    """One epoch, in numbers.

    `epoch` counts from 1. `loss` is the mean over the images learnt from, each as the network was at its step.
    `score` is of the held-out images, as `striate.training.scores` has it for the task, or None. `learning_rate` is the
    last step's. `seconds` and `images_per_second` are of learning alone, without the held-out images.
    """

    epoch: int
    loss: float
    score: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
