"""What counts as reproduced: a claim's paired difference with its interval, and the verdict of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from striate.studies.study import TEST_ERROR, Claim, Result
from striate.tasks.differences import difference
from striate.tasks.metrics import mean_interval
from striate.tasks.values import or_none

Verdict = Literal["reproduced in direction", "not reproduced", "undecided at this scale"]
REPRODUCED: Verdict = "reproduced in direction"
OPPOSITE: Verdict = "not reproduced"
UNDECIDED: Verdict = "undecided at this scale"


@dataclass(frozen=True)
class Finding:
    """A claim, its difference in the measure's unit, the 95 % interval (infinite: not known), and the verdict.

    by: what the interval was computed from.
    """

    claim: Claim
    value: float
    low: float
    high: float
    by: str

    @property
    def verdict(self) -> Verdict:
        """By the rule of `Claim`."""
        if self.low > self.claim.gain:
            return REPRODUCED
        return OPPOSITE if self.high < self.claim.gain else UNDECIDED

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "claim": self.claim.text,
            "measure": self.claim.measure,
            "larger": self.claim.larger,
            "smaller": self.claim.smaller,
            "difference": or_none(self.value),
            "interval": [or_none(self.low), or_none(self.high)],
            "by": self.by,
            "verdict": self.verdict,
        }


def finding(claim: Claim, results: Mapping[str, Sequence[Result]]) -> Finding:
    """A claim held against the results of its two arms, by seed.

    The interval is by bootstrap over test images and seeds where all were scored on the same test images (see
    `difference`), and else Student's over the seeds; of one seed without images it is not known.
    """
    one, other = results[claim.larger], results[claim.smaller]
    if claim.measure == TEST_ERROR and (scores := _same_images(one, other)) is not None:
        found = difference(*scores)
        by = f"bootstrap over {scores[0].shape[1]:,} test images and {_seeds(len(one))}"
        return Finding(claim, 100 * found.mean, 100 * found.low, 100 * found.high, by)
    pairs = [a.numbers[claim.measure] - b.numbers[claim.measure] for a, b in zip(one, other, strict=True)]
    value = float(np.mean(pairs))
    if not math.isfinite(value):
        return Finding(claim, math.nan, -math.inf, math.inf, "a training without a result")
    if claim.exact:
        return Finding(claim, value, value, value, "a number without noise")
    if len(pairs) < 2:
        return Finding(claim, value, -math.inf, math.inf, "one seed: no interval")
    return Finding(claim, value, *mean_interval(pairs), f"Student's interval over {_seeds(len(pairs))}, paired")


def verdict(findings: Sequence[Finding]) -> Verdict:
    """Of a study: reproduced where every claim is, not reproduced where one is not, else undecided."""
    found = {one.verdict for one in findings}
    if OPPOSITE in found:
        return OPPOSITE
    return REPRODUCED if found == {REPRODUCED} else UNDECIDED


def _same_images(one: Sequence[Result], other: Sequence[Result]) -> tuple[Any, Any] | None:
    """[seeds, images] of both arms, if all were scored on the same test images; else None."""
    keys = list(one[0].wrong)
    if not keys or any(each.wrong.keys() != one[0].wrong.keys() for each in (*one, *other)):
        return None
    first, second = (np.array([[each.wrong[key] for key in keys] for each in arm]) for arm in (one, other))
    return first, second


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"
