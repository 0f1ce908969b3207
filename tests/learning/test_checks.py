"""A run with the learning-rate finder and an overfitted batch: what it logs, chooses and reports, and how it
resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawings import Listening, blocks, csv_manifest, draw, sections
from torch import Tensor

from striate import Recipe, WorkError, train
from striate.jobs.run import Run
from striate.learning.checks import FINETUNED_RATE, default_rate
from striate.learning.run_folder import RunFolder

RECIPE = Recipe.from_mapping(
    {
        "strategy": "scratch",
        "net": {"name": "lenet5_plain"},
        "optimizer": {"lr": "auto"},
        "train": {"overfit_batch": 6, "epochs": 3, "batch": 16},
        "inference": {"engine": "torch"},
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("blocks") / "data", {"low": 30, "high": 30, "left": 30})


@pytest.fixture(scope="module")
def progress() -> Listening:
    return Listening()


@pytest.fixture(scope="module")
def run(data: Path, progress: Listening, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(data, out=tmp_path_factory.mktemp("runs") / "checked", recipe=RECIPE, progress=progress)


def events(run: Run, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if line["event"] == event]


def test_each_check_is_logged_in_a_line(run: Run, progress: Listening) -> None:
    found = [line for line in progress.lines if line.startswith(("First loss", "Learning rate", "Overfitted"))]
    assert [line.split()[0] for line in found] == ["First", "Learning", "Overfitted"]
    assert "ln 3 = 1.1" in found[0] and "a batch of 6 images" in found[2]


def test_the_suggested_rate_is_recorded(run: Run) -> None:
    kept = Recipe.from_file(run.folder / "recipe.toml")
    (logged,) = events(run, "checks")
    assert kept.optimizer.lr == run.model.training["optimizer.lr"] == logged["finder"]["rate"] > 0  # type: ignore[index]
    assert run.evaluation.score > 0.9 and run.metrics["remarks"] == []


def test_the_report_plots_the_range_test(run: Run) -> None:
    part = sections((run.folder / "report.html").read_text("utf-8"))["training"]
    assert "Checks before training" in part and "Training loss by learning rate" in part
    assert "Overfitted a batch" in part
    assert part.count("<polyline") >= 3 and 'class="span"' in part and 'class="limit"' in part


def test_a_resumed_run_does_not_check_again(run: Run, data: Path, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.write_text("recipe.toml", (run.folder / "recipe.toml").read_text("utf-8"))
        (logged,) = events(run, "checks")
        folder.log("checks", {key: logged[key] for key in ("lines", "finder")})
        folder._log.write('{"event": "cut sh')
    progress = Listening()
    again = train(resume=tmp_path / "run", progress=progress)
    assert not [line for line in progress.lines if line.startswith(("First loss", "Learning rate", "Overfitted"))]
    assert again.model.training["optimizer.lr"] == run.model.training["optimizer.lr"]
    part = sections((again.folder / "report.html").read_text("utf-8"))["training"]
    assert "Training loss by learning rate" in part
    assert "Overfitted a batch" in part


def test_a_net_that_does_not_train_stops_before_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.training.overfit.STEPS", 3)
    recipe = RECIPE.updated({"optimizer.lr": 1e-9})
    with pytest.raises(WorkError, match=r"not even a batch of 6 images was overfitted.*too low"):
        train(data, out=tmp_path / "run", recipe=recipe)
    assert not (tmp_path / "run").exists()


def test_findings_in_the_curve_are_logged_and_reported(data: Path, tmp_path: Path) -> None:
    progress = Listening()
    recipe = RECIPE.updated({"optimizer.lr": 1e-8, "train.overfit_batch": None})
    run = train(data, out=tmp_path / "run", recipe=recipe, progress=progress)
    assert [line for line in progress.lines if line.startswith("The learning rate is too low: the training loss stay")]
    assert run.metrics["remarks"] == run.as_dict()["remarks"] == ["rate too low"]
    page = sections((run.folder / "report.html").read_text("utf-8"))
    assert "The learning rate is too low" in page["result"] and "The learning rate is too low" in page["training"]


def test_regression_is_checked_in_the_targets_units(tmp_path: Path) -> None:
    drawings = draw(tmp_path / "drawings", 60)
    rows = [(one.path, 1000 * one.side) for one in drawings]
    manifest = csv_manifest(tmp_path / "drawings" / "sides.csv", ["path", "number"], rows)
    progress = Listening()
    recipe = RECIPE.updated({"train.epochs": 3})
    run = train(manifest, out=tmp_path / "run", recipe=recipe, progress=progress)
    assert [line for line in progress.lines if line.startswith("Overfitted a batch of 6 images")]
    assert 0 < run.model.training["optimizer.lr"] < 1


def unlearnable(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss that no step changes."""
    return logits.sum(dim=1) * 0 + 1


def test_without_a_rate_that_trains_the_default_is_used_and_told(data: Path, tmp_path: Path) -> None:
    told = Listening()
    recipe = RECIPE.updated({"train.overfit_batch": None, "train.epochs": 2})
    run = train(data, out=tmp_path / "run", recipe=recipe, loss=unlearnable, progress=told)
    (line,) = [line for line in told.lines if "learning rate" in line]
    default = recipe.optimizer.OWN_LR
    assert line.startswith(f"The default learning rate, {default:g}, is used: no learning rate found: over 200 batches")
    (logged,) = events(run, "checks")
    assert logged["lines"] == [line] and logged["finder"] is None
    assert Recipe.from_file(run.folder / "recipe.toml").optimizer.lr == default
    assert "Training loss by learning rate" not in (run.folder / "report.html").read_text("utf-8")


def test_fine_tuning_has_a_default_of_its_own() -> None:
    assert default_rate(RECIPE) == RECIPE.optimizer.OWN_LR
    assert default_rate(RECIPE.updated({"strategy": "finetune"})) == FINETUNED_RATE < RECIPE.optimizer.OWN_LR


# The loss of LeNet-5, squared distances to its codes, is the noisiest.
@pytest.mark.slow
@pytest.mark.parametrize("net", ["lenet5", "lenet5_plain"])
def test_a_rate_is_found_with_batches_of_one_image(net: str, data: Path, tmp_path: Path) -> None:
    told = Listening()
    recipe = RECIPE.updated({"net.name": net, "train.batch": 1, "train.overfit_batch": None, "train.epochs": 2})
    run = train(data, out=tmp_path / "run", recipe=recipe, progress=told)
    assert [line for line in told.lines if line.startswith("Learning rate 0.0")]
    assert run.evaluation.score > 0.9


@pytest.mark.parametrize("rate", ["auto", "0.01"])
def test_batch_normalisation_of_one_value_is_one_line(rate: str, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    arguments = ["--net", "resnet_tiny", "--strategy", "scratch", "--batch", 1, "--epochs", 1, "--lr", rate]
    code, out, err = cli("train", "digits", "--out", tmp_path / "run", *arguments)
    assert (code, out) == (2, "") and not (tmp_path / "run").exists()
    assert err.splitlines()[-1].startswith("striate: batch normalisation needs more than one value per channel")
    assert "Traceback" not in err
