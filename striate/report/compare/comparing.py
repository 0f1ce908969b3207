"""Runs compared: which one is best, whether that can be said at all, and what differs between them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from striate.errors import RequestError
from striate.report.compare.paired import Paired, paired
from striate.report.compare.summary import RunSummary

ABSENT = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs or more. Raises RequestError for fewer."""

    runs: tuple[RunSummary, ...]

    def __post_init__(self) -> None:
        """Refuse a single run."""
        if len(self.runs) < 2:
            raise RequestError(f"a comparison needs two runs or more, not {len(self.runs)}")

    @property
    def same_score(self) -> bool:
        """Whether all scores are of one metric."""
        return len({(run.score_name, run.higher_is_better) for run in self.runs}) == 1

    @property
    def same_images(self) -> bool | None:
        """Whether all were measured on the same images; None where that is not known of a run."""
        digests = {run.held_out for run in self.runs}
        if len(digests - {""}) > 1:
            return False
        return None if "" in digests else True

    @cached_property
    def on_common(self) -> Paired | None:
        """The scores on the images that all evaluated, where those differ; None where that is not known."""
        return paired(self.runs) if self.same_images is False and self.same_score else None

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores that are compared: on the common images, if the images differ."""
        return self.on_common.scores if self.on_common else tuple(run.score for run in self.runs)

    @cached_property
    def best(self) -> int | None:
        """The place of the run with the best score; None where scores cannot be compared or there are none."""
        scores = self.scores
        scored = [place for place, score in enumerate(scores) if math.isfinite(score)]
        if not scored or not self.same_score or (self.same_images is False and self.on_common is None):
            return None
        sign = 1 if self.runs[0].higher_is_better else -1
        return max(scored, key=lambda place: sign * scores[place])

    @cached_property
    def close(self) -> tuple[int, ...]:
        """Places of the runs that the best one is too close to call with: their intervals overlap, or one has none.

        On common images, the interval of their difference counts.
        """
        if self.best is None:
            return ()
        if self.on_common:
            others = (place for place in range(len(self.runs)) if place != self.best)
            return tuple(place for place in others if self.on_common.alike(self.best, place))
        best = self.runs[self.best]
        return tuple(
            place
            for place, run in enumerate(self.runs)
            if place != self.best and math.isfinite(run.score) and overlap(best.interval, run.interval)
        )

    def warnings(self) -> list[str]:
        """What forbids the comparison, in plain sentences; names as they are."""
        if not self.same_score:
            names = ", ".join(dict.fromkeys(run.score_name for run in self.runs))
            return [f"These runs have different metrics ({names}), which cannot be compared."]
        if self.on_common:
            said = [
                f"These runs were evaluated on different images: they are compared on the {self.on_common.images:,} "
                "that all evaluated."
            ]
            if moved := self.on_common.relabelled:
                verb = "is" if len(moved) == 1 else "are"
                said.append(f"Relabelled in another run, {len(moved):,} of them {verb} left out: {moved[0]}.")
            return said
        if self.same_images is False:
            return ["These runs were not evaluated on the same images: their scores cannot be compared."]
        if self.same_images is None:
            unknown = ", ".join(run.name for run in self.runs if not run.held_out)
            return [f"Not known to be evaluated on the same images: the images of {unknown} are not recorded."]
        return []

    def verdict(self) -> str:
        """The result in a few words; names as they are."""
        if self.best is None:
            return "No comparison"
        return "Too close to call" if self.close else f"{self.runs[self.best].name} is best"

    @cached_property
    def recipes(self) -> tuple[dict[str, str], ...]:
        """The recipes as dotted keys and values; empty where there is none or it cannot be read."""
        return tuple(_flat(run.recipe) for run in self.runs)

    @cached_property
    def differing(self) -> dict[str, tuple[str, ...]]:
        """The keys of the recipes in which the runs differ, with each run's value; ABSENT where it has none."""
        keys = dict.fromkeys(key for recipe in self.recipes for key in recipe)
        rows = {key: tuple(recipe.get(key, ABSENT) for recipe in self.recipes) for key in keys}
        return {key: values for key, values in rows.items() if len(set(values)) > 1}

    @cached_property
    def recalls(self) -> list[tuple[str, tuple[float | None, ...]]]:
        """Recalls by class, a column a run, the classes that differ most first."""
        names = dict.fromkeys(name for run in self.runs for name in run.recalls)
        rows = [(name, tuple(run.recalls.get(name) for run in self.runs)) for name in names]
        return sorted(rows, key=lambda row: -_spread(row[1]))

    @cached_property
    def metrics(self) -> dict[str, tuple[float | None, ...]]:
        """The further figures, a column a run."""
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        return {name: tuple(run.metrics.get(name) for run in self.runs) for name in names}


def overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether two intervals have a point in common; one that is not known may lie anywhere."""
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def _spread(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return max(known) - min(known) if known else 0.0


def _flat(recipe: str) -> dict[str, str]:
    try:
        return dict(_leaves(tomllib.loads(recipe), ""))
    except tomllib.TOMLDecodeError:
        return {}


def _leaves(table: Mapping[str, Any], above: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{above}{key}"
        found += _leaves(value, f"{name}.") if isinstance(value, dict) else [(name, _said(value))]
    return found


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
