"""The flags of `striate train` for the loop's keys, and the papers' recipes by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import striate
from striate import Recipe, RequestError
from striate.nets.catalog import entries
from striate.recipe.augment import NO_AUGMENTATION


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


def test_quick_and_best_are_strategies(asked: Any) -> None:
    assert asked("--quick").strategy == "quick" and asked("--best").strategy == "best"
    assert asked().strategy == "auto"


FLAGS = [
    (("--lr", "0.05"), {"optimizer.lr": 0.05}),
    (("--lr", "auto"), {"optimizer.lr": "auto"}),
    (("--batch", "32", "--optimizer", "adamw"), {"train.batch": 32, "optimizer.name": "adamw"}),
    (("--schedule", "step", "--set", "schedule.milestones=30,60"), {
        "schedule": {"name": "step", "milestones": [30, 60]},
    }),
    (("--patience", "4"), {"train.patience": 4}),
    (("--overfit-batch",), {"train.overfit_batch": 16}),
    (("--overfit-batch", "8"), {"train.overfit_batch": 8}),
    (("--set", "optimizer.lr=auto"), {"optimizer.lr": "auto"}),
    (("--set", "train.clip_norm=none"), {"train.clip_norm": None}),
    (("--set", "optimizer.beta1=0.8", "--optimizer", "adam"), {"optimizer": {"name": "adam", "beta1": 0.8}}),
    (("--augment", "rotate=10", "crop=0.5,1"), {"augment": {"rotate": 10, "crop": [0.5, 1]}}),
    (("--augment", "none", "flip=0.5"), {"augment": {"preset": "none", "flip": 0.5}}),
    (("--net-option", "width=0.5", "--net-option", "classifier=linear"), {
        "net.options": {"width": 0.5, "classifier": "linear"},
    }),
    (("--net", "resnet20", "--folds", "5", "--ood", "others"), {
        "net.name": "resnet20", "data": {"folds": 5, "ood": "others"},
    }),
    (("--epochs", "3", "--set", "train.epochs=9"), {"train.epochs": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "keys"), FLAGS)
def test_a_flag_sets_its_key(words: tuple[str, ...], keys: dict[str, object], asked) -> None:
    assert asked(*words) == Recipe().updated(keys)


def test_auto_survives_the_recipe_file(tmp_path: Path, asked) -> None:
    recipe = Recipe.from_mapping({"optimizer": {"lr": "auto"}})
    assert recipe.optimizer.lr == "auto" and '\nlr = "auto"' in recipe.toml()
    (tmp_path / "r.toml").write_text(recipe.toml(), "utf-8")
    assert asked("--recipe", tmp_path / "r.toml") == recipe


def test_a_preset_on_the_command_line_replaces_the_files_augmentation(tmp_path: Path, asked) -> None:
    (tmp_path / "r.toml").write_text("[augment]\npreset = 'none'\nrotate = 10\nflip = 0.5\n", "utf-8")
    found = asked("--recipe", tmp_path / "r.toml", "--augment", "rotate=5").augment
    assert (found.rotate, found.flip) == (5, 0.5)
    assert asked("--recipe", tmp_path / "r.toml", "--augment", "none").augment == NO_AUGMENTATION


WRONG = [
    (("--lr", "fast"), "optimizer.lr takes a number from 1e-12 to 1000, or 'auto', not 'fast'"),
    (("--lr", "-1e-3"), "expected one argument"),
    (("--lr", "5000"), "optimizer.lr takes a number from 1e-12 to 1000, or 'auto', not '5000'"),
    (("--overfit-batch", "photos"), "takes a number of images, not 'photos'; put the data before it"),
    (("--optimizer", "admw"), "did you mean 'adamw'?"),
    (
        ("--optimizer", "adam", "--set", "optimizer.momentum=0.5"),
        "optimizer 'adam' has no key 'momentum'; its keys are",
    ),
    (("--augment", "rotat=5"), "unknown key 'rotat' in [augment]: did you mean 'rotate'?"),
    (("--augment", "phto"), "unknown augmentation 'phto'; did you mean 'photo'"),
    (("--augment", "flip=1", "flip=0"), "augment.flip is given twice"),
    (("--net-option", "width"), "an option of a network is NAME=VALUE, not 'width'"),
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
    assert (recipe.net.name, recipe.optimizer.name) == ("lenet5", "sgd")
    assert (recipe.train.batch, recipe.train.epochs) == (1, 20)
    over = asked("--net", "lenet5", "--recipe", "paper", "--set", "schedule.gamma=0.5", "--batch", "10", "--lr", "auto")
    assert over == recipe.updated({"schedule.gamma": 0.5, "train.batch": 10, "optimizer.lr": "auto"})
    assert asked("--set", "net.name=lenet5", "--recipe", "paper") == recipe


def test_a_net_without_one_answers_with_those_that_have(cli) -> None:
    bare = next(one.name for one in entries(tiny=True, kind="classifier") if one.recipe is None)
    code, _, err = cli("train", "photos", "--net", bare, "--recipe", "paper")
    assert code == 2 and f"there is no recipe of the paper for {bare!r}; nets that have one: lenet5" in err


def test_a_file_called_paper_is_named_by_its_path(tmp_path: Path, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper").write_text("train.epochs = 3\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert asked("--recipe", "./paper").train.epochs == 3
