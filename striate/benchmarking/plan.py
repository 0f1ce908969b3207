"""The plan of a benchmark: which nets, how many epochs each, and how long it takes; before anything is trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from striate.benchmarking.budget import IN_ALL, RATES, Budget, EpochCost, scaled, sized
from striate.errors import RequestError

LONG = 2.0  # times the time that is planned for: too long to begin without being asked
MEASURED = 10.0  # seconds for the costs and the latency of a net, about


@dataclass(frozen=True)
class PlannedNet:
    """A net of the plan. epochs: of each learning rate on each seed. seconds: of all its trainings, estimated."""

    label: str
    net: str
    pretrained: bool
    options: dict[str, Any]
    epochs: int
    madds: float
    seconds: float


@dataclass(frozen=True)
class BenchmarkPlan:
    """What a benchmark will do. counts: images by part."""

    data: str
    budget: Budget
    seeds: int
    rates: tuple[float, ...]
    nets: tuple[PlannedNet, ...]
    counts: dict[str, int]

    @property
    def seconds(self) -> float:
        """Of everything, estimated from a probe of each net."""
        return sum(one.seconds + MEASURED for one in self.nets)

    def lines(self) -> list[str]:
        """The plan as text."""
        width = max(len(one.label) for one in self.nets)
        parts = ", ".join(f"{count:,} {part}" for part, count in self.counts.items())
        rates = ", ".join(f"{rate:g}" for rate in self.rates)
        return [
            f"{len(self.nets)} nets on {self.data} ({parts} images), {self.budget} for each net and seed",
            f"{self.seeds} seeds, each with {len(self.rates)} learning rates ({rates} times the recipe's)",
            *(
                f"  {one.label:{width}}  {one.epochs:6,} epochs a learning rate, {scaled(one.madds)} multiply-adds a "
                f"seed, about {_time(one.seconds)} in all"
                for one in self.nets
            ),
            f"About {_time(self.seconds)}, estimated from two epochs of each net on a part of the images",
        ]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self) | {"seconds": self.seconds, "option": self.budget.option}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> BenchmarkPlan:
        """From JSON values."""
        nets = tuple(PlannedNet(**one) for one in facts["nets"])
        return cls(
            facts["data"], Budget(**facts["budget"]), facts["seeds"], tuple(facts["rates"]), nets, facts["counts"]
        )


def planned(
    data: str,
    nets: list[PlannedNet],
    probes: list[EpochCost],
    budget: Budget | None,
    seeds: int,
    counts: dict[str, int],
) -> BenchmarkPlan:
    """The plan with the epochs of each net, from what an epoch of it costs. budget: None for one of about ten minutes.

    Raises RequestError for a budget that is too small for a net, and without one where nets differ so much in cost that
    equal multiply-adds would take much longer.
    """
    chosen = budget or sized(probes, seeds)
    found = []
    for net, probe in zip(nets, probes, strict=True):
        epochs = chosen.epochs(probe, net.label)
        runs = epochs * len(RATES)
        found.append(
            dataclasses.replace(net, epochs=epochs, madds=probe.madds * runs, seconds=probe.seconds * runs * seeds)
        )
    plan = BenchmarkPlan(data, chosen, seeds, RATES, tuple(found), counts)
    if budget is None and sum(one.seconds for one in found) > LONG * IN_ALL:
        cheap, costly = max(found, key=lambda one: one.epochs), min(found, key=lambda one: one.epochs)
        raise RequestError(
            f"with equal multiply-adds these nets take about {_time(plan.seconds)}: an epoch of {costly.label} costs "
            f"as much as {cheap.epochs / costly.epochs:.0f} of {cheap.label}; give --budget, such as 6epochs, 10min or "
            f"{chosen.option}"
        )
    return plan


def check_seeds(seeds: int) -> None:
    """Raise RequestError for fewer than three seeds, whose range would say nothing."""
    if type(seeds) is not int or not 3 <= seeds <= 100:
        raise RequestError(f"--seeds takes an integer from 3 to 100, not {seeds!r}: with fewer, chance cannot be told")


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
