"""bfloat16 is used for large folders, and only if it gives float32's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.inference.openvino_engine import has_bfloat16
from striate.inference.predictor import Predictor
from striate.jobs.train import train
from striate.learning import extraction
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


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_many_images_are_extracted_in_bfloat16_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "BFLOAT16_FROM", 10)
    run = train(folder, out=tmp_path / "run", recipe=Recipe().updated({"inference.engine": "openvino"}))
    assert run.metrics["precision"] == "bfloat16"
    assert run.predictor.precision == "bfloat16"


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_if_bfloat16_changes_predictions_float32_is_used_and_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "BFLOAT16_FROM", 10)
    honest = Predictor.predictions

    def shifted(predictor: Predictor, crops: np.ndarray) -> np.ndarray:
        return honest(predictor, crops)[:, ::-1]  # as if every prediction had flipped

    monkeypatch.setattr(extraction.Predictor, "predictions", shifted)
    run = train(folder, out=tmp_path / "run", recipe=Recipe().updated({"inference.engine": "openvino"}))
    assert run.metrics["precision"] == "float32"
    assert "float32 was used" in (run.folder / "report.html").read_text("utf-8")
