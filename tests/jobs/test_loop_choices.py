"""Choices that a run cannot honour are told before it begins; those that it can are honoured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawings import Listening, blocks, csv_manifest, draw

from striate import Recipe, train
from striate.errors import RequestError
from striate.inference.openvino_engine import has_bfloat16

RECIPE = Recipe().updated({"net.name": "lenet5_plain", "strategy": "scratch", "train.epochs": 1, "train.batch": 8})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("drawings") / "blocks", {"low": 12, "high": 12})


@pytest.mark.parametrize(
    ("change", "word"),
    [({"train.patience": 2}, "train.patience"), ({"train.keep_checkpoint": "best"}, "train.keep_checkpoint = 'best'")],
)
def test_no_epoch_is_chosen_by_what_a_fold_is_measured_on(
    data: Path, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    with pytest.raises(RequestError, match=f"^{word} would choose the epoch on the images that a fold is evaluated on"):
        train(data, out=tmp_path / "run", recipe=RECIPE.updated({"data.folds": 2, **change}))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_the_precision_asked_for_is_the_one_it_answers_in(data: Path, tmp_path: Path) -> None:
    recipe = RECIPE.updated({"inference.precision": "bfloat16", "inference.engine": "openvino"})
    run = train(data, out=tmp_path / "run", recipe=recipe)
    assert run.metrics["precision"] == run.predictor.precision == "bfloat16"
    assert run.metrics["engine"].endswith(", bfloat16")
    assert Recipe.from_file(tmp_path / "run" / "recipe.toml").inference.precision == "bfloat16"


def test_a_net_with_auxiliary_heads_that_has_learnt_nothing_is_not_said_to_diverge(data: Path, tmp_path: Path) -> None:
    recipe = RECIPE.updated(
        {"net.name": "googlenet_tiny", "train.epochs": 3, "optimizer.lr": 1e-6, "inference.engine": "torch"}
    )
    run = train(data, out=tmp_path / "run", recipe=recipe)
    assert "diverging" not in run.metrics["remarks"]


def test_both_losses_of_a_number_are_in_one_unit(tmp_path: Path) -> None:
    made = draw(tmp_path / "drawings", 60)
    rows = [(f"drawings/{one.path}", 100 * one.side) for one in made]
    data = csv_manifest(tmp_path / "sides.csv", ("path", "number:side"), rows)
    told = Listening()
    train(
        data,
        out=tmp_path / "run",
        recipe=RECIPE.updated({"train.epochs": 8, "schedule": {"name": "step", "milestones": [3]}}),
        progress=told,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    curve = [line for line in lines if line["event"] == "epoch"]
    assert all(row["held_out_loss"] < 4 for row in curve)  # the deviation is about 370, and its square 140,000
    assert curve[-1]["held_out_loss"] < 0.5


def test_the_optimizers_own_rate_stays_its_own_in_the_recipe(data: Path, tmp_path: Path) -> None:
    run = train(data, out=tmp_path / "run", recipe=RECIPE.updated({"inference.engine": "torch"}))
    written = Recipe.from_file(run.folder / "recipe.toml")
    assert run.model.training["optimizer.lr"] == 0.1
    assert written.updated({"optimizer.name": "adamw"}).optimizer.peak == 1e-3  # not the 0.1 of the run before


def test_a_nets_options_are_trained_and_kept_with_the_model(data: Path, tmp_path: Path) -> None:
    recipe = RECIPE.updated(
        {"net.name": "preact_resnet_tiny", "net.options": {"activation": "original", "shortcut": "exclusive_gating"}}
    )
    run = train(data, out=tmp_path / "run", recipe=recipe)
    assert run.model.options["options"] == {"activation": "original", "shortcut": "exclusive_gating"}
    assert run.predictor.predictions(run.predictor.crop(next(data.rglob("*.png")), "one")[None]).shape == (1, 2)
    with pytest.raises(RequestError, match="did you mean 'activation'"):
        train(data, out=tmp_path / "wrong", recipe=recipe.updated({"net.options": {"activaton": "original"}}))
    with pytest.raises(RequestError, match=r"net\.options takes a table of options, not 'original'"):
        recipe.updated({"net.options": "original"})
    assert not (tmp_path / "wrong").exists()
