"""evaluate and predict --views: the mean over an image and its mirror image, and over several sizes, by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from drawings import strict_json
from scenes import scene

import striate
from striate.inference.ood import OODDetector
from striate.inference.predictor import Predictor
from striate.model import read, write


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Path]]:
    """A run of a network that takes any size, with an OOD detector; its data; the held-out images in order."""
    root = tmp_path_factory.mktemp("views")
    for number in range(60):
        folder = root / "data" / ("val" if number >= 36 else "train") / ("discs", "bars")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        scene(number % 2, number, (60, 44)).save(folder / f"{number:02d}.png")
    changes = {"strategy": "scratch", "net.name": "resnet8", "train.epochs": 3, "train.batch": 8}
    recipe = striate.Recipe().updated({**changes, "inference.engine": "torch"})
    run = striate.train(root / "data", out=root / "run", recipe=recipe).folder
    model = read(run / "model.safetensors")
    embeddings = np.random.default_rng(0).random((30, model.tensors["head.weight"].shape[1]), np.float32)
    write(run / "model.safetensors", dataclasses.replace(model, extras=OODDetector.fit(embeddings).extras()))
    return run, root / "data", sorted((root / "data" / "val").rglob("*.png"))


def by_hand(run: Path, files: list[Path], views: str) -> np.ndarray:
    predictor = striate.load(run, engine="torch")
    assert isinstance(predictor, Predictor)
    crops = np.stack([predictor.crop(file, file.name) for file in files])
    plain = predictor.predictions(crops)
    if views == "flip":
        return (plain + predictor.predictions(crops[:, :, ::-1])) / 2
    rows = [plain]
    for side in (27, 37):  # 6/7 and 8/7 of 32
        pixels = dataclasses.replace(predictor.view, height=side, width=side)
        other = Predictor(dataclasses.replace(predictor.model, pixels=pixels), engine="torch")
        rows.append(other.predictions(np.stack([other.crop(file, file.name) for file in files])))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize(("views", "engine"), [("flip", "torch"), ("scales", "torch"), ("scales", "openvino")])
def test_evaluate_averages_and_tells_the_gain(case: tuple[Path, Path, list[Path]], views: str, engine: str) -> None:
    run, data, files = case
    expected = by_hand(run, files, views)
    done, plain = (striate.evaluate(run, data, views=how, engine=engine) for how in (views, ""))
    assert np.allclose(done.evaluation.predictions, expected, atol=1e-4)
    assert not np.allclose(plain.evaluation.predictions, expected, atol=1e-3)
    assert done.plain is not None and done.gain is not None and plain.gain is None
    assert np.allclose(done.plain.predictions, plain.evaluation.predictions, atol=1e-6)
    assert done.gain.value == pytest.approx(done.evaluation.score - plain.evaluation.score)
    assert done.gain.low <= done.gain.value <= done.gain.high


@pytest.mark.parametrize("views", ["flip", "ten-crop", "scales"])
def test_predict_averages_and_asks_the_detector_about_the_plain_view(
    case: tuple[Path, Path, list[Path]], views: str, cli
) -> None:
    run, data, files = case
    code, out, err = cli("predict", run, *files[:4], "--views", views, "--engine", "torch", "--json")
    assert code == 0, err
    rows = strict_json(out)["predictions"]
    found = [list(row["probabilities"].values()) for row in rows]
    evaluated = striate.evaluate(run, data, views=views, engine="torch").evaluation.predictions
    assert np.allclose(found, evaluated[:4], atol=1e-5)
    plain = striate.load(run, engine="torch").predict(files[:4])
    assert [row["distance"] for row in rows] == pytest.approx([one.distance for one in plain], abs=1e-5)
    assert [row["in_distribution"] for row in rows] == [one.in_distribution for one in plain]


def test_an_ensemble_is_averaged_over_views_too(case: tuple[Path, Path, list[Path]], tmp_path: Path, cli) -> None:
    run, data, files = case
    other = tmp_path / "other.safetensors"
    model = read(run / "model.safetensors")
    tensors = {name: array * 0.5 if model.in_head(name) else array for name, array in model.tensors.items()}
    write(other, dataclasses.replace(model, tensors=tensors))
    striate.ensemble([run, other], tmp_path / "both.safetensors", engine="torch")
    expected = (by_hand(run, files, "flip") + by_hand(other, files, "flip")) / 2
    done = striate.evaluate(tmp_path / "both.safetensors", data, views="flip", engine="torch")
    assert np.allclose(done.evaluation.predictions, expected, atol=1e-5)
    code, said, err = cli("evaluate", tmp_path / "both.safetensors", data, "--views", "flip", "--engine", "torch")
    assert code == 0 and "averaged over flip: " in said and "against the plain view's" in said, err


def test_what_cannot_be_is_refused_in_one_line(case: tuple[Path, Path, list[Path]], tmp_path: Path, cli) -> None:
    run, data, files = case
    recipe = striate.Recipe().updated(
        {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": 1, "inference.engine": "torch"}
    )
    fixed = striate.train(data, out=tmp_path / "fixed", recipe=recipe).folder
    for verb, what in (("evaluate", data), ("predict", files[0])):
        code, _, err = cli(verb, fixed, what, "--views", "scales")
        assert code == 2 and err.count("\n") == 1, err
        assert "lenet5_plain takes images of 32 x 32 pixels only" in err and "flip, ten-crop" in err
    code, _, err = cli("evaluate", run, data, "--views", "flop")
    assert code == 2 and "did you mean 'flip'" in err
    with pytest.raises(striate.RequestError, match="unknown views 'flop'"):
        striate.evaluate(run, data, views="flop")
    with pytest.raises(striate.RequestError, match="unknown views 'flop'"):
        striate.predict(run, [files[0]], views="flop")
