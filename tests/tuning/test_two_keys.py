"""Random search against a grid where one key matters more than the other."""

from __future__ import annotations

import math

import pytest
from named_tests import ROOT, rendered_by
from toy_search import space

from striate.errors import RequestError
from striate.tuning import random_against_grid


def test_random_search_tries_more_values_of_the_key_that_matters() -> None:
    def score(values: dict[str, float]) -> float:
        return 1 - (math.log10(values["optimizer.lr"]) + 1.1) ** 2 + 0.01 * values["loss.label_smoothing"]

    better = 0
    for seed in range(40):
        found = random_against_grid(score, space(), points=3, seed=seed)
        assert found.distinct() == (3, 9) and len(found.grid) == len(found.random) == 9
        grid, random = found.best()
        better += random.score > grid.score
    assert better >= 24  # nine values of the rate come nearer to its best than three
    assert found.names == ("optimizer.lr", "loss.label_smoothing")


def test_two_ranges_are_needed() -> None:
    with pytest.raises(RequestError, match=r"takes a space of two ranges, not train\.batch"):
        random_against_grid(lambda values: 0.0, space({"train.batch": [16, 32]}))


def test_the_picture_is_rendered_from_the_record() -> None:
    drawn = (ROOT / "docs" / "tuning.svg").read_text("utf-8")
    assert drawn == rendered_by("render_tuning"), "run python docs/render_tuning.py"
    assert drawn.count("<circle") == 18
