"""The papers' recipes: each is valid, says what it comes from and should reach, and belongs to a net."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import striate.nets
from striate.nets.catalog import entries
from striate.nets.papers import paper_recipe
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION

FILES = sorted((Path(striate.nets.__file__).parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recipe_is_valid_and_its_head_says_what_it_is(file: Path) -> None:
    text = file.read_text("utf-8")
    Recipe.from_toml(text, file.name)
    head = re.match(r"(#.*\n)+", text)
    assert head, "a recipe begins with a comment"
    said = " ".join(line.lstrip("# ") for line in head[0].splitlines())
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b", said), "the paper"
    command = re.search(r"striate train \S+ .*?--net (\S+) --recipe paper", said)
    assert command, "the command"
    assert "To reach" in said and re.search(r"\d %|per cent", said), "the score to reach"
    assert paper_recipe(command[1]) == Recipe.from_file(file).updated({"net.name": command[1]})


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recipe_names_no_net_and_no_data(file: Path) -> None:
    assert not {"net", "data", "seed"} & set(tomllib.loads(file.read_text("utf-8")))


def test_every_recipe_of_the_catalogue_is_there_and_every_file_is_some_nets() -> None:
    named = {one.recipe for one in entries(tiny=True) if one.recipe}
    assert named == {file.stem for file in FILES}


def test_every_papers_file_has_a_recipe() -> None:
    # EfficientNet-Lite, searched tables and net files are no paper's, and the recurrent ResNet's could not be read; of
    # all others at least one net can be trained as its paper says. A recipe is of classifiers only.
    classifiers = entries(kind="classifier")
    without = {one.file for one in classifiers} - {one.file for one in classifiers if one.recipe}
    without_papers = {"searched_cells", "searched_mobile", "table_net", "graph_net"}
    assert without == {"efficientnet_lite", "recurrent_resnet", *without_papers}
    assert not [one.name for one in entries() if one.recipe and one.kind != "classifier"]


def test_bn_inception_takes_six_million_steps() -> None:
    recipe = paper_recipe("bn_inception")
    assert recipe.train.epochs * 1_281_167 / recipe.train.batch == pytest.approx(6e6, rel=0.01)
    before = paper_recipe("googlenet")
    assert recipe.schedule.step_epochs == pytest.approx(before.schedule.step_epochs / 6, rel=1e-3)
    assert recipe.optimizer.weight_decay == pytest.approx(before.optimizer.weight_decay / 5, rel=1e-3)


def test_what_lenet_5s_paper_says() -> None:
    recipe = paper_recipe("lenet5")
    assert recipe.schedule.milestones == (2, 5, 8, 12) and recipe.schedule.name == "step"
    assert recipe.schedule.gamma**4 == pytest.approx(1e-5 / 5e-4, rel=0.01)
    assert (recipe.optimizer.weight_decay, recipe.train.clip_norm, recipe.loss.label_smoothing) == (0, None, 0)
    assert recipe.augment == NO_AUGMENTATION
