"""bfloat16 is used for large folders, and only if it gives float32's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.inference import openvino_engine
from striate.inference.choosing import open_engine
from striate.jobs.train import train
from striate.learning import extraction
from striate.model import Model
from striate.pixels import Images
from striate.recipe import Recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, low in (("bright", 128), ("dark", 0)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            pixels = generator.integers(low, low + 128, (48, 48, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def test_few_images_are_extracted_in_float32(folder: Path, tmp_path: Path) -> None:
    run = train(folder, out=tmp_path / "run")
    assert run.metrics["precision"] == "float32"


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has bfloat16, and folders that are large enough for it. OpenVINO takes the hint anywhere."""
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: True)
    monkeypatch.setattr(extraction, "BFLOAT16_FROM", 10)


def test_many_images_are_extracted_in_bfloat16_after_a_check(folder: Path, tmp_path: Path, bfloat16: None) -> None:
    run = train(folder, out=tmp_path / "run", recipe=Recipe().updated({"inference.engine": "openvino"}))
    assert run.metrics["precision"] == "bfloat16"
    assert run.predictor.precision == "bfloat16"


def test_if_bfloat16_changes_predictions_float32_is_used_and_reported(
    folder: Path, tmp_path: Path, bfloat16: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    images: list[int] = []

    class Coarse:
        """An engine whose bfloat16 has lost the features; it counts the images."""

        def __init__(self, model: Model, engine: str, precision: str, *, many: bool) -> None:
            opened.append(precision)
            self.engine, self.precision = open_engine(model, engine, "float32"), precision

        def run(self, crops: Images) -> np.ndarray:
            images.append(len(crops))
            return self.engine.run(crops) * (-1 if self.precision == "bfloat16" else 1)

    monkeypatch.setattr(extraction, "open_engine", Coarse)
    run = train(folder, out=tmp_path / "run", recipe=Recipe().updated({"inference.engine": "openvino"}))
    assert run.metrics["precision"] == "float32"
    assert "float32 was used" in (run.folder / "report.html").read_text("utf-8")
    assert opened == ["float32", "bfloat16", "float32"]
    assert sum(images) == 3 * 16  # the sample twice, and the folder once: never the folder twice
