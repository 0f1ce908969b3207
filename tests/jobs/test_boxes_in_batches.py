"""Boxes of many images: predicted together, as they are alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from application_models import box_model, photograph
from PIL import Image

from striate.jobs import predict_boxes as job
from striate.model import write


def test_images_together_have_the_boxes_they_have_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "m.safetensors", box_model())
    (tmp_path / "images").mkdir()
    for number in range(19):
        Image.fromarray(photograph(number, (60 + 7 * number, 90))).save(tmp_path / "images" / f"{number:02}.png")
    (tmp_path / "images" / "07b.png").write_bytes(b"no image")
    monkeypatch.setattr(job, "HELD", 40_000)  # pixels: some batches end early
    sizes = list[int]()
    real = job.Predictor.predictions

    def counted(self: job.Predictor, crops: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        sizes.append(len(crops))
        return real(self, crops)

    monkeypatch.setattr(job.Predictor, "predictions", counted)
    together = job.predict_boxes(tmp_path / "m.safetensors", [tmp_path / "images"], score=0.3, engine="torch")
    assert sizes == [16, 3] and [Path(path).name for path, _ in together.failed] == ["07b.png"]
    sizes.clear()
    drawn = job.predict_boxes(
        tmp_path / "m.safetensors", [tmp_path / "images"], score=0.3, engine="torch", out=tmp_path / "drawn"
    )
    assert sum(sizes) == 19 and 1 < max(sizes) < 16
    for alone, one in zip(together.images, drawn.images, strict=True):
        assert one.source == alone.source and one.objects and one.picture is not None
        with Image.open(one.picture) as picture:
            assert picture.size == one.size == alone.size
    for at in (0, 11, 18):
        one = together.images[at]
        (alone,) = job.predict_boxes(tmp_path / "m.safetensors", [one.source], score=0.3, engine="torch").images
        assert [found.label for found in alone.objects] == [found.label for found in one.objects]
        np.testing.assert_allclose([a.box for a in alone.objects], [a.box for a in one.objects], atol=0.01)
        np.testing.assert_allclose([a.score for a in alone.objects], [a.score for a in one.objects], atol=1e-4)
