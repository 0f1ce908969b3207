"""A study that was run: its results beside the published numbers, and its verdict, as plain values and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from striate.studies.study import Result, Scale, ScaleName, Study
from striate.studies.verdicts import Finding, Verdict, finding, verdict
from striate.tasks.metrics import mean_interval
from striate.tasks.values import or_none


def page_of(study: str, scale: str) -> str:
    """The file of a study's page."""
    return f"{study}-{scale}.html"


@dataclass(frozen=True)
class Outcome:
    """A study at one scale. data: what it ran on. results: by the label of an arm, by seed."""

    study: Study
    name: ScaleName
    data: str
    results: Mapping[str, Sequence[Result]]

    @property
    def scale(self) -> Scale:
        """What was run."""
        return self.study.at(self.name)

    @property
    def seconds(self) -> float:
        """What its results took when they were made, those that other studies share too."""
        return sum(result.seconds for results in self.results.values() for result in results)

    @property
    def images(self) -> str:
        """How many images trainings were trained and scored on, such as "4,000 and 1,000"; "" without trainings."""
        pairs = dict.fromkeys(result.images for results in self.results.values() for result in results)
        return "; ".join(f"{pair[0]:,} and {pair[1]:,}" for pair in pairs if pair is not None)

    @property
    def page(self) -> str:
        """The file of its page."""
        return page_of(self.study.name, self.name)

    @property
    def deviation(self) -> str:
        """How the protocol differs from the published one, with the data if they are not the study's own."""
        own = self.study.data_at(self.name)
        if self.data == own:
            return self.scale.deviation
        return f"{self.data} in place of {own}. {self.scale.deviation}"

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Each claim held against the results."""
        return tuple(finding(claim, self.results) for claim in self.study.claims)

    @property
    def verdict(self) -> Verdict:
        """Of all claims."""
        return verdict(self.findings)

    def values(self, label: str, measure: str) -> tuple[float, ...]:
        """An arm's numbers of a measure, by seed."""
        return tuple(one.numbers[measure] for one in self.results[label] if measure in one.numbers)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, without the images."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "question": self.study.question,
            "scale": self.name,
            "data": self.data,
            "seeds": self.scale.seeds,
            "images": self.images,
            "deviation": self.deviation,
            "verdict": self.verdict,
            "claims": [one.as_dict() for one in self.findings],
            "arms": [
                {"label": arm.label, **{measure: self._numbers(arm.label, measure) for measure in self.study.measures}}
                for arm in self.study.arms
            ],
            "published": [
                {"what": row.what, "value": row.value, "lecture": row.lecture} for row in self.study.published
            ],
            "seconds": round(self.seconds, 1),
        }

    def _numbers(self, label: str, measure: str) -> dict[str, Any]:
        values = self.values(label, measure)
        if not values:
            return {"mean": None, "interval": [None, None], "by_seed": []}
        mean = statistics.fmean(values)
        interval = [or_none(side) for side in mean_interval(values)]
        return {"mean": or_none(mean), "interval": interval, "by_seed": list(map(or_none, values))}
