"""`striate tune` from end to end: trials that never see the held-out images, the best recipe, the report."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from drawings import Listening, blocks, sections, split_rows, strict_json

import striate
from striate import RequestError, WorkError
from striate.data.opening import open_source
from striate.errors import Stopped
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.planning import choose, summarise
from striate.learning.run_folder import FollowerFolder
from striate.progress import Progress
from striate.tuning import scoring
from striate.tuning.trial_data import TrialData, training_keys, validation_parts

FAST = {"net.name": "lenet5_plain", "strategy": "scratch", "train.epochs": 2, "train.batch": 16}
FAST |= {"augment.preset": "none"}
RATES = {"optimizer.lr": {"low": 0.01, "high": 0.5}, "loss.label_smoothing": [0.0, 0.1]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("drawn") / "marks", {"low": 24, "high": 24, "left": 12})


@pytest.fixture(scope="module")
def tuned(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished search; all images of every trial are noted."""
    seen: set[str] = set()
    inner = TrialData.inner

    def watched(self: TrialData, *arguments: Any) -> Any:
        found = inner(self, *arguments)
        seen.update(entry.item.key for entry in found.split.audit.usable)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialData, "inner", watched)
        done = striate.tune(drawn, out=tmp_path_factory.mktemp("t") / "search", space=RATES, trials=9, recipe=FAST)
    return done, seen


def test_a_search_leaves_its_trials_report_recipe_and_run(tuned: Any) -> None:
    done, _ = tuned
    names = {one.name for one in done.folder.iterdir()}
    assert {"trials.csv", "report.html", "best.toml", "best", "space.toml", "result.json", "tuning.json"} <= names
    with open(done.folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and {row["state"] for row in rows} == {"complete"}
    best = max(rows, key=lambda row: float(row["score"]))
    assert float(best["optimizer.lr"]) == done.best.values["optimizer.lr"]
    assert done.flattery.held_out == done.held_out["accuracy"]
    page = (done.folder / "report.html").read_text()
    assert {"flattery", "progress", "importance", "parallel", "slices", "trials", "recipe"} <= sections(page).keys()
    assert "flatters itself" in done.lines()[3] and "points (95 % interval" in done.lines()[3]
    assert re.search(r"validation looks better|held-out images came out better|both scores are equal", page)
    assert strict_json((done.folder / "result.json").read_text())["best"]["trial"] == done.best.number


def test_trials_never_see_the_held_out_images(tuned: Any) -> None:
    done, seen = tuned
    held_out = {row["path"] for row in split_rows(done.run) if row["part"] == "val"}
    trained = {row["path"] for row in split_rows(done.run) if row["part"] == "train"}
    assert held_out and seen == trained and not seen & held_out
    assert done.held_out["total"] == len(held_out)


def test_the_best_recipe_trains_again_to_the_same(tuned: Any, tmp_path: Path, cli: Any) -> None:
    done, _ = tuned
    code, out, err = cli("train", "--recipe", done.folder / "best.toml", "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == done.held_out["accuracy"]


def test_a_search_is_joined_and_gone_on_with(tuned: Any, tmp_path: Path, cli: Any, monkeypatch: Any) -> None:
    done, _ = tuned
    model = (done.run / "model.safetensors").stat().st_mtime_ns
    calls = []
    evaluate = scoring.Scorer.evaluate
    monkeypatch.setattr(scoring.Scorer, "evaluate", lambda *given: calls.append(1) or evaluate(*given))
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("tune", "--resume", done.folder, "--trials", 9)
    assert code == 0 and not calls, err
    assert "Best of 9 trials" in out and (done.run / "model.safetensors").stat().st_mtime_ns == model
    again = striate.tune(resume=done.folder, trials=11)
    assert len(again.rows) == 11 and len(calls) <= 2
    assert [row.values for row in again.rows[:9]] == [row.values for row in done.rows]
    with pytest.raises(RequestError, match="a search goes on as it was started"):
        striate.tune(resume=done.folder, folds=3)
    with pytest.raises(RequestError, match=r"is a search with method 'random', not 'grid'"):
        striate.tune(again.recipe.data.path, out=done.folder, space=RATES, method="grid", recipe=FAST)


def test_a_stop_while_the_best_recipe_trains_says_how_to_go_on_with_the_search(
    tuned: Any, tmp_path: Path, cli: Any, monkeypatch: Any
) -> None:
    folder = tmp_path / "search"
    shutil.copytree(tuned[0].folder, folder, ignore=shutil.ignore_patterns("best"))

    def stopped(*given: Any, **more: Any) -> Any:
        raise Stopped("stopped after epoch 1; resume with: striate train --resume best", 130)

    with monkeypatch.context() as patch:
        patch.setattr("striate.jobs.tune.train", stopped)
        code, _, err = cli("tune", "--resume", folder)
    assert code == 130 and err.rstrip().endswith(f"stopped; go on with: striate tune --resume {folder}")
    code, out, err = cli("tune", "--resume", folder)
    assert code == 0 and "Held out" in out, err
    (folder / "journal.log").unlink()
    code, _, err = cli("tune", "--resume", folder)
    assert code == 2 and "journal.log' does not exist any more" in err and err.count("\n") == 1


def test_a_grid_on_the_command_line(drawn: Path, tmp_path: Path, cli: Any) -> None:
    (tmp_path / "space.toml").write_text('"optimizer.lr" = {low = 0.02, high = 0.5}\n"train.batch" = [16, 32]\n')
    code, out, err = cli(
        "tune", drawn, "--space", tmp_path / "space.toml", "--method", "grid", "--points", 2, "--folds", 2,
        "--strategy", "scratch", "--net", "lenet5_plain", "--set", "train.epochs=1", "--set", "augment.preset=none",
        "--out", tmp_path / "t", "--storage", tmp_path / "shared.log", "--study", "mine", "--json",
    )  # fmt: skip
    assert code == 0, err
    found = strict_json(out)
    values = [tuple(row["values"].values()) for row in found["trials"]]
    assert sorted(values) == [(0.02, 16), (0.02, 32), (0.5, 16), (0.5, 32)]
    assert found["held_out"]["images"] == 12 and (tmp_path / "shared.log").is_file()
    assert "Searched by grid" in err


def test_nested_folds_estimate_the_whole_procedure(drawn: Path, tmp_path: Path) -> None:
    recipe = {**FAST, "train.epochs": 1}
    done = striate.tune(drawn, out=tmp_path / "t", space=RATES, trials=2, nested=2, recipe=recipe)
    assert done.nested is not None and len(done.nested.scores) == 2
    training = [row for row in split_rows(done.run) if row["part"] == "train"]
    assert done.nested.images == len(training)
    assert "Nested" in done.lines()[4] and "outer folds" in (done.folder / "report.html").read_text()


def test_a_diverging_trial_is_recorded_and_the_search_goes_on(drawn: Path, tmp_path: Path) -> None:
    recipe = {**FAST, "train.batch": 2, "train.clip_norm": "none", "optimizer.weight_decay": 1.0}
    done = striate.tune(drawn, out=tmp_path / "t", space={"optimizer.lr": [0.05, 1000.0]}, recipe=recipe)
    assert {row.state for row in done.rows} == {"complete", "failed"}
    assert "not a finite number" in next(row.error for row in done.rows if row.state == "failed")
    assert done.best.values["optimizer.lr"] == 0.05
    with pytest.raises(WorkError, match="none of the 1 trials has a score"):
        striate.tune(drawn, out=tmp_path / "u", space={"optimizer.lr": [1000.0]}, recipe=recipe)


def test_pruning_by_the_hooks_of_the_training_loop(drawn: Path, tmp_path: Path) -> None:
    recipe = {**FAST, "train.epochs": 4}
    rates = {"optimizer.lr": {"low": 1e-5, "high": 0.3}}
    done = striate.tune(drawn, out=tmp_path / "t", space=rates, trials=8, pruner="halving", recipe=recipe)
    pruned = [row for row in done.rows if row.state == "pruned"]
    assert pruned and all(row.epochs == len(row.curve) < 4 for row in pruned)
    assert all(row.epochs == 4 for row in done.rows if row.complete)


def test_the_default_space_of_heads_on_features(photos: Path, trained: Any, tmp_path: Path) -> None:
    said = Listening()
    done = striate.tune(photos, out=tmp_path / "t", strategy="features", method="tpe", trials=4, progress=said)
    assert {"head.kind", "data.balance"} <= set(done.space.names)
    assert any("the usual space of the strategy, as none is given" in line for line in said.lines)
    assert done.held_out["total"] == 16 and done.run is not None
    assert done.validated_on == "8 validation images"


def test_fine_tuning_is_scored_on_the_validation_part_epoch_by_epoch(
    photos: Path, trained: Any, tmp_path: Path
) -> None:
    recipe = striate.Recipe().updated(
        {"strategy": "finetune", "train.epochs": 1, "finetune.unfreeze": 0, "augment.preset": "none"}
    )
    source = open_source(photos)
    summary = summarise(source)
    plan = choose(summary, "finetune", "efficientnet_lite0")
    data = TrialData(source, summary, plan, recipe, RunContext(FollowerFolder(tmp_path), Clock(), Progress()))
    parts = validation_parts(data.split, training_keys(data.split), recipe, None)
    epochs: list[tuple[int, float]] = []
    found = scoring.Scorer(data, parts).evaluate(recipe, lambda epoch, score: epochs.append((epoch, score)))
    assert epochs == [(1, found.score)] and found.total == len(parts[0].judged) == 8 and found.score > 0.5


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no trials": ({"trials": 0}, "--trials takes an integer from 1"),
    "no time": ({"budget": "soon"}, "--budget takes a time such as 90s"),
    "another method": ({"method": "gird"}, "unknown method 'gird'; did you mean 'grid'"),
    "another pruner": ({"pruner": "median"}, "unknown pruner 'median'"),
    "one fold": ({"folds": 1}, "--folds takes an integer from 2"),
    "folds of a run": ({"recipe": {**FAST, "data.folds": 3}}, "for a search, give --folds K"),
    "range test": (
        {"recipe": {**FAST, "optimizer.lr": "auto"}, "space": {"train.batch": [8, 16]}}, "search it, or set it",
    ),
    "epoch by held-out images": ({"recipe": {**FAST, "train.patience": 2}}, "would choose the epoch by the held-out"),
    "pruned heads": ({"recipe": {}, "strategy": "features", "pruner": "halving", "space": None}, "features has none"),
    "space of another strategy": ({"space": {"head.kind": ["svm"]}}, "not used by the strategy scratch"),
    "network that is none": ({"space": {"net.name": ["lenet55"]}}, "unknown net 'lenet55'"),
    "head that votes": (
        {"recipe": {}, "strategy": "finetune", "space": {"head.kind": ["svm", "knn"]}}, "knn: .*needs a linear head",
    ),
    "set head that votes": ({"recipe": {"head.kind": "tree"}, "strategy": "finetune", "space": None}, "a linear head"),
    "missing space": ({"space": "none.toml"}, "cannot read the space 'none.toml'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_line_before_any_work(name: str, drawn: Path, tmp_path: Path) -> None:
    given, words = WRONG[name]
    with pytest.raises(RequestError) as caught:
        striate.tune(drawn, out=tmp_path / "t", **{"space": RATES, "recipe": FAST, **given})
    assert re.search(words, str(caught.value)) and "\n" not in str(caught.value)
    assert not (tmp_path / "t").exists()


def test_a_refused_search_leaves_no_folder(drawn: Path, tmp_path: Path) -> None:
    few = blocks(tmp_path / "few", {"low": 3, "high": 3})
    with pytest.raises(RequestError, match="too few groups of images that belong together for 20 folds"):
        striate.tune(few, out=tmp_path / "t", space=RATES, recipe=FAST, folds=20)
    with pytest.raises(RequestError, match="cannot open the storage"):
        striate.tune(drawn, out=tmp_path / "t", space=RATES, recipe=FAST, storage=f"sqlite:////{tmp_path}/none/x.db")
    assert not (tmp_path / "t").exists()


def test_folders_that_are_no_search_are_refused(drawn: Path, tmp_path: Path, cli: Any) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for words, message in (
        (("tune", "--resume", tmp_path / "full"), "is not a search to resume"),
        (("tune", drawn, "--net", "lenet5_plain", "--strategy", "scratch", "--out", tmp_path / "full"), "is in use"),
        (("tune",), "tune needs DATA"),
        (("tune", drawn, "--resume", tmp_path / "full"), "goes on as the search was started"),
    ):
        code, _, err = cli(*words)
        assert code == 2 and message in err and err.count("\n") == 1
