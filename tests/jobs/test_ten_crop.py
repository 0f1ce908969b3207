"""evaluate --views ten-crop: the mean of the answers to ten views of each image, recomputed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import csv_manifest, strict_json
from PIL import Image
from scenes import scene

from striate import Recipe, evaluate, load, train
from striate.data.augment.crops import ten_crops
from striate.jobs.run import Run


@pytest.fixture(scope="module", params=["classification", "regression"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, list[Path]]:
    """A run, its data, and the held-out images in order."""
    root = tmp_path_factory.mktemp("ten")
    rows, held = [], []
    for number in range(44):
        path = root / f"{number:02d}.jpg"
        scene(number % 2, number, ((60, 44), (40, 52), (48, 48))[number % 3]).save(path, quality=95)
        part = "val" if number >= 32 else "train"
        held += [path] if part == "val" else []
        target = ("discs", "bars")[number % 2] if request.param == "classification" else number % 2 + number / 50
        rows.append((path.name, target, part))
    data = csv_manifest(
        root / "all.csv", ("path", "label" if request.param == "classification" else "number", "split"), rows
    )
    recipe = Recipe().updated(
        {
            "strategy": "scratch",
            "net.name": "lenet5_plain",
            "train.epochs": 4,
            "train.batch": 8,
            "inference.engine": "torch",
        }
    )
    return train(data, out=root / "run", recipe=recipe), data, held


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_it_is_the_mean_over_ten_views(case: tuple[Run, Path, list[Path]], engine: str) -> None:
    run, data, held = case
    predictor = load(run.folder, engine=engine)
    pixels = predictor.model.pixels
    expected = []
    for path in held:
        views = ten_crops(Image.open(path).convert("RGB"), pixels)
        assert views.shape == (10, 32, 32, 1)
        expected.append(np.stack([predictor.predictions(view[None])[0] for view in views]).mean(axis=0))
    done = evaluate(run.folder, data, views="ten-crop", engine=engine).evaluation
    assert (done.part, done.total) == ("val", 12)
    assert np.allclose(done.predictions, expected, rtol=1e-4, atol=1e-5)
    plain = evaluate(run.folder, data, engine=engine).evaluation
    assert np.array_equal(plain.targets, done.targets)
    assert not np.allclose(plain.predictions, done.predictions, atol=1e-3)
    if run.model.task.kind == "classification":
        assert np.allclose(done.predictions.sum(axis=1), 1, atol=1e-5)


def test_the_flag(case: tuple[Run, Path, list[Path]], cli) -> None:  # type: ignore[no-untyped-def]
    run, data, _ = case
    code, out, err = cli("evaluate", run.folder, data, "--views", "ten-crop", "--json")
    assert code == 0, err
    told, done = strict_json(out), evaluate(run.folder, data, views="ten-crop")
    key = run.model.task.metric.key
    assert told[key] == pytest.approx(done.evaluation.score, rel=1e-5)
    assert told["total"] == 12
