"""`striate recipe`: every key with what it may be, a table, a key, and a paper's recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import striate
from striate.recipe import keys_called


def test_every_key_is_listed(cli) -> None:
    code, out, _ = cli("recipe")
    assert code == 0
    assert all(f"[{key.table}]" in out for key in keys_called() if key.table)
    assert "maximum rotation angle, either way" in out and "takes a number from 0 to 180, in degrees" in out
    facts = json.loads(cli("recipe", "--json")[1])["keys"]
    assert [one["name"] for one in facts] == [key.name for key in keys_called()]
    rotate = next(one for one in facts if one["name"] == "augment.rotate")
    assert (rotate["type"], rotate["low"], rotate["high"], rotate["unit"]) == ("float", 0, 180, "degrees")
    assert rotate["strategies"] == ["finetune", "scratch"] and rotate["default"] is None


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("train.batch", ["train.batch"]),
        ("batch", ["train.batch"]),
        ("precision", ["train.precision", "inference.precision"]),
        ("head", ["head.kind", "head.cv_folds", "head.learning_curve"]),
        ("seed", ["seed"]),
    ],
)
def test_a_key_or_a_table(word: str, names: list[str], cli) -> None:
    assert [one["name"] for one in json.loads(cli("recipe", word, "--json")[1])["keys"]] == names


def test_an_unknown_key_is_answered_with_the_nearest(cli) -> None:
    code, _, err = cli("recipe", "agment")
    assert code == 2 and "unknown key or table of a recipe 'agment'; did you mean 'augment'" in err


def test_a_papers_recipe_is_shown_with_what_our_runs_measured(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = cli("recipe", "--paper", "lenet5")
    assert code == 0 and "milestones = [2, 5, 8, 12]" in out and "To reach: 0.95 % error" in out
    facts = json.loads(cli("recipe", "--paper", "lenet5", "--json")[1])
    assert facts["recipe"]["train.batch"] == 1 and facts["net"] == "lenet5"

    (tmp_path / "lenet5.toml").write_text(
        "[train]\nbatch = 8\n\n[measured]\nscore = '0.9 % error'\nseeds = [0, 1, 2]\nseconds = 1800\n"
        "machine = 'a laptop'\ndate = '2026-01-02'\ncommand = 'striate train mnist --recipe paper'\n"
    )
    monkeypatch.setattr("striate.nets.papers.FOLDER", tmp_path)
    assert striate.paper_recipe("lenet5").train.batch == 8
    out = cli("recipe", "--paper", "lenet5")[1]
    assert "Measured: 0.9 % error (3 seeds, 1,800 s on a laptop, 2026-01-02): striate train mnist --recipe paper" in out
    assert json.loads(cli("recipe", "--paper", "lenet5", "--json")[1])["measured"]["seeds"] == [0, 1, 2]


def test_what_cannot_be_shown(cli) -> None:
    assert "recipe takes a key or --paper, not both" in cli("recipe", "batch", "--paper", "lenet5")[2]
    assert (
        "there is no recipe of the paper for 'efficientnet_lite0'" in cli("recipe", "--paper", "efficientnet_lite0")[2]
    )
