"""Exports to the files of other frameworks, judged by their own runtimes where these can be installed beside us."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from striate.errors import RequestError
from striate.interop.aten import graph_of
from striate.interop.caffe_export import caffe_files
from striate.interop.graph import Graph
from striate.interop.graph_net import GraphNet
from striate.interop.keras_export import keras_file
from striate.interop.keras_layers import KerasLayers
from striate.interop.mxnet_export import mxnet_files
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of as rows_of
from striate.interop.savedmodel_export import saved_model
from striate.interop.tflite import tflite
from striate.interop.tflite_export import opened
from striate.interop.written import read_back
from striate.jobs.export import SUFFIXES, export
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
    images = np.where(np.arange(900)[:, None, None] % 2, 200, 30) + generator.integers(0, 50, (900, 28, 28))
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=np.arange(900) % 2)
    np.savez(folder / "few.npz", images=images[:100].astype(np.uint8), labels=np.arange(100) % 2)
    return train(folder / "data.npz", out=folder / "run", net="lenet5_plain", epochs=1)


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


def test_a_tflite_file_predicts_like_predict(digits: Run, tmp_path: Path) -> None:
    done = export(digits.folder, to="tflite", out=tmp_path / "m.tflite")
    assert done.images >= 100 and done.agreement >= 0.995 and done.difference <= 0.02
    for count in (1, 8):
        images = crops(digits, count)
        found, operators = run_tflite(done.path, images)
        assert np.abs(found - predicted(digits, images)).max() <= 1e-4
        assert np.abs(opened(done.path)(images) - found).max() <= 1e-4  # OpenVINO opens it, too
        assert operators["SOFTMAX"] == 1 and not operators["TRANSPOSE"]
    assert any("Pillow" in note for note in done.notes)


def test_a_saved_model_predicts_like_predict(digits: Run, tmp_path: Path) -> None:
    done = export(digits.folder, to="savedmodel", out=tmp_path / "m_saved_model")
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.pb")] == [Path("m_saved_model/saved_model.pb")]
    assert done.images >= 100 and done.agreement == 1 and done.difference <= 1e-5
    for count in (1, 8):
        images = crops(digits, count)
        assert np.abs(opened(done.path)(images) - predicted(digits, images)).max() <= 1e-5


def test_tflite_in_int8_is_checked_and_predicts_alike(digits: Run, tmp_path: Path) -> None:
    done = export(digits.folder, to="tflite", precision="int8", out=tmp_path / "m.tflite")
    assert done.int8 is not None and done.int8.passed and done.int8.images >= 500 and done.int8.agreement >= 0.98
    assert done.notes[0].startswith("int8: weights and maps are integers")
    with np.load(digits.folder.parent / "data.npz") as data:
        images = np.stack([digits.model.pixels.apply(Image.fromarray(one)) for one in data["images"][:64]])
    found, operators = run_tflite(done.path, images)
    assert (found.argmax(1) == predicted(digits, images).argmax(1)).mean() >= 0.98
    assert operators["QUANTIZE"] == operators["DEQUANTIZE"] == 1  # once in, once out
    interpreter = Interpreter(model_path=str(done.path))
    kinds = Counter(np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details())
    assert kinds["int8"] > kinds["float32"]
    assert (
        done.path.stat().st_size
        < 0.4 * export(digits.folder, to="tflite", out=tmp_path / "f.tflite").path.stat().st_size
    )


def test_where_int8_predicts_otherwise_weights_alone_are_in_int8(
    digits: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ranges in which no map has its values.
    narrow = {"typical": lambda extremes: dict.fromkeys(extremes[0], (-1e-3, 1e-3))}
    monkeypatch.setattr("striate.interop.tflite_export.typical", narrow["typical"])
    done = export(digits.folder, to="tflite", precision="int8", out=tmp_path / "m.tflite")
    assert done.notes[0].startswith("dynamic int8: weights are integers")
    assert done.notes[1].startswith("int8 was refused: accuracy") and done.int8 is not None and done.int8.passed
    images = crops(digits, 8)
    assert np.abs(run_tflite(done.path, images)[0] - predicted(digits, images)).max() < 0.1


def test_int8_for_tflite_wants_500_labelled_images_beside_those_that_calibrate(digits: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="500 labelled images or more, beside those that calibrate, and there are"):
        few = digits.folder.parent / "few.npz"
        export(digits.folder, to="tflite", precision="int8", images=few, out=tmp_path / "m.tflite")
    assert not [*tmp_path.iterdir()]


# Between them: padding that is not SAME, LRN, residuals, maxout, SELU.
@pytest.mark.parametrize("name", ["alexnet_tiny", "resnet_tiny", "maxout_tiny", "snn_tiny"])
def test_files_of_tensorflow_compute_what_the_net_does(name: str, tmp_path: Path) -> None:
    check_tensorflow(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in catalog.entries(tiny=True, kind="classifier") if entry.tiny])
def test_files_of_tensorflow_compute_what_every_tiny_net_does(name: str, tmp_path: Path) -> None:
    check_tensorflow(name, tmp_path)


def check_tensorflow(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    net = create(name).eval()
    images = torch.randn(3, net.in_channels, *catalog.entry(name).input_size)
    graph = graph_of(net, images.shape[1:])
    (folder / "m.tflite").write_bytes(tflite(graph, "logits", {}))
    (folder / "saved_model.pb").write_bytes(saved_model(graph, "logits"))
    with torch.no_grad():
        expected = net(images).numpy()
    turned = np.ascontiguousarray(images.numpy().transpose(0, 2, 3, 1))
    found, operators = run_tflite(folder / "m.tflite", turned)
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    for path in (folder / "m.tflite", folder):
        assert np.abs(opened(path)(turned) - found).max() <= 1e-5 * max(1, np.abs(expected).max())
    assert not operators["TRANSPOSE"]


ENDINGS = {"keras": [".keras"], "caffe": [".caffemodel", ".prototxt"], "mxnet": ["-0000.params", "-symbol.json"],
           "tfjs": [".bin", ".json"]}  # fmt: skip


@pytest.mark.parametrize("to", ENDINGS)
def test_an_export_is_read_back_and_predicts_like_predict(digits: Run, tmp_path: Path, to: str) -> None:
    done = export(digits.folder, to=to, out=tmp_path / f"m{SUFFIXES[to]}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"m{ending}" for ending in ENDINGS[to]]
    assert done.images >= 100 and done.agreement == 1 and done.difference <= 1e-4
    assert any("softmax are in the file" in note for note in done.notes)  # and the pixels
    beside = {"caffe": tmp_path / "m.caffemodel", "mxnet": tmp_path / "m-0000.params"}.get(to)
    pixels = digits.model.pixels
    graph = rows_of(read_network(done.path, beside, (pixels.channels, pixels.height, pixels.width)))
    images = crops(digits, 3)
    assert np.abs(read_back(digits.model, graph)(images) - predicted(digits, images)).max() <= 1e-4


# Between them: batch normalisation, residuals, concatenation, depthwise convolutions, LRN.
@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("keras", "searched_mobile_tiny"),
        ("caffe", "table_net_tiny"),
        ("caffe", "alexnet_tiny"),
        ("mxnet", "densenet_tiny"),
        ("mxnet", "snn_tiny"),
    ],
)
def test_what_is_read_back_computes_what_the_net_does(to: str, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = create(name).eval()
    images = torch.randn(2, net.in_channels, *catalog.entry(name).input_size)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    graph, path, beside = graph_of(net, shape), tmp_path / f"m{SUFFIXES[to]}", None
    if to == "keras":
        path.write_bytes(keras_file(KerasLayers(graph), name))
    else:
        text, arrays = caffe_files(graph, name) if to == "caffe" else mxnet_files(graph)
        beside = tmp_path / ("m.caffemodel" if to == "caffe" else "m-0000.params")
        path.write_text(text)
        beside.write_bytes(arrays)
    with torch.no_grad():
        expected, found = net(images), GraphNet(rows_of(read_network(path, beside, shape))).eval()(images)
    assert float((found - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_keras_weights_are_stored_in_the_order_in_which_keras_counts_layers() -> None:
    # As Keras 3.15 counts them: by the longest way to the output, not as the rows come.
    net = create("wrn_tiny").eval()
    content = keras_file(KerasLayers(graph_of(net, (3, 32, 32))), "net")
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        found = [file[f"layers/conv2d_{number}/vars"].attrs["name"] for number in range(3, 9)]
    assert found == [
        "conv3_0_residual_conv1_2", "conv3_0_shortcut", "conv3_0_residual_conv2",
        "conv4_0_residual_conv1_2", "conv4_0_shortcut", "conv4_0_residual_conv2",
    ]  # fmt: skip


REFUSED = [
    ("caffe", nn.MaxPool2d(2), (1, 5, 5), "gives 2 x 2, and Caffe, which rounds up, 3 x 3"),
    ("caffe", nn.AvgPool2d(3, 1, 1, count_include_pad=False), (1, 6, 6), "Caffe counts padding"),
    ("caffe", nn.GELU(), (1, 6, 6), "no layer of Caffe is gelu"),
    ("keras", nn.MaxPool2d(3, 2, 1), (1, 8, 8), "pads a max-pooling with zeros"),
    ("keras", nn.LocalResponseNorm(3), (4, 6, 6), "no layer of Keras is lrn"),
    ("mxnet", nn.AvgPool2d(2, ceil_mode=True), (1, 5, 5), "rounds up divides otherwise"),
    ("tflite", nn.ConvTranspose2d(1, 1, 2), (1, 4, 4), "no operator for conv_transpose"),
]  # fmt: skip
WRITERS: dict[str, Callable[[Graph], object]] = {
    "tflite": lambda graph: tflite(graph, "logits", {}), "keras": KerasLayers, "mxnet": mxnet_files,
    "caffe": lambda graph: caffe_files(graph, "net"),
}  # fmt: skip


@pytest.mark.parametrize(("to", "layer", "shape", "told"), REFUSED, ids=[f"{row[0]}-{row[3][:12]}" for row in REFUSED])
def test_what_a_format_lacks_is_refused_with_its_row(
    to: str, layer: nn.Module, shape: tuple[int, int, int], told: str
) -> None:
    with pytest.raises(RequestError, match=told) as raised:
        WRITERS[to](graph_of(nn.Sequential(layer), shape))
    assert "row 0" in str(raised.value)


def test_what_a_format_cannot_hold_is_named(digits: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="int8 is exported to onnx, openvino or tflite, not to keras"):
        export(digits.folder, to="keras", precision="int8")
    with pytest.raises(RequestError, match=r"ending in \.tflite, not .*m\.onnx"):
        export(digits.folder, to="tflite", out=tmp_path / "m.onnx")
