"""The feature cache: keyed by everything that determines a feature, and robust against damage."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from striate.data.sources.folder import open_folder
from striate.learning import extraction
from striate.learning.extraction import FeatureExtractor, extract
from striate.model import Model
from striate.pixels import Images
from striate.progress import Progress
from striate.tasks import Classification
from striate.transfer.features import FeatureCache
from striate.weights.models import published_model


class Counting:
    """An engine that counts what it was given."""

    name, version, precision = "counting", "1", "float32"

    def __init__(self) -> None:
        self.images = 0

    def run(self, images: Images) -> NDArray[np.float32]:
        self.images += len(images)
        return images.reshape(len(images), -1)[:, :4].astype(np.float32)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    opened = published_model("efficientnet_lite0")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red" if name == "a" else "blue").save(root / name / "1.png")
    return root


def test_equal_images_run_once_and_are_read_from_disk(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(folder / "a" / "1.png", folder / "a" / "2.png")
    Image.new("RGB", (8, 8), "green").save(folder / "b" / "2.png")
    source = open_folder(folder)
    engine = Counting()
    monkeypatch.setattr(extraction, "open_engine", lambda *_, many: engine)
    pairs, cache = extract(source, FeatureExtractor(model, "openvino", "float32"), Progress())
    assert len(pairs) == 4 and engine.images == len(cache) == 3
    again = FeatureCache(source, model, "openvino", "float32")
    found = again.matrix(record.digest for _, record in pairs)
    assert np.array_equal(found[0], found[1]) and len(np.unique(found, axis=0)) == 3
    extract(source, FeatureExtractor(model, "openvino", "float32"), Progress())
    assert engine.images == 3


def test_features_are_held_once_in_the_order_of_the_images(model: Model, folder: Path) -> None:
    cache, rows = FeatureCache(open_folder(folder), model, "openvino", "float32"), np.eye(5, 3, dtype=np.float32)
    names = [f"{number:064x}" for number in range(5)]
    for name, row in zip(names, rows, strict=True):  # more than the two images that the folder declares
        cache.add(name, row)
    whole = cache.matrix(names)
    assert np.array_equal(whole, rows) and whole.base is not None and len(cache) == 5
    assert np.array_equal(cache.matrix(names[::-1]), rows[::-1]) and cache.matrix(names[1:3]).base is whole.base
    cache.save(names[:4])
    again = FeatureCache(open_folder(folder), model, "openvino", "float32")
    assert again.matrix(names[:4]).ctypes.data % 4 == 0 and np.array_equal(again.matrix(names[:4]), rows[:4])
    assert names[4] not in again
    again.add(names[4], rows[4])
    assert np.array_equal(again.matrix(names), rows) and np.array_equal(again.matrix(names[4:]), rows[4:])


def test_preprocessing_precision_engine_and_weights_are_in_the_cache_key(model: Model, folder: Path) -> None:
    source = open_folder(folder)
    other_pixels = dataclasses.replace(model, pixels=dataclasses.replace(model.pixels, fraction=1.0))
    name = next(name for name in model.tensors if name.endswith("conv.weight"))
    nudged = dataclasses.replace(model, tensors={**model.tensors, name: model.tensors[name] + 1})
    paths = {
        FeatureCache(source, model, "openvino", "float32").path,
        FeatureCache(source, model, "openvino", "bfloat16").path,
        FeatureCache(source, model, "torch", "float32").path,
        FeatureCache(source, other_pixels, "openvino", "float32").path,
        FeatureCache(source, nudged, "openvino", "float32").path,
    }
    assert len(paths) == 5


def test_the_head_is_not_in_the_cache_key(model: Model, folder: Path) -> None:
    source = open_folder(folder)
    head = {"head.weight": model.tensors["head.weight"][:2], "head.bias": model.tensors["head.bias"][:2]}
    options = {**model.options, "classes": 2}
    two = dataclasses.replace(
        model, task=Classification(("a", "b")), options=options, tensors={**model.tensors, **head}
    )
    first, second = (FeatureCache(source, one, "openvino", "float32") for one in (model, two))
    assert first.path == second.path


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_cache_is_an_empty_one(model: Model, folder: Path, content: bytes) -> None:
    source = open_folder(folder)
    path = FeatureCache(source, model, "openvino", "float32").path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert not len(FeatureCache(source, model, "openvino", "float32"))
