"""The `[schedule]` of a recipe, the learning-rate schedule: one dataclass per schedule, with only its own keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.errors import RequestError
from striate.recipe.keys import LOOP, Table, key


@dataclass(frozen=True)
class Schedule(Table):
    """The base of every schedule."""

    TABLE: ClassVar[str] = "schedule"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP
    name: ClassVar[str] = ""


@dataclass(frozen=True)
class WithWarmup(Schedule):
    """A schedule after a linear warm-up."""

    warmup_epochs: float = key(1.0, "linear warm-up before the schedule", unit="epochs", low=0, high=1000)


@dataclass(frozen=True)
class Constant(WithWarmup):
    """Constant learning rate."""

    name: ClassVar[str] = "constant"


@dataclass(frozen=True)
class Step(WithWarmup):
    """The learning rate is multiplied by `gamma` at each of the milestones, or every `step_epochs`."""

    name: ClassVar[str] = "step"
    milestones: tuple[float, ...] | None = key(
        None,
        "when the learning rate drops: epochs, or below 1 fractions of the run; unset: [0.5, 0.75]",
        unit="epochs",
        low=1e-6,
        high=1e6,
    )
    step_epochs: float | None = key(
        None, "epochs between drops, instead of milestones", unit="epochs", low=1e-3, high=1000
    )
    gamma: float = key(0.1, "factor of each drop", low=1e-6, high=1)

    def check(self) -> None:
        """Drops are given in one way, not both."""
        if self.milestones is not None and self.step_epochs is not None:
            raise RequestError(
                "schedule.milestones and schedule.step_epochs both set when the learning rate drops: give one"
            )

    @property
    def drops(self) -> tuple[float, ...]:
        """The milestones, or the default ones."""
        return (0.5, 0.75) if self.milestones is None else self.milestones


@dataclass(frozen=True)
class Cosine(WithWarmup):
    """Half a cosine, from the peak to 0."""

    name: ClassVar[str] = "cosine"


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One cycle up to the peak and down again, with momentum inversely."""

    name: ClassVar[str] = "one-cycle"


@dataclass(frozen=True)
class Plateau(WithWarmup):
    """The learning rate is multiplied by `gamma` when the held-out score has not improved for `patience` epochs."""

    name: ClassVar[str] = "plateau"
    gamma: float = key(0.5, "factor of each drop", low=1e-6, high=0.999999)
    patience: int = key(
        5, "epochs without a better held-out score (without held-out images: training loss)", low=1, high=100_000
    )


@dataclass(frozen=True)
class Triangular(Schedule):
    """Up from `floor` to the peak in `step_size` iterations, linearly, down in as many, and again."""

    name: ClassVar[str] = "triangular"
    floor: float = key(2 / 7, "lowest learning rate, as a share of the peak", low=0, high=1)
    step_size: int | None = key(
        None, "iterations from the lowest rate to the peak; unset: four epochs' worth", unit="steps", low=1, high=10**9
    )


@dataclass(frozen=True)
class WarmRestarts(WithWarmup):
    """Half a cosine from the peak to 0, again and again, each `period_factor` times as long as the one before."""

    name: ClassVar[str] = "warm-restarts"
    period: float = key(10.0, "epochs of the first period", unit="epochs", low=1e-3, high=1e6)
    period_factor: float = key(2.0, "factor from one period to the next", low=1, high=100)
    snapshots: bool = key(False, "store the model at the end of each period, for an ensemble of them")


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind for kind in (Constant, Step, Cosine, OneCycle, Plateau, Triangular, WarmRestarts)
}
