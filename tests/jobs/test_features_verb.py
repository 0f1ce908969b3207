"""The job and the verb: features of a network in a file, from the cache that training uses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.data.sources.files import FileSource
from striate.errors import RequestError
from striate.jobs.run import Run


def test_the_file_opens_without_pickle_and_holds_what_training_trained_on(
    trained: Run, photos: Path, tmp_path: Path, cli
) -> None:
    code, out, _ = cli("features", photos, "--out", tmp_path / "f.npz", "--engine", "openvino", "--json")
    told = json.loads(out)
    assert code == 0 and told["images"] == 56 and told["parts"] == {"train": 40, "val": 16}
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    assert found["classes"].tolist() == ["ants", "bees"] and str(found["net"]) == "efficientnet_lite0"
    assert found["features"].dtype == np.float32 and found["features"].shape == (56, told["features"])
    assert found["targets"].tolist() == [int("/bees/" in path) for path in found["paths"].tolist()]
    # The head of the run on these features gives the predictions of the run.
    head = trained.model.tensors
    logits = found["features"] @ head["head.weight"].T + head["head.bias"]
    held_out = found["parts"] == "val"
    expected = trained.evaluation.predictions
    assert np.allclose(trained.model.task.predictions(logits)[held_out], expected, atol=1e-5)


def test_what_training_cached_is_not_decoded_again(trained: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object, **__: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(FileSource, "decode", decoded)
    assert striate.features(photos, engine="openvino").features.shape[0] == 56


def test_a_layer_is_the_stages_map_averaged_over_space(photos: Path, tmp_path: Path) -> None:
    import torch

    found = striate.features(photos, layer="stage3", out=tmp_path / "layer.npz")
    predictor = striate.load("efficientnet_lite0", engine="torch")
    with torch.no_grad():
        maps = predictor.net.maps(predictor.transform([photos / path for path in found.paths[:3]]))
    assert np.allclose(found.features[:3], maps["stage3"].mean(dim=(2, 3)).numpy(), atol=1e-4)
    again = striate.features(photos, layer="stage3")
    assert np.array_equal(again.features, found.features) and found.engine.startswith("torch")
    assert str(np.load(tmp_path / "layer.npz")["layer"]) == "stage3"


def test_a_model_file_is_a_network_too(trained: Run, photos: Path) -> None:
    model = str(trained.folder / "model.safetensors")
    own, published = (striate.features(photos, net=net, engine="openvino") for net in (model, None))
    assert np.array_equal(own.features, published.features)  # its backbone is the published one


def test_requests_that_cannot_be_met(
    photos: Path, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match=r"must end in \.npz or \.parquet"):
        striate.features(photos, out=tmp_path / "f.csv")
    with pytest.raises(RequestError, match="unknown layer of efficientnet_lite0 'stage33'; did you mean 'stage3'"):
        striate.features(photos, layer="stage33")
    with pytest.raises(RequestError, match="engine 'torch'"):
        striate.features(photos, layer="stage3", engine="openvino")
    arrays = tmp_path / "set.npz"
    np.savez(arrays, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]))
    before = arrays.read_bytes()
    with pytest.raises(RequestError, match="is the input, and is not overwritten"):
        striate.features(arrays, out=arrays)
    assert arrays.read_bytes() == before
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError, match=r"pip install 'striate\[parquet\]'"):
        striate.features(photos, out=tmp_path / "f.parquet")


def test_multilabel_and_regression_targets(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (6, 8, 8), dtype=np.uint8)
    values = np.arange(6, dtype=np.float32)
    found = striate.features((images, values))
    assert found.targets.ravel().tolist() == values.tolist() and found.task.kind == "regression"
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])
    found = striate.features((images, labels))
    assert found.targets.tolist() == labels.tolist() and found.task.kind == "multilabel"


def test_parquet_has_a_row_for_each_image(photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    done = striate.features(photos, out=tmp_path / "f.parquet", engine="openvino")
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["path", "part", "target", "class", "features"]
    assert np.array_equal(np.array(table["features"].to_pylist(), np.float32), done.features)
    assert table["class"].to_pylist() == [done.classes[target] for target in done.targets]
    assert json.loads(table.schema.metadata[b"striate.classes"]) == ["ants", "bees"]
