"""The flags of `striate train` for the loop's keys, and the papers' recipes by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from striate.recipe.settings import FINDER

import striate
from striate import Recipe, RequestError
from striate.nets.catalog import entries


class Asked(Exception):  # noqa: N818  (no error: the job was reached)
    """The recipe that the job was given."""


@pytest.fixture
def asked(cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """From a command line to the recipe that it asks the job for."""
    reached: list[Recipe] = []

    def job(data: str, *, recipe: Recipe, **more: object) -> None:
        reached.append(recipe)
        raise RequestError("the job was reached")

    monkeypatch.setattr("striate.jobs.train.train", job)

    def ask(*words: object) -> Recipe:
        reached.clear()
        code, _, err = cli("train", "photos", *words)
        assert (code, err.strip()) == (2, "striate: the job was reached"), err
        return reached[0]

    return ask


FLAGS = [
    (("--lr", "0.05"), {"learning_rate": 0.05}),
    (("--learning-rate", "0.05"), {"learning_rate": 0.05}),
    (("--lr", "auto"), {"learning_rate": FINDER}),
    (("--batch", "32", "--optimizer", "adamw"), {"batch": 32, "optimizer": "adamw"}),
    (("--patience", "4"), {"patience": 4}),
    (("--sanity",), {"sanity": 16}),
    (("--sanity", "8"), {"sanity": 8}),
    (("--set", "optimizer.lr=auto"), {"learning_rate": FINDER}),
]


@pytest.mark.parametrize(("words", "keys"), FLAGS)
def test_a_flag_fills_its_key(words: tuple[str, ...], keys: dict[str, object], asked) -> None:
    assert asked(*words) == Recipe().updated(keys)


def test_auto_survives_the_recipe_file(tmp_path: Path, asked) -> None:
    recipe = Recipe.from_mapping({"learning_rate": "auto"})
    assert recipe.learning_rate == FINDER and 'learning_rate = "auto"' in recipe.toml()
    (tmp_path / "r.toml").write_text(recipe.toml(), "utf-8")
    assert asked("--recipe", tmp_path / "r.toml") == recipe


WRONG = [
    (("--lr", "fast"), "recipe key 'learning_rate' takes float or 'auto', not 'fast'"),
    (("--lr", "-1e-3"), "expected one argument"),
    (("--lr", "5000"), "learning_rate must lie in 0 to 1000, or be 'auto', not 5000"),
    (("--sanity", "photos"), "takes a number of images, not 'photos'; what to learn from goes before it"),
    (("--optimizer", "admw"), "did you mean 'adamw'?"),
    (("--recipe", "paper"), "--recipe paper needs --net"),
    (("--recipe", "paper", "--net", "lenet6"), "unknown net 'lenet6'; did you mean 'lenet5'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_is_no_value_is_refused(words: tuple[str, ...], said: str, cli) -> None:
    code, _, err = cli("train", "photos", *words)
    assert code == 2 and said in err


def test_a_papers_recipe_by_its_name(asked) -> None:
    recipe = asked("--net", "lenet5", "--recipe", "paper")
    assert recipe == striate.paper_recipe("lenet5")
    assert (recipe.net, recipe.optimizer, recipe.batch, recipe.epochs) == ("lenet5", "sgd", 1, 20)
    over = asked(
        "--net", "lenet5", "--recipe", "paper", "--set", "optimizer.momentum=0.5", "--batch", "10", "--lr", "auto"
    )
    assert over == recipe.updated({"optimizer.momentum": 0.5, "train.batch": 10, "optimizer.lr": "auto"})
    assert asked("--set", "net.name=lenet5", "--recipe", "paper") == recipe


def test_a_net_without_one_answers_with_those_that_have(cli) -> None:
    bare = next(one.name for one in entries(tiny=True) if one.recipe is None)
    code, _, err = cli("train", "photos", "--net", bare, "--recipe", "paper")
    assert code == 2 and f"there is no recipe of the paper for {bare!r}; nets that have one: lenet5" in err


def test_a_file_called_paper_is_named_by_its_path(tmp_path: Path, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper").write_text("epochs = 3\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert asked("--recipe", "./paper").epochs == 3
