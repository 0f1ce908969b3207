"""The budget of a benchmark: what each net may spend on one seed, all its learning rates together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from striate.errors import RequestError, shown
from striate.recipe.keys import keys_of
from striate.recipe.tables import Train

Kind = Literal["seconds", "epochs", "madds"]

RATES = (0.3, 1.0, 3.0)  # learning rates tried, as multiples of the recipe's peak
TRAINING = 3  # multiply-adds of a training step over those of its forward pass: the backward pass takes two more
IN_ALL = 480.0  # seconds that the default budget plans for all trainings; ten minutes with what is measured besides
MOST_EPOCHS = int(next(key.high for key in keys_of(Train) if key.field == "epochs"))

_TIMES = {"s": 1, "sec": 1, "min": 60, "h": 3600}
_SCALES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|min|h|epochs?|([kMGTP]?)madds)")
_MATCH = re.compile(r"madds=(\d+(?:\.\d+)?)([kMGTP]?)")


@dataclass(frozen=True)
class EpochCost:
    """What one epoch costs a net: multiply-adds of its training steps, and seconds with the validation after it."""

    madds: float
    seconds: float


@dataclass(frozen=True)
class Budget:
    """An amount of seconds, epochs or multiply-adds. Raises RequestError for one that is not positive."""

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount < math.inf:
            raise RequestError(f"a budget is positive, not {shown(self.amount)}")

    def __str__(self) -> str:
        if self.kind == "epochs":
            return f"{self.amount:g} epochs"
        if self.kind == "seconds":
            return f"{self.amount / 60:g} min" if self.amount >= 60 else f"{self.amount:g} s"
        return f"{scaled(self.amount)} multiply-adds"

    @property
    def option(self) -> str:
        """The budget as --budget takes it."""
        if self.kind == "madds":
            return f"{scaled(self.amount).replace(' ', '')}madds"
        return str(self).replace(" ", "")

    def epochs(self, cost: EpochCost, net: str) -> int:
        """The epochs of each of the learning rates of `RATES`, so that all of them stay within the budget.

        Raises RequestError for a budget that does not give each an epoch, or gives more than a recipe takes.
        """
        per_epoch = {"epochs": 1.0, "seconds": cost.seconds, "madds": cost.madds}[self.kind]
        found = math.floor(self.amount / len(RATES) / per_epoch + 1e-9)
        if found < 1:
            least = Budget(self.kind, _upwards(len(RATES) * per_epoch))
            raise RequestError(
                f"the budget of {self} is less than an epoch for each of {len(RATES)} learning rates of {net}; give "
                f"--budget {least.option} or more"
            )
        if found > MOST_EPOCHS:
            raise RequestError(f"the budget of {self} is {found:,} epochs of {net}; at most {MOST_EPOCHS:,} are run")
        return found


def parse_budget(text: str) -> Budget:
    """A budget as typed: 10min, 90s, 20epochs, 50Tmadds. Raises RequestError for anything else."""
    read = _BUDGET.fullmatch(text.strip())
    if read is None:
        raise RequestError(
            f"--budget takes a time, epochs or multiply-adds, such as 10min, 20epochs or 50Tmadds, not {shown(text)}"
        )
    amount, unit = float(read[1]), read[2]
    if unit in _TIMES:
        return Budget("seconds", amount * _TIMES[unit])
    if unit.startswith("epoch"):
        return Budget("epochs", amount)
    return Budget("madds", amount * _SCALES[read[3]])


def parse_match(text: str) -> int:
    """The multiply-adds that nets are scaled to: madds=300M. Raises RequestError for anything else."""
    read = _MATCH.fullmatch(text.strip())
    found = round(float(read[1]) * _SCALES[read[2]]) if read else 0
    if not found:
        raise RequestError(f"--match takes the multiply-adds of one image, such as madds=300M, not {shown(text)}")
    return found


def sized(costs: list[EpochCost], seeds: int, in_all: float = IN_ALL) -> Budget:
    """The budget of multiply-adds with which nets of these costs take about `in_all` seconds together.

    Rounded down to two digits, but never less than one epoch for each learning rate of the costliest net.
    """
    per_madd = seeds * sum(cost.seconds / cost.madds for cost in costs)
    least = len(RATES) * max(cost.madds for cost in costs)
    wanted = in_all / per_madd
    unit = 10.0 ** (math.floor(math.log10(wanted)) - 1)
    return Budget("madds", max(math.floor(wanted / unit) * unit, _upwards(least)))


def _upwards(value: float) -> float:
    """Rounded up to two digits, so that it can be typed."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


def scaled(value: float) -> str:
    """A count in thousands, millions and so on: 1.2 T."""
    name, unit = next(
        ((name, unit) for name, unit in reversed(_SCALES.items()) if value >= unit), ("", 1)
    )  # fmt: skip
    return f"{value / unit:.3g} {name}".rstrip()
