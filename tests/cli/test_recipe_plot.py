"""`striate recipe --plot schedule` draws what training would use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli

from striate.recipe import Recipe
from striate.recipe.schedules import SCHEDULES
from striate.training.schedule import Schedule


def test_every_schedule_is_drawn(tmp_path: Path, cli: Cli) -> None:
    code, out, _ = cli("recipe", "--plot", "schedule", "--html", tmp_path / "schedules.html")
    assert code == 0
    lines = out.splitlines()
    drawn = {line.split()[0]: line.split()[1] for line in lines if line.split()[0] in SCHEDULES}
    assert drawn.keys() == SCHEDULES.keys() and all(len(bars) == 60 for bars in drawn.values())
    assert drawn["cosine"][5] == "█" and drawn["cosine"][-1] == "▁" and drawn["step"][-1] == "▁"
    assert drawn["warm-restarts"].count("▁") > 3 and drawn["warm-restarts"][-10] == "█"
    page = (tmp_path / "schedules.html").read_text("utf-8")
    assert page.count("<svg") == len(SCHEDULES) and all(name in page for name in SCHEDULES)


def test_a_recipes_own_schedule_is_drawn_as_it_trains(tmp_path: Path, cli: Cli) -> None:
    recipe = Recipe().updated(
        {"schedule": {"name": "triangular", "step_size": 75}, "optimizer.lr": 0.35, "train.epochs": 3}
    )
    (tmp_path / "recipe.toml").write_text(recipe.toml())
    code, out, _ = cli("recipe", "--plot", "schedule", "--recipe", tmp_path / "recipe.toml", "--json")
    (found,) = json.loads(out)["schedules"]
    assert code == 0 and found["name"] == "triangular" and found["epochs"] == 3
    schedule = Schedule(recipe, 3, len(found["rates"]) // 3)
    assert found["rates"] == [schedule.rate(step) for step in range(len(found["rates"]))]
    code, out, _ = cli(
        "recipe", "--plot", "schedule", "--set", "schedule.name=step", "--set", "optimizer.lr=3", "--json"
    )
    (found,) = json.loads(out)["schedules"]
    assert max(found["rates"]) == 3 and found["rates"][-1] == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--html", "a.html"), "--plot"),
        (("--plot", "schedule", "--set", "schedule.name=wavy"), "wavy"),
        (("--plot", "schedule", "--recipe", "nowhere.toml"), "nowhere.toml"),
        (("--plot", "schedule", "--set", "optimizer.lr=auto"), "auto"),
    ],
)
def test_a_wrong_plot_is_one_line(words: tuple[str, ...], said: str, cli: Cli) -> None:
    code, out, error = cli("recipe", *words)
    assert code == 2 and not out and said in error and error.count("\n") == 1
