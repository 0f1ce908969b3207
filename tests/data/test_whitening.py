"""Global contrast normalisation and ZCA whitening against NumPy, in the layers and in a training run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scenes import scene

from striate import RequestError, export, load
from striate.data.augment.whitening import contrast_normalised, fit_zca
from striate.model import read, write
from striate.nets.backbone import normalisation
from striate.pixels import Images, Pixels

NOISE = np.random.default_rng(0)
PIXELS = Pixels(4, 4, contrast=55.0)


def correlated(count: int = 400) -> Images:
    """Images [N, 4, 4, 3] whose neighbouring pixels and channels are alike, as a photograph's."""
    coarse = NOISE.normal(size=(count, 3, 3, 1)) + 0.3 * NOISE.normal(size=(count, 3, 3, 3))
    smooth = sum(np.pad(coarse, ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0)), mode="edge") for i in (0, 1) for j in (0, 1))
    return (127 + 20 * smooth + NOISE.normal(size=(count, 4, 4, 3))).clip(0, 255).astype(np.uint8)


def channels_first(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def test_every_image_has_mean_zero_and_the_same_norm_and_one_of_one_colour_is_zero() -> None:
    images = correlated(5)
    images[4] = 200
    x = normalisation(PIXELS)(channels_first(images))
    assert torch.allclose(x.mean((1, 2, 3)), torch.zeros(5), atol=1e-5)
    assert x.flatten(1).norm(dim=1).tolist() == pytest.approx([55] * 4 + [0], rel=1e-5)
    np.testing.assert_allclose(x.flatten(1).numpy(), contrast_normalised(images), atol=1e-4)
    dark = images[:1] // 2
    same = normalisation(PIXELS)(channels_first(np.concatenate([dark, dark + 30])))
    assert torch.allclose(same[0], same[1], atol=1e-4)


def test_whitened_training_images_are_uncorrelated_and_the_layer_is_the_formula() -> None:
    images = correlated()
    fitted = fit_zca(images, epsilon=1e-6)
    x = contrast_normalised(images)
    assert np.abs(np.corrcoef(x.T) - np.eye(48)).max() > 0.8
    covariance = np.cov(x.T, bias=True)
    values, axes = np.linalg.eigh(covariance)
    expected = (x - x.mean(0)) @ (axes @ np.diag(1 / np.sqrt(values.clip(0) + 1e-6)) @ axes.T)
    layer = normalisation(PIXELS, {"zca.weight": fitted.weight, "zca.bias": fitted.bias})
    found = layer(channels_first(images)).flatten(1).numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)
    # One direction has no variance: each image's mean was subtracted.
    assert np.abs(np.cov(found.T, bias=True) - (np.eye(48) - 1 / 48)).max() < 1e-2
    np.testing.assert_allclose(fitted.weight, fitted.weight.T, atol=1e-4)  # zero-phase: no rotation


def test_epsilon_keeps_directions_without_variance_small_and_rows_alone_are_used() -> None:
    images = correlated(60)
    some = np.arange(0, 60, 2)
    by_rows, by_images = fit_zca(images, some), fit_zca(images[some])
    np.testing.assert_array_equal(by_rows.weight, by_images.weight)
    assert np.linalg.eigvalsh(by_rows.weight.astype(float)).max() <= 1 / np.sqrt(0.1) + 1e-3
    assert not np.allclose(by_rows.weight, fit_zca(images).weight, atol=1e-3)


def test_images_whose_matrix_would_be_too_large_are_refused_before_anything_is_read(pictures: Path, cli) -> None:
    with pytest.raises(RequestError, match=r"at most 4,096 values .*3 x 64 x 64 are 12,288: use 'gcn'"):
        fit_zca(np.zeros((2, 64, 64, 3), np.uint8))
    words = ("--net", "squeezenet_tiny", "--strategy", "scratch", "--set", "input.normalise=zca")
    code, _, err = cli("train", pictures, *words, "--out", pictures.parent / "refused")
    assert code == 2 and "at most 4,096 values" in err and not (pictures.parent / "refused").exists()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "small"
    for part, numbers in (("train", range(8)), ("val", range(8, 12))):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in numbers:
                scene(kind, number, (28, 28)).save(root / part / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(pictures: Path, cli) -> Path:
    out = pictures.parent / "run"
    words = [word for key in SETTINGS for word in ("--set", key)]
    code, _, err = cli(
        "train", pictures, "--net", "lenet5_plain", "--strategy", "scratch", "--epochs", 1, "--out", out, *words
    )
    assert code == 0, err
    return out


SETTINGS = ("input.normalise=zca", "inference.engine=torch", "train.compile=no", "train.precision=float32")


def test_a_run_whitens_in_training_prediction_and_exports_alike(run: Path, pictures: Path) -> None:
    predictor = load(run)
    files = sorted((pictures / "val").rglob("*.png"))
    predicted = np.stack([one.probabilities for one in predictor.predict(files)])
    x = predictor.transform(files)
    with torch.no_grad():
        own = predictor.net(x).softmax(1).numpy()
    np.testing.assert_allclose(own, predicted, atol=1e-5)
    trained = predictor.transform(sorted((pictures / "train").rglob("*.png"))).flatten(1)
    assert trained.mean(0).abs().max() < 1e-3  # fitted on the training images, and on them alone
    assert x.flatten(1).mean(0).abs().max() > 1e-2

    saved = run / "model.safetensors"
    export(saved, to="onnx")
    session = onnxruntime.InferenceSession(str(saved.with_suffix(".onnx")), providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    assert np.abs(session.run(["probabilities"], {"images": images})[0] - predicted).max() <= 0.02

    # In bfloat16, as the plugin would subtract the mean, the export is refused: it differed by 0.3.
    assert export(saved, to="openvino").difference <= 0.02


def test_a_model_file_whose_whitening_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    model = read(run / "model.safetensors")
    for extras in ({**model.extras, "zca.bias": np.zeros(3, np.float32)}, {"zca.bias": model.extras["zca.bias"]}):
        write(tmp_path / "broken.safetensors", dataclasses.replace(model, extras=extras))
        with pytest.raises(RequestError, match="its whitening does not fit its pixels"):
            read(tmp_path / "broken.safetensors")


def test_fine_tuning_keeps_the_normalisation_of_the_network(run: Path, pictures: Path, tmp_path: Path, cli) -> None:
    before = read(run / "model.safetensors")
    words = ("--strategy", "finetune", "--epochs", 3, "--set", "inference.engine=torch", "--set", "train.compile=no")
    code, _, err = cli("train", pictures, "--net", run / "model.safetensors", *words, "--out", tmp_path / "tuned")
    assert code == 0, err
    after = read(tmp_path / "tuned" / "model.safetensors")
    assert after.backbone_key != before.backbone_key  # it was trained
    np.testing.assert_array_equal(after.extras["zca.weight"], before.extras["zca.weight"])
    assert after.pixels == before.pixels
