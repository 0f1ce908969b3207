"""The outcome of a benchmark, as plain values and as JSON."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from striate.benchmarking.budget import Budget
from striate.benchmarking.comparing import Ranking, ranked, times_on_front
from striate.benchmarking.costs import Costs
from striate.benchmarking.latency import BATCHES, Latency
from striate.benchmarking.trainings import SeedResult
from striate.tasks.metrics import wilson
from striate.tasks.values import Metric, or_none


@dataclass(frozen=True)
class NetResult:
    """A net of the benchmark: its seeds, costs and latency by batch. epochs: of each training.

    share: whether its score is a share of the test images.
    """

    label: str
    net: str
    pretrained: bool
    epochs: int
    seeds: tuple[SeedResult, ...]
    costs: Costs
    latency: dict[int, Latency]
    share: bool = True

    @property
    def failed(self) -> int:
        """Seeds on which no learning rate led to a model."""
        return sum(one.score is None for one in self.seeds)

    @property
    def scores(self) -> tuple[float, ...]:
        """On the test images, by seed; NaN where all trainings failed."""
        return tuple(math.nan if one.score is None else one.score for one in self.seeds)

    @property
    def score(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.scores)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the score: Wilson's for a share of the test images, else that of the first seed."""
        if self.failed:
            return None
        images = len(self.seeds[0].image_scores)
        return wilson(round(self.score * images), images) if self.share else self.seeds[0].interval

    @property
    def seconds(self) -> float:
        """Of training, a seed."""
        return statistics.fmean(one.seconds for one in self.seeds)

    @property
    def joules(self) -> float | None:
        """Of training, a seed; None where not known."""
        known = [one.joules for one in self.seeds if one.joules is not None]
        return statistics.fmean(known) if len(known) == len(self.seeds) else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, without the score of each image."""
        seeds = [dataclasses.asdict(one) for one in self.seeds]
        for seed in seeds:
            del seed["image_scores"]
        return {
            "label": self.label,
            "net": self.net,
            "pretrained": self.pretrained,
            "epochs": self.epochs,
            "score": or_none(self.score),
            "interval": self.interval,
            "scores": list(map(or_none, self.scores)),
            "training_seconds": self.seconds,
            "training_joules": self.joules,
            "costs": dataclasses.asdict(self.costs),
            "latency": {str(batch): dataclasses.asdict(one) for batch, one in self.latency.items()},
            "seeds": seeds,
        }


@dataclass(frozen=True, eq=False)
class Group:
    """Nets that are compared with each other: all from scratch, or all pretrained."""

    results: tuple[NetResult, ...]
    metric: Metric

    @property
    def whole(self) -> tuple[NetResult, ...]:
        """Those with a model on every seed."""
        return tuple(one for one in self.results if not one.failed)

    @cached_property
    def ranking(self) -> Ranking | None:
        """Of `whole`; None for none."""
        scores = [[one.image_scores for one in result.seeds] for result in self.whole]
        return ranked(scores, higher=self.metric.share) if scores else None

    def on_front(self, cost: str) -> dict[str, int]:
        """In how many seeds each net of `whole` is on the front, by label. cost: "madds" or "latency"."""
        found = self.whole
        counts = times_on_front(
            [cost_of(one, cost) for one in found], [one.scores for one in found], higher=self.metric.share
        )
        return dict(zip((one.label for one in found), counts, strict=True))

    def verdict(self) -> str:
        """The result in a sentence."""
        ranking, found = self.ranking, self.whole
        if ranking is None:
            return "No net has a model on every seed."
        best = found[ranking.order[0]]
        if len(found) < 2:
            return f"{best.label} alone has a model on every seed."
        if ranking.winner is not None:
            return f"{best.label} is best."
        others = [found[place].label for place in ranking.tied]
        return f"{best.label} and {', '.join(others)} cannot be told apart."


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished benchmark. data: its name. counts: images by part. title: with the budget."""

    data: str
    budget: Budget
    seeds: int
    metric: Metric
    results: tuple[NetResult, ...]
    counts: dict[str, int]
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """What was compared, with its one budget."""
        match = f", every net scaled to {self.settings['match']}" if self.settings.get("match") else ""
        recipe = ", each by its paper's recipe" if self.settings.get("paper") else ""
        return f"{len(self.results)} nets on {self.data}, {self.budget} a net and seed{match}{recipe}"

    @property
    def groups(self) -> tuple[Group, ...]:
        """Nets from scratch, and pretrained ones: never on one front."""
        parts = [tuple(one for one in self.results if one.pretrained is started) for started in (False, True)]
        return tuple(Group(part, self.metric) for part in parts if part)

    def verdict(self) -> str:
        """The result of each group in a sentence."""
        said = []
        for group in self.groups:
            name = "Pretrained: " if group.results[0].pretrained and len(self.groups) > 1 else ""
            said.append(name + group.verdict())
        return " ".join(said)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "title": self.title,
            "data": self.data,
            "budget": {"kind": self.budget.kind, "amount": self.budget.amount, "option": self.budget.option},
            "metric": self.metric.key,
            "images": self.counts,
            "settings": self.settings,
            "verdict": self.verdict(),
            "nets": [one.as_dict() for one in self.results],
            "groups": [_group(one) for one in self.groups],
        }


def _group(group: Group) -> dict[str, Any]:
    found, ranking = group.whole, group.ranking
    differences = {} if ranking is None else ranking.differences
    return {
        "nets": [one.label for one in group.results],
        "verdict": group.verdict(),
        "best": None if ranking is None else found[ranking.order[0]].label,
        "differences": {found[place].label: dataclasses.asdict(one) for place, one in differences.items()},
        "on_front": {cost: group.on_front(cost) for cost in ("madds", "latency")} if found else {},
    }


def cost_of(result: NetResult, cost: str) -> float:
    """Multiply-adds of one image, or seconds of one image alone."""
    return float(result.costs.madds) if cost == "madds" else result.latency[BATCHES[0]].median
