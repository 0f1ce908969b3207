"""The recipe: its TOML survives, and what it cannot be is refused with what it could be."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.recipe import Recipe

FIELDS = dataclasses.fields(Recipe)


def values_of(item: dataclasses.Field) -> st.SearchStrategy:
    if item.metadata["among"]:
        return st.sampled_from(item.metadata["among"])
    low, high = item.metadata["low"], item.metadata["high"]
    if item.name == "folds":
        return st.integers(low, high).filter(lambda folds: folds != 1)
    if item.type == "int":
        return st.integers(low, high)
    return st.floats(low, high) if item.type == "float" else st.text(max_size=30)


def made(**values: object) -> Recipe:
    """A recipe of any values that go together."""
    values |= {
        "drop_at": " ".join(map(str, values["drop_at"])),
        "accumulate": min(values["accumulate"], values["batch"]),
    }
    return Recipe(**values)


DROPS = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=4, unique=True).map(sorted)
RECIPES = st.builds(made, **{item.name: values_of(item) for item in FIELDS} | {"drop_at": DROPS})


@given(RECIPES)
def test_toml_reads_back_unchanged(recipe: Recipe) -> None:
    assert Recipe.from_toml(recipe.toml()) == recipe
    assert Recipe.from_mapping(dataclasses.asdict(recipe)) == recipe


@pytest.mark.parametrize(
    "data", ["été/ça", "bees \U0001f41d", 'a"b\\c', "two\nlines\ttab", "del\x7f", "nul\0", "' # = ["]
)
def test_any_path_survives_the_file(data: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(Recipe(data=data).toml(), "utf-8")
    assert Recipe.from_file(tmp_path / "r.toml").data == data


def test_a_path_that_is_no_text_survives_the_file(tmp_path: Path) -> None:
    from striate.storage import write_text

    data = b"caf\xe9/photos".decode("utf-8", "surrogateescape")
    write_text(tmp_path / "r.toml", Recipe(data=data).toml())
    assert Recipe.from_file(tmp_path / "r.toml").data == data


def test_every_key_says_what_it_is() -> None:
    lines = Recipe().toml().splitlines()
    assert [line.split(" = ")[0] for line in lines] == Recipe.keys()
    assert all(len(line.split(" # ")[1]) > 5 for line in lines)


@pytest.mark.parametrize(
    "item", [item for item in FIELDS if not math.isinf(item.metadata["low"])], ids=lambda item: item.name
)
def test_numbers_out_of_range_are_refused(item: dataclasses.Field) -> None:
    for value in (item.metadata["low"] - 1, item.metadata["high"] + 1, item.metadata["high"] * 10 + 1):
        with pytest.raises(RequestError, match=f"{item.name} must lie in"):
            Recipe.from_mapping({item.name: value})
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(RequestError, match=item.name):
            Recipe.from_mapping({item.name: value})


@pytest.mark.parametrize("item", [item for item in FIELDS if item.metadata["among"]], ids=lambda item: item.name)
def test_a_wrong_choice_is_answered_with_the_nearest(item: dataclasses.Field) -> None:
    with pytest.raises(RequestError, match=repr(item.metadata["among"][0])):
        Recipe.from_mapping({item.name: item.metadata["among"][0] + "x"})


@pytest.mark.parametrize("value", ["text", [], {}, None, True, 1.5, b"3", "1e999", "9" * 5000])
def test_wrong_types_are_refused(value: object) -> None:
    with pytest.raises(RequestError):
        Recipe.from_mapping({"epochs": value})


@pytest.mark.parametrize("value", [3, 1.0, True, [], None])
def test_text_keys_take_text(value: object) -> None:
    with pytest.raises(RequestError, match="'data' takes str"):
        Recipe.from_mapping({"data": value})


def test_a_whole_number_may_come_as_text_or_float() -> None:
    assert Recipe.from_mapping({"epochs": "3", "batch": 32.0, "held_out": "0.5", "momentum": 0}).batch == 32


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="unknown recipe key 'learning_rat'; did you mean 'learning_rate'"):
        Recipe.from_toml("learning_rat = 0.1")


def test_settings_go_over_the_recipe() -> None:
    recipe = Recipe(epochs=3).with_settings(["batch = 16", "net=lenet5_plain", "data=a=b"])
    assert (recipe.epochs, recipe.batch, recipe.net, recipe.data) == (3, 16, "lenet5_plain", "a=b")
    for bad in ("batch", "batch=", "batch=x", "=3", "bach=3"):
        with pytest.raises(RequestError):
            Recipe().with_settings([bad])


@pytest.mark.parametrize(
    "text", ["data = ", "=", "epochs = 3\nepochs = 4", "[table]\nx=1", "a = " + "[" * 100_000, "\0"]
)
def test_bad_toml_is_one_refusal(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(RequestError):
        Recipe.from_file(tmp_path / "bad.toml")


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(RequestError, match="cannot read the recipe"):
            Recipe.from_file(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError):
        Recipe.from_file(tmp_path / "binary.toml")


@given(st.text(max_size=200))
def test_noise_is_refused_or_empty(text: str) -> None:
    try:
        Recipe.from_toml(text)
    except RequestError as error:
        assert str(error)


def test_idle_keys_are_those_set_for_another_strategy() -> None:
    assert Recipe().idle("features") == Recipe().idle("scratch") == []
    changed = Recipe(epochs=3, batch=8, augment="flip=0.5", normalise="mean-pixel", search_folds=3, seed=4)
    assert changed.idle("features") == ["normalise", "epochs", "batch", "augment"]
    assert changed.idle("scratch") == ["search_folds"]
