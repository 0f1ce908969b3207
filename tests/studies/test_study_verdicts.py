"""Claims: the rule that says reproduced, not reproduced or undecided."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Result, Study
from striate.studies.verdicts import OPPOSITE, REPRODUCED, UNDECIDED, finding, verdict

ERROR = Claim("a is worse", TEST_ERROR, "a", "b")
LOSSES = Claim("a has the larger loss", LOSS, "a", "b")


def scored(share: float, seed: int, images: int = 400) -> Result:
    """An arm on a seed that errs on so many of the images."""
    wrong = np.random.default_rng(seed).random(images) < share
    numbers = {TEST_ERROR: 100 * float(wrong.mean()), LOSS: share}
    return Result(numbers, {str(place): float(one) for place, one in enumerate(wrong)})


def arms(first: float, second: float, seeds: int = 3) -> dict[str, list[Result]]:
    return {
        "a": [scored(first, seed) for seed in range(seeds)],
        "b": [scored(second, 100 + seed) for seed in range(seeds)],
    }


@pytest.mark.parametrize(
    ("first", "second", "wanted"), [(0.4, 0.1, REPRODUCED), (0.1, 0.4, OPPOSITE), (0.2, 0.2, UNDECIDED)]
)
def test_a_claim_is_decided_by_its_interval(first: float, second: float, wanted: str) -> None:
    found = finding(ERROR, arms(first, second))
    assert found.verdict == wanted and found.by == "bootstrap over 400 test images and 3 seeds"
    assert found.low < found.value < found.high and found.value == pytest.approx(100 * (first - second), abs=8)


def test_a_bound_of_0_lies_on_neither_side_of_it() -> None:
    wrong = np.zeros((2, 2, 40))
    wrong[0, :, :3], wrong[1, 0, 10:20], wrong[1, 1, 11:21] = 1, 1, 1  # their sums are 2.8e-17 apart where they are 0
    results = {
        label: [Result({TEST_ERROR: 0.0}, {str(place): float(one) for place, one in enumerate(row)}) for row in rows]
        for label, rows in zip("ab", wrong, strict=True)
    }
    found = finding(ERROR, results)
    assert found.low < found.value < 0 == found.high and found.verdict == UNDECIDED


def test_other_measures_and_other_images_have_students_interval() -> None:
    results = {"a": [Result({LOSS: 2.0}), Result({LOSS: 2.1})], "b": [Result({LOSS: 1.0}), Result({LOSS: 1.05})]}
    found = finding(LOSSES, results)
    assert found.by == "Student's interval over 2 seeds, paired" and found.value == pytest.approx(1.025)
    assert found.high - found.value == pytest.approx(12.706 * np.std([1.0, 1.05], ddof=1) / math.sqrt(2), rel=1e-3)
    others = arms(0.4, 0.1)
    others["b"][0] = Result(others["b"][0].numbers, {"another": 1.0})
    assert finding(ERROR, others).by.startswith("Student's")


def test_without_noise_or_without_a_result() -> None:
    one = {"a": [Result({LOSS: 2.0})], "b": [Result({LOSS: 1.0})]}
    assert finding(LOSSES, one).verdict == UNDECIDED
    exact = Claim("more", LOSS, "a", "b", exact=True)
    assert finding(exact, one).verdict == REPRODUCED
    assert finding(Claim("more", LOSS, "a", "b", gain=1.5, exact=True), one).verdict == OPPOSITE
    failed = {"a": [Result({LOSS: math.nan})] * 2, "b": [Result({LOSS: 1.0})] * 2}
    assert finding(LOSSES, failed).verdict == UNDECIDED and finding(LOSSES, failed).as_dict()["difference"] is None


def test_a_study_is_reproduced_where_every_claim_is() -> None:
    yes, no, open_ = (finding(ERROR, arms(*pair)) for pair in ((0.4, 0.1), (0.1, 0.4), (0.2, 0.2)))
    assert verdict([yes, yes]) == REPRODUCED
    assert verdict([yes, open_]) == UNDECIDED and verdict([yes, open_, no]) == OPPOSITE


@pytest.mark.parametrize("larger", ["c", "a"])
def test_a_claim_names_arms_and_measures_of_its_study(larger: str) -> None:
    claim = Claim("x", LOSS if larger == "a" else TEST_ERROR, larger, "b")
    with pytest.raises(ValueError, match="names no arm or no measure"):
        Study("s", "S", "q?", "x", "A1", (), (Arm("a"), Arm("b")), (claim,), {})
