"""Exports to the files of other frameworks, judged by their own runtimes where these can be installed beside us."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.interop.aten import graph_of
from striate.interop.tflite import tflite
from striate.interop.tflite_export import opened
from striate.jobs.export import export
from striate.jobs.load import load
from striate.jobs.run import Run
from striate.jobs.train import train
from striate.nets import catalog
from striate.nets.build import create

Interpreter: Any = pytest.importorskip("ai_edge_litert.interpreter").Interpreter


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A grey net of a few steps, on images of its own size."""
    folder = tmp_path_factory.mktemp("digits")
    generator = np.random.default_rng(1)
    images = np.where(np.arange(120)[:, None, None] % 2, 200, 30) + generator.integers(0, 50, (120, 28, 28))
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=np.arange(120) % 2)
    return train(folder / "data.npz", out=folder / "run", net="lenet5_plain", epochs=2)


def run_tflite(path: Path, images: NDArray[Any]) -> tuple[NDArray[np.float32], Counter[str]]:
    """The file's answers from TensorFlow Lite's runtime for images [N, H, W, C], and its operators."""
    interpreter = Interpreter(model_path=str(path))
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result, Counter(one["op_name"] for one in interpreter._get_ops_details())


def crops(run: Run, count: int) -> NDArray[np.uint8]:
    pixels = run.model.pixels
    return np.random.default_rng(0).integers(0, 256, (count, *pixels.shape), np.uint8)


def predicted(run: Run, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return load(run.folder).predictions(images)


@pytest.mark.parametrize("count", [1, 8])
def test_a_tflite_file_predicts_like_predict(digits: Run, tmp_path: Path, count: int) -> None:
    done = export(digits.folder, to="tflite", out=tmp_path / "m.tflite")
    assert done.images >= 100 and done.agreement >= 0.995 and done.difference <= 0.02
    images = crops(digits, count)
    found, operators = run_tflite(done.path, images)
    assert np.abs(found - predicted(digits, images)).max() <= 1e-4
    assert np.abs(opened(done.path)(images) - found).max() <= 1e-4  # OpenVINO opens it, too
    assert operators["SOFTMAX"] == 1 and not operators["TRANSPOSE"]
    assert any("Pillow" in note for note in done.notes)


# Between them: padding that is not SAME, LRN, branches, groups, a shuffle, maxout, squeeze-and-excitation, SELU.
@pytest.mark.parametrize(
    "name", ["alexnet_tiny", "resnet_tiny", "maxout_tiny", "resnext_tiny", "se_resnet_tiny", "snn_tiny"]
)
def test_tflite_computes_what_the_net_does(name: str, tmp_path: Path) -> None:
    check_tflite(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in catalog.entries(tiny=True, kind="classifier") if entry.tiny])
def test_tflite_computes_what_every_tiny_net_does(name: str, tmp_path: Path) -> None:
    check_tflite(name, tmp_path)


def check_tflite(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    net = create(name).eval()
    images = torch.randn(3, net.in_channels, *catalog.entry(name).input_size)
    (folder / "m.tflite").write_bytes(tflite(graph_of(net, images.shape[1:]), "logits", {}))
    with torch.no_grad():
        expected = net(images).numpy()
    turned = np.ascontiguousarray(images.numpy().transpose(0, 2, 3, 1))
    found, operators = run_tflite(folder / "m.tflite", turned)
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    assert np.abs(opened(folder / "m.tflite")(turned) - found).max() <= 1e-5 * max(1, np.abs(expected).max())
    assert not operators["TRANSPOSE"]


def test_what_a_format_cannot_hold_is_named(digits: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="int8 is exported to onnx or openvino, not to tflite"):
        export(digits.folder, to="tflite", precision="int8")
    with pytest.raises(RequestError, match=r"ending in \.tflite, not .*m\.onnx"):
        export(digits.folder, to="tflite", out=tmp_path / "m.onnx")
    with pytest.raises(RequestError, match="TensorFlow Lite has no operator for conv_transpose"):
        tflite(graph_of(torch.nn.ConvTranspose2d(1, 1, 2), (1, 4, 4)), "logits", {})
