"""The tiny sibling of every family end to end: trained, saved, loaded, predicting and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from scenes import scene

from striate import Recipe, export, load, train
from striate.inference.runtimes import import_openvino
from striate.model import read, write
from striate.nets import catalog

# One a file; LeNet is small enough to be its own sibling.
TINY = {entry.file: entry.name for entry in reversed(catalog.entries(tiny=True, kind="classifier")) if entry.tiny}
FAMILIES = sorted({**TINY, "lenet": "lenet5"}.items())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of made-up photographs, train/ (2 x 4) and val/ (2 x 2)."""
    root = tmp_path_factory.mktemp("pictures")
    for part, numbers in (("train", range(4)), ("val", range(4, 6))):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in numbers:
                scene(kind, number, (64, 56)).save(root / part / name / f"{number}.png")
    return root


def test_every_file_of_the_catalogue_is_tried() -> None:
    assert {file for file, _ in FAMILIES} == {entry.file for entry in catalog.entries(kind="classifier")}


# Each takes seconds: one file in four is tried here, of those that take less time than the rest; `make test-full` tries
# all of them.
LONG = {
    "densenet", "efficientnet_lite", "googlenet", "highway", "inception_v4", "mobilenet_v1", "mobilenet_v2", "nasnet",
    "resnet_in_resnet", "searched_cells", "shake_shake", "shufflenet", "xception",
}  # fmt: skip
SHARED = [
    pytest.param(*one, marks=[pytest.mark.slow] if place % 4 or one[0] in LONG else [])
    for place, one in enumerate(FAMILIES)
]


@pytest.mark.parametrize(("file", "name"), SHARED)
def test_a_family_end_to_end(file: str, name: str, pictures: Path, tmp_path: Path) -> None:
    recipe = Recipe().updated(
        {
            "net.name": name,
            "strategy": "scratch",
            "inference.engine": "torch",
            "inference.precision": "float32",
            "train.compile": "no",
            "augment": {"preset": "none"},
            "train.epochs": 2,
            "train.batch": 4,
            "optimizer.lr": 0.003,
            "schedule.warmup_epochs": 0.0,
        }
    )
    run = train(pictures, out=tmp_path / "run", recipe=recipe)
    assert (run.model.net, run.predictor.classes) == (name, ("bars", "discs"))

    files = sorted((pictures / "val").rglob("*.png"))
    predicted = np.stack([one.probabilities for one in run.predictor.predict(files)])
    assert predicted.shape == (4, 2)
    assert np.allclose(predicted.sum(axis=1), 1) and np.ptp(predicted) > 0

    again = tmp_path / "again.safetensors"
    write(again, read(run.folder / "model.safetensors"))
    assert np.array_equal(np.stack([one.probabilities for one in load(again).predict(files)]), predicted)

    images = np.stack([np.asarray(Image.open(file)) for file in files])
    assert export(again, to="onnx").images >= 100
    session = onnxruntime.InferenceSession(str(again.with_suffix(".onnx")), providers=["CPUExecutionProvider"])
    assert np.abs(session.run(["probabilities"], {"images": images})[0] - predicted).max() <= 0.02

    assert export(again, to="openvino").images >= 100
    model = import_openvino().Core().compile_model(str(again.with_suffix(".xml")), "CPU")
    assert np.abs(model([images])["probabilities"] - predicted).max() <= 0.02
