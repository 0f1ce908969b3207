"""The recipe: its TOML survives, and what it cannot be is refused with what it could be."""

from __future__ import annotations

import math
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.recipe import Key, Recipe
from striate.recipe.augment import PRESETS
from striate.recipe.keys import keys_of
from striate.recipe.tree import CHOICES, TABLES, every_key

KEYS = every_key(Recipe)
NUMBERS = [key for key in KEYS if not math.isinf(key.low)]
SINGLE = [key for key in NUMBERS if key.type in ("int", "float")]
OPTION = st.booleans() | st.integers(-100, 100) | st.floats(-1e6, 1e6) | st.text(max_size=9)


def values_of(key: Key) -> st.SearchStrategy[Any]:
    """Values that a key takes, None where it may be unset."""
    low, high = key.low, key.high
    numbers = st.floats(max(low, -1e300), min(high, 1e300))
    whole = st.integers(math.ceil(low), math.floor(high)) if not math.isinf(low) else st.nothing()
    found: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "str": st.sampled_from(key.choices) if key.choices else st.text(min_size=1, max_size=30),
        "range": st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))),
        "list": st.lists(numbers, min_size=1, max_size=4, unique=True).map(sorted),
        "weighted": st.lists(st.tuples(whole, st.floats(0.01, 9)), min_size=1, max_size=3),
        "table": st.dictionaries(st.from_regex("[a-z]{1,9}", fullmatch=True), OPTION | st.lists(OPTION), max_size=3),
        "int": whole,
        "float": whole if key.whole == "from 1" else numbers,
    }
    some = found[key.type] | (st.sampled_from(key.words) if key.words else st.nothing())
    return some | st.none() if key.optional else some


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Recipes of any values that go together."""
    changes: dict[str, Any] = {}
    for name, kind in TABLES.items():
        if name in CHOICES:
            changes[f"{name}.name"] = draw(st.sampled_from(sorted(CHOICES[name])))
            kind = CHOICES[name][changes[f"{name}.name"]]
        changes |= {key.name: draw(values_of(key)) for key in keys_of(kind)}
    changes |= {key.name: draw(values_of(key)) for key in keys_of(Recipe)}
    if changes.get("schedule.milestones") is not None:
        changes["schedule.step_epochs"] = None
    changes["train.accumulate"] = min(changes["train.accumulate"], changes["train.batch"])
    changes |= {"augment.preset": "auto", "augment.crop": None}
    return Recipe().updated(changes)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(recipes())
def test_toml_reads_back_unchanged(recipe: Recipe) -> None:
    assert Recipe.from_toml(recipe.toml()) == recipe
    assert Recipe.from_mapping(tomllib.loads(recipe.toml())) == recipe
    assert (
        Recipe().updated(recipe.values() | {f"{name}.name": getattr(recipe, name).name for name in CHOICES}) == recipe
    )
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@pytest.mark.parametrize(
    "data", ["été/ça", "bees \U0001f41d", 'a"b\\c', "two\nlines\ttab", "del\x7f", "nul\0", "' # = ["]
)
def test_any_path_survives_the_file(data: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(Recipe().updated({"data.path": data}).toml(), "utf-8")
    assert Recipe.from_file(tmp_path / "r.toml").data.path == data


def test_a_path_that_is_no_text_survives_the_file(tmp_path: Path) -> None:
    from striate.storage import write_text

    data = b"caf\xe9/photos".decode("utf-8", "surrogateescape")
    write_text(tmp_path / "r.toml", Recipe().updated({"data.path": data}).toml())
    assert Recipe.from_file(tmp_path / "r.toml").data.path == data


def test_the_file_says_what_each_key_is_and_leaves_out_what_is_unset() -> None:
    recipe = Recipe().updated({"net.options.width": 0.5, "train.clip_norm": None})
    lines = [line for line in recipe.toml().splitlines() if " = " in line and line != "width = 0.5"]
    assert all(len(line.split(" # ")[1]) > 5 for line in lines)
    assert not [line for line in lines if line.startswith(("epochs", "lr", "name = none"))]
    assert "[net.options]\nwidth = 0.5" in recipe.toml()
    assert [line.split("#")[0].strip() for line in lines if line.startswith("clip_norm")] == ['clip_norm = "none"']
    assert "(1 to 65536)" in next(line for line in lines if line.startswith("batch ="))


def test_every_key_is_told_by_name_type_range_and_help() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert len(key.help) > 5 and key.strategies and key.takes
        assert key.default is None or not key.choices or key.default in key.choices, key.name
        assert key.type in ("bool", "str", "table") or not math.isinf(key.low), f"{key.name} has no range"
    mine = Recipe().keys()
    own = {key.name for key in mine}
    assert own < {key.name for key in KEYS}
    assert own >= {"optimizer.name", "optimizer.momentum", "schedule.warmup_epochs"} and "optimizer.beta1" not in own
    by_name = {key.name: key for key in KEYS}
    with_momentum = ("momentum", "nesterov", "rmsprop", "classical-momentum", "shifted-nesterov")
    assert by_name["optimizer.momentum"].of == with_momentum
    assert by_name["optimizer.lr"].of == () and by_name["optimizer.lr"].words == ("auto",)
    assert by_name["augment.rotate"].unit == "degrees"
    assert set(Recipe().values()) == own and Recipe().value("train.batch") == 64


def test_the_defaults_are_those_of_the_keys() -> None:
    values, keys = Recipe().values(), Recipe().keys()
    assert all(values[key.name] == key.default for key in keys)


@pytest.mark.parametrize("key", SINGLE, ids=lambda key: key.name)
def test_numbers_out_of_range_are_refused(key: Key) -> None:
    choice = {f"{key.table}.name": key.of[0]} if key.of else {}
    for value in (key.low - 1, key.high + 1, key.high * 10 + 1, math.nan, math.inf, -math.inf, True, "much", b"3", {}):
        if value == {}:  # an empty table sets nothing
            continue
        with pytest.raises(RequestError, match=f"{key.name} takes "):
            Recipe().updated({**choice, key.name: value})


@pytest.mark.parametrize("key", [key for key in KEYS if key.choices], ids=lambda key: key.name)
def test_a_wrong_choice_is_answered_with_the_nearest(key: Key) -> None:
    with pytest.raises(RequestError, match=repr(key.choices[0])):
        Recipe().updated({key.name: key.choices[0] + "x"})


@pytest.mark.parametrize("value", ["text", [], 1.5, b"3", "1e999", "9" * 5000, True, 0, "0"])
def test_wrong_types_are_refused(value: object) -> None:
    with pytest.raises(RequestError, match=r"train.epochs takes an integer from 1 to 100000, not"):
        Recipe.from_mapping({"train": {"epochs": value}})


@pytest.mark.parametrize("value", [3, 1.0, True, [], ""])
def test_text_keys_take_text(value: object) -> None:
    with pytest.raises(RequestError, match=r"data.path takes text, not"):
        Recipe.from_mapping({"data": {"path": value}})


def test_a_whole_number_may_come_as_text_or_float() -> None:
    recipe = Recipe.from_mapping(
        {"train": {"epochs": "3", "batch": 32.0}, "data": {"held_out": "0.5"}, "optimizer": {"momentum": 0}}
    )
    assert (recipe.train.epochs, recipe.train.batch, recipe.data.held_out) == (3, 32, 0.5)
    assert type(recipe.train.batch) is int and type(recipe.optimizer.gradient_momentum) is float


WRONG = [
    ({"augment": {"rotat": 1}}, "unknown key 'rotat' in [augment]: did you mean 'rotate'?"),
    ({"batch": 3}, "'batch' is in a table: train.batch"),
    ({"optimizer": {"batch": 3}}, "'batch' is not in [optimizer]: it is train.batch"),
    ({"precision": "auto"}, "'precision' is in a table: train.precision or inference.precision"),
    (
        {"optimizer.name": "adam", "optimizer.momentum": 0.5},
        "optimizer 'adam' has no key 'momentum'; its keys are lr, ",
    ),
    ({"schedule": {"gamma": 0.5}}, "schedule 'cosine' has no key 'gamma'; its keys are warmup_epochs"),
    ({"optimizer.name": "admw"}, "unknown optimizer 'admw'; did you mean 'adamw'"),
    ({"trian": {"batch": 3}}, "unknown table of a recipe 'trian'; did you mean 'train'?"),
    ({"rotat": 3}, "unknown recipe key 'rotat'; did you mean 'augment.rotate'?"),
    ({"train": 3}, "[train] is a table of keys, and takes no value such as 3"),
    ({"seed": {"x": 1}}, "'seed' is a key, not a table"),
    ({"data": {"folds": 1}}, "data.folds takes an integer from 2 to 100, not 1"),
    ({"net": {"options": {"a b": 1}}}, "net.options takes a table of options, not {'a b': 1}"),
    ({"net": {"options": {"width": math.inf}}}, "net.options takes a table of options"),
    ({3: 1}, "a key of a recipe is a string, not 3"),
]


@pytest.mark.parametrize(("values", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_key_is_answered_with_the_right_one(values: dict[Any, Any], words: str) -> None:
    with pytest.raises(RequestError) as caught:
        Recipe().updated(values)
    assert str(caught.value).startswith(words)


def test_another_optimizer_has_its_own_defaults_and_keeps_what_both_have() -> None:
    recipe = Recipe().updated({"optimizer": {"lr": 0.1, "weight_decay": 0.01, "momentum": 0.5}})
    adam = recipe.updated({"optimizer.name": "adam"}).optimizer
    assert (adam.name, adam.lr, adam.weight_decay, adam.gradient_momentum) == ("adam", 0.1, 0.01, 0.9)
    assert recipe.updated({"optimizer.name": "nesterov"}) == recipe
    assert recipe.updated({"optimizer.name": "sgd"}).optimizer.peak == 0.1
    step = Recipe().updated({"schedule": {"name": "step", "gamma": 0.5, "warmup_epochs": 3}})
    assert step.updated({"schedule.name": "cosine"}) == Recipe().updated({"schedule.warmup_epochs": 3})


def test_a_preset_starts_its_table_again() -> None:
    recipe = Recipe().updated({"augment": {"rotate": 10, "flip": 0.5}})
    assert recipe.updated({"augment.shift": 2}).augment.rotate == 10
    found = recipe.updated({"augment": {"preset": "photo", "flip": 0}}).augment
    assert found.merged() == {**PRESETS["photo"], "flip": 0}


def test_values_are_assigned_as_the_command_line_gives_them() -> None:
    recipe = Recipe().updated({"train.epochs": 3}).assigned(
        ["train.batch = 16", "net.name=lenet5_plain", "data.path=a=b", "augment.crop=0.5,1", "train.clip_norm=none",
         "net.options.width=0.5", "net.options.kind=plain", "net.options.residual=False",
         "optimizer.decay_norm_and_bias=true", "augment.shorter_side=[[144,0.5],[188,1]]", "augment.crop="]
    )  # fmt: skip
    assert (recipe.train.epochs, recipe.train.batch, recipe.train.clip_norm) == (3, 16, None)
    assert (recipe.net.name, recipe.data.path) == ("lenet5_plain", "a=b")
    assert recipe.net.options == {"width": 0.5, "kind": "plain", "residual": False}
    assert recipe.optimizer.decay_norm_and_bias is True
    assert (recipe.augment.crop, recipe.augment.shorter_side) == (None, ((144, 0.5), (188, 1.0)))
    assert recipe.assigned(["train.epochs="]).train.epochs is None
    for bad in ("batch", "train.batch=", "train.batch=x", "=3", "train.bach=3"):
        with pytest.raises(RequestError):
            Recipe().assigned([bad])


@pytest.mark.parametrize(
    "text", ["data = ", "=", "seed = 3\nseed = 4", "[table]\nx=1", "a = " + "[" * 100_000, "\0", "[[data]]\npath='x'"]
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
    changed = Recipe().updated(
        {
            "train": {"epochs": 3, "batch": 8},
            "augment.flip": 0.5,
            "input.normalise": "mean-pixel",
            "head.cv_folds": 3,
            "optimizer.name": "adam",
            "seed": 4,
        }
    )
    idle = ["input.normalise", "augment.flip", "optimizer.name", "train.epochs", "train.batch"]
    assert changed.idle("features") == idle
    assert changed.idle("scratch") == ["head.cv_folds"]


def test_the_choices_that_decide_the_weights() -> None:
    recipe = Recipe().updated({"data.path": "here", "checkpoint.steps": 3, "inference.engine": "torch"})
    assert recipe.choices() == Recipe().choices()
    assert {"seed", "train.batch", "optimizer.name", "data.folds", "net.options"} <= set(recipe.choices())
    assert recipe.choices() != recipe.updated({"augment.flip": 0.5}).choices()


MEASURED = """
[measured]
score = "0.95 % error"
seeds = [0, 1]
seconds = 120
machine = "2 cores"
date = 2026-01-02
command = "striate train mnist --net lenet5 --recipe paper"
"""


def test_a_recipe_file_may_say_what_its_runs_have_measured() -> None:
    assert Recipe.from_toml("seed = 3\n" + MEASURED) == Recipe(seed=3)
    for was, now, words in (
        ("seconds = 120", "", "lacks seconds"),
        ("seeds", "seed", "unknown key in .measured. 'seed'; did you mean 'seeds'"),
        ("[0, 1]", "2", "measured.seeds takes a list of integers, not 2"),
        ("120", "0", "measured.seconds takes a number above 0, not 0"),
        ('"2 cores"', "2", "measured.machine takes text, not 2"),
    ):
        with pytest.raises(RequestError, match=words):
            Recipe.from_toml(MEASURED.replace(was, now))
