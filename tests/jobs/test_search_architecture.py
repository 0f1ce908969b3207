"""Architecture search and compound scaling through their doors, on tiny drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import RequestError, load, scale, search_architecture, show, train
from striate.anatomy.compound_scaling import PUBLISHED
from striate.jobs.found_architecture import FoundArchitecture
from striate.jobs.search_architecture import nearest_net
from striate.nets.catalog import entry
from striate.nets.net_file import net_of_file
from striate.tuning.scaling import grid
from striate.weights.models import net_keys


def drawings(count: int = 96, side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Grey squares with a bright left or right half, noisy."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % 2
    images = generator.integers(0, 160, (count, side, side), dtype=np.uint8)
    for image, target in zip(images, targets, strict=True):
        image[:, target * side // 2 : (target + 1) * side // 2] += 90
    return images, targets


SMALL: dict[str, Any] = {
    "trials": 3, "channels": 8, "images": 40, "epochs": 1, "final_epochs": 1, "baseline": "lenet5_plain",
    "vary": ("kernel", "layers"),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "drawn.npz"
    images, targets = drawings()
    np.savez(path, images=images, labels=targets)
    return path


@pytest.fixture(scope="module")
def searched(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> FoundArchitecture:
    return search_architecture(drawn, out=tmp_path_factory.mktemp("search") / "out", **SMALL)


def test_a_search_finds_a_network_that_is_trained_and_compared(searched: FoundArchitecture) -> None:
    assert [(study.sampler, len(study.trials)) for study in searched.studies] == [("evolution", 3), ("random", 3)]
    best = searched.best
    assert best.reward == max(trial.reward for trial in searched.studies[0].trials)
    assert best.reward == pytest.approx(best.accuracy * (best.madds / searched.objective.target) ** -0.07)
    names = [one.name for one in searched.finalists]
    assert names[0] == "found" and names[-1] == "baseline"
    held_out = {one.run.held_out for one in searched.finalists}
    assert len(held_out) == 1 and "" not in held_out
    assert json.loads((searched.folder / "search-result.json").read_text()) == json.loads(
        json.dumps(searched.as_dict())
    )


def test_the_held_out_images_are_not_searched_on(searched: FoundArchitecture) -> None:
    train_part = 96 - searched.finalists[0].run.images
    used = searched.settings["training"] + searched.settings["validation"]
    assert searched.settings["training"] <= 40 and used <= train_part


def test_the_report_has_the_search_with_its_figures(searched: FoundArchitecture) -> None:
    page = (searched.folder / "report.html").read_text()
    for said in ("Controller", "regularised evolution", "Sampled network", "Trainer", "Reward", "Pareto front",
                 "random", "MBConv", f"{searched.best.reward:.3f}", "lenet5_plain", "held-out"):  # fmt: skip
        assert said in page, said


def test_the_model_opens_without_other_files_and_the_net_file_names_it(searched: FoundArchitecture) -> None:
    predictor = load(searched.folder / "found")
    assert dict(predictor.net.options["options"]) == dict(searched.options)  # type: ignore[call-overload]
    images, targets = drawings(8)
    colour = [np.repeat(image[:, :, None], 3, 2) for image in images]
    assert len(predictor.predict(colour)) == len(targets)
    file = str(searched.folder / "found.toml")
    assert (net_of_file(file).name, net_of_file(file).options) == ("searched_mobile", dict(searched.options))
    shown = show(file, classes=2)
    assert shown["parameters"] == searched.best.parameters and shown["madds"] == searched.best.madds
    assert shown["table"].split() == str(searched.options["table"]).split()


def test_tune_is_the_door_of_the_command_line(searched: FoundArchitecture, drawn: Path, cli) -> None:
    options = ("--trials", 3, "--channels", 8, "--images", 40, "--epochs", 1, "--final-epochs", 1)
    known = (*options, "--baseline", "lenet5_plain", "--vary", "kernel", "layers")
    code, out, _ = cli(
        "tune", drawn, "--architecture", *known, "--out", searched.folder, "--json"
    )  # all is done already
    assert code == 0 and json.loads(out) == json.loads(json.dumps(searched.as_dict()))
    code, out, _ = cli("tune", drawn, "--architecture", *known, "--out", searched.folder)
    assert code == 0 and "evolution: 3 trials" in out and "MBConv" in out and "found.toml" in out
    code, _, err = cli("tune", "--resume", searched.folder)
    assert code == 2 and "its command again goes on with it" in err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, drawn: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("striate.tuning.architecture.trial.Judge.__call__", stopped)
    code, _, err = cli("tune", drawn, "--architecture", "--channels", 8, "--images", 40, "--out", tmp_path / "s")
    assert code == 130 and err.rstrip().endswith(f"go on with: the same command and --out {tmp_path / 's'}")


def test_a_search_called_again_continues_and_may_be_extended(searched: FoundArchitecture, drawn: Path) -> None:
    folder = searched.folder
    before = (folder / "trials-evolution.jsonl").read_text()
    again = search_architecture(drawn, out=folder, **{**SMALL, "trials": 4})
    assert again.studies[0].trials[:3] == searched.studies[0].trials
    assert (folder / "trials-evolution.jsonl").read_text().startswith(before)
    with pytest.raises(RequestError, match="was started with seed = 0, not 1"):
        search_architecture(drawn, out=folder, seed=1, **SMALL)


def test_a_net_file_trains(searched: FoundArchitecture, tmp_path: Path, cli) -> None:
    file = searched.folder / "found.toml"
    recipe = {"strategy": "scratch", "train.epochs": 1}
    run = train(drawings(), net=str(file), out=tmp_path / "run", recipe=recipe)
    assert run.model.net == "searched_mobile" and run.model.options["options"] == dict(searched.options)
    code, out, _ = cli("show", file)
    assert code == 0 and "MBConv" in out
    code, _, err = cli("show", tmp_path / "run" / "nothing.toml")
    assert code == 2 and "nothing.toml" in err and len(err.splitlines()) == 1
    assert net_keys(str(searched.folder)) == net_keys(str(file))  # a folder stands for what is in it
    assert net_keys(str(tmp_path / "run")) == {"net.name": str(tmp_path / "run" / "model.safetensors")}
    code, _, err = cli("train", "digits", "--net", tmp_path / "run", "--strategy", "scratch")
    assert code == 2 and "give the recipe.toml of its run as the net" in err
    code, _, err = cli("tune", "digits", "--net", tmp_path)
    assert code == 2 and "has no model.safetensors, as a run has, and no found.toml" in err
    (tmp_path / "table.toml").write_text('[net]\nname = "searched_mobile"\n[net.options]\ntable = "nonsense"\n')
    code, _, err = cli("train", tmp_path / "no data", "--net", tmp_path / "table.toml")
    assert code == 2 and "nonsense" in err and "no data" not in err  # refused before the data are opened
    (tmp_path / "bad.toml").write_text("seed = 1\n")
    code, _, err = cli("train", "digits", "--net", tmp_path / "bad.toml")
    assert code == 2 and "names no network" in err


WRONG = [
    (("tune", "digits", "--architecture", "--trials", 0), "a search needs 1 trial at least, not 0"),
    (("tune", "digits", "--architecture", "--space", "mobil"), "unknown space 'mobil'; did you mean 'mobile'?"),
    (("tune", "digits", "--architecture", "--cost", "flops"), "unknown cost 'flops'"),
    (("tune", "digits", "--architecture", "--baseline", "lenet6"), "unknown net 'lenet6'; did you mean 'lenet5"),
    (("tune", "digits", "--architecture", "--method", "randon"), "unknown method 'randon'; did you mean 'random'?"),
    (("tune", "digits", "--architecture", "--folds", 3), "--folds: only of the search for a recipe"),
    (("tune", "digits", "--final-epochs", 3), "--final-epochs: only of the search for an architecture: add --arch"),
    (("tune", "--architecture"), "tune --architecture needs DATA"),
    (("scale", "lenet5"), "lenet5 has no options width and depth"),
    (("scale", "efficientnet_b0", "--phi", 99), "phi is from 0 to 10"),
    (("scale", "efficientnet_b0", "--constants", 0.5, 1, 1), "are 1 at least"),
    (("scale", "efficientnet_tiny", "--constants", "1e308", 2, 2), "4 at most, not 0 and 1e+308, 2, 2"),
    (("scale", "efficientnet_tiny", "--constants", "nan", 1, 1), "are 1 at least"),
    (("scale", "efficientnet_tiny", "--grid", "--data", "digits", "--images", 0), "1 training image at least, not 0"),
    (("scale", "efficientnet_tiny", "--grid"), "give both or neither"),
]


@pytest.mark.parametrize(("line", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_search_is_one_line(line: tuple[object, ...], words: str, cli) -> None:
    code, out, err = cli(*line)
    assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1


def test_a_folder_of_something_else_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="is in use, and not by a search"):
        search_architecture(drawings(), out=tmp_path, **SMALL)


def test_the_baseline_is_of_about_the_cost() -> None:
    assert entry(nearest_net(2_000_000, 32)).input_size[0] <= 64
    assert nearest_net(entry("resnet20").madds, 32) == "resnet20"


def test_scaling_prints_the_formula_beside_what_is_published(cli) -> None:
    code, out, _ = cli("scale", "efficientnet_b0", "--phi", 0, 1)
    assert code == 0 and "= 1.920" in out
    rows = [line.split() for line in out.splitlines()]
    b1 = entry("efficientnet_b1")
    assert ["B1", "1.1", "1.0", "240", f"{b1.parameters:,}", f"{b1.madds:,}"] in rows
    one = next(row for row in rows if row[:4] == ["1", "1.200", "1.100", "258"])
    assert int(one[5].replace(",", "")) > 2 * entry("efficientnet_b0").madds
    found = scale("efficientnet_tiny", phi=1, constants=(1, 1, 2**0.5))
    assert found.published == () and found.scaled[0].width == 0.25


def test_the_grid_holds_the_published_constants() -> None:
    constants = grid(200)
    assert PUBLISHED in constants and PUBLISHED.product == pytest.approx(1.920, abs=5e-4)
    assert all(min(one) >= 1 and abs(one.product - 2) <= 0.1 for one in constants) and len(constants) > 30
    assert grid(1) == [PUBLISHED] and len(grid(6)) <= 6


def test_the_grid_search_trains_and_scores_each_scaled_network(cli) -> None:
    found = scale("searched_mobile_tiny", data=drawings(side=16), trials=3, images=40, epochs=1)
    base, *rows = found.grid
    assert base.constants is None and len(rows) == 3
    for row in rows:
        assert row.constants and row.scaled.resolution == round(32 * row.constants.resolution)
        assert row.scaled.madds > base.scaled.madds and 0 <= row.interval[0] <= row.accuracy <= row.interval[1] <= 1
    assert found.best and found.constants == found.best.constants
    assert found.best.accuracy == max(row.accuracy for row in rows)
    with pytest.raises(RequestError, match="give neither phi nor constants with data"):
        scale("searched_mobile_tiny", data=drawings(), phi=1)
