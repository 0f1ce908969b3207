"""Search spaces: every key of the recipe with its range, and one line for what cannot be searched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from toy_search import RECIPE, space

from striate.errors import RequestError
from striate.recipe import Recipe, keys_called
from striate.tuning.space import Choices, Range, combinations, make_space, own_range, read_space


def test_ranges_lists_and_auto_of_quoted_and_nested_keys(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        '"optimizer.lr" = {low = 1e-3, high = 1}\n'
        "train.batch = [16, 32]\n"
        '"augment.crop" = [[0.3, 1], [0.5, 1], "none"]\n'
        '"loss.label_smoothing" = "auto"\n'
        '[schedule]\nname = ["cosine", "step"]\ngamma = {low = 0.1, high = 0.5, points = 2}\n'
    )
    found = make_space(read_space(tmp_path / "space.toml"), RECIPE, "scratch")
    assert found.names[0] == "schedule.name"  # first, as it decides whether there is a gamma
    rate = found.dimension("optimizer.lr")
    assert isinstance(rate, Range) and (rate.low, rate.high, rate.log) == (0.001, 1, True)
    assert found.dimension("train.batch") == Choices(keys_called("train.batch")[0], (16, 32))
    crop = found.dimension("augment.crop")
    assert isinstance(crop, Choices) and crop.values == ((0.3, 1.0), (0.5, 1.0), None)
    assert found.values({"augment.crop": crop.labels[1], "train.batch": 32}) == {
        "augment.crop": (0.5, 1.0), "train.batch": 32,
    }  # fmt: skip
    smoothing = found.dimension("loss.label_smoothing")
    assert isinstance(smoothing, Range) and not smoothing.log
    (tmp_path / "again.toml").write_text(found.toml())
    assert make_space(read_space(tmp_path / "again.toml"), RECIPE, "scratch") == found


def test_a_key_of_one_schedule_is_searched_where_that_is_chosen() -> None:
    found = space({"schedule.name": ["cosine", "step"], "schedule.gamma": [0.1, 0.2], "train.batch": [16, 32]})
    points = found.grid(RECIPE)
    assert len(points) == combinations(found, RECIPE) == 2 + 4
    assert {("schedule.gamma" in point) == (point["schedule.name"] == "step") for point in points} == {True}
    for point in points:
        RECIPE.updated(found.values(point))


def test_the_grid_of_a_range_is_even_on_its_scale() -> None:
    found = space({"optimizer.lr": {"low": 0.01, "high": 1}, "train.epochs": {"low": 1, "high": 4, "log": False}})
    assert found.dimension("optimizer.lr").grid(3) == (0.01, 0.1, 1.0)
    assert found.dimension("train.epochs").grid(9) == (1, 2, 3, 4)


def test_every_key_has_a_range_of_its_own_or_says_that_it_needs_a_list() -> None:
    ranged = 0
    for key in keys_called():
        try:
            found = own_range(key, ("efficientnet_lite0",))
        except RequestError as error:
            assert f"{key.name} has no range of its own" in str(error)
            continue
        values = found.values if isinstance(found, Choices) else found.grid(5)
        ranged += 1
        for value in values:
            table = {f"{key.table}.name": key.of[0]} if key.of else {}
            if key.table != "augment":  # some go with others
                Recipe().updated({**table, key.name: value})
    assert ranged > 60


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"optimizer.lrr": [1]}, "unknown key 'optimizer.lrr' in the space; did you mean 'optimizer.lr'"),
    "key without its table": ({"momentum": [0.9]}, "did you mean 'optimizer.momentum'"),
    "range outside the key's": ({"loss.label_smoothing": {"low": 0, "high": 2}}, "takes a number from 0 to 0.9.*not 2"),
    "low above high": ({"optimizer.lr": {"low": 1, "high": 0.1}}, "low = 1 is not below high = 0.1"),
    "empty list": ({"train.batch": []}, "the list of values of train.batch is empty"),
    "twice in a list": ({"train.batch": [32, 32.0]}, "has one of them twice"),
    "value of another type": ({"train.batch": ["many"]}, "train.batch takes an integer"),
    "idle": ({"head.kind": ["svm"], "optimizer.lr": [1]}, "not used by the strategy scratch: head.kind"),
    "key of no chosen optimizer": ({"optimizer.beta1": "auto"}, "is a key of the optimizers adam.*has none of them"),
    "not searched": ({"seed": [1, 2]}, "seed cannot be searched: trials share one seed"),
    "data": ({"data.held_out": [0.1]}, "data.held_out cannot be searched: all trials share the data"),
    "log from 0": ({"optimizer.weight_decay": {"low": 0, "high": 1, "log": True}}, "starts above 0"),
    "range of words": ({"schedule.name": {"low": 0, "high": 1}}, "so it has no range"),
    "another word": ({"optimizer.lr": {"low": 0.1, "hihg": 1}}, "has 'hihg'"),
    "not a range": ({"optimizer.lr": 0.1}, "takes a range"),
    "no range of its own": ({"net.name": "auto"}, "net.name has no range of its own"),
    "empty": ({}, "the space is empty"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_searched_is_one_line(name: str) -> None:
    given, words = WRONG[name]
    with pytest.raises(RequestError) as caught:
        make_space(given, RECIPE, "scratch")
    assert re.search(words, str(caught.value)) and "\n" not in str(caught.value)


def test_a_grid_that_is_too_large_is_refused_before_it_is_made() -> None:
    keys = ("optimizer.lr", "optimizer.weight_decay", "loss.label_smoothing", "train.clip_norm")
    with pytest.raises(RequestError, match="more than 1,000,000 points"):
        space(dict.fromkeys(keys, "auto"), points=40).grid(RECIPE)
