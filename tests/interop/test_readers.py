"""Networks of other frameworks, written here and in real files, give what torch, and they themselves, give."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import foreign_nets as foreign
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.interop.graph_net import GraphNet
from striate.interop.readers.keras_layers import network
from striate.interop.readers.layers import Described
from striate.interop.readers.mxnet import read_params
from striate.interop.readers.named_pixels import named_pixels
from striate.interop.readers.opening import read_network
from striate.interop.readers.ordered import placed, read_arrays
from striate.interop.readers.pickled import arrays_in
from striate.interop.readers.to_graph import graph_of
from striate.interop.readers.torch7_file import read

Array = NDArray[np.float32]


def outputs(found: Described, images: Array, *, swapped: bool = False) -> Array:
    with torch.no_grad():
        made = GraphNet(graph_of(found, swapped=swapped)).eval()(torch.from_numpy(images))
    assert isinstance(made, torch.Tensor)
    return made.numpy()


@pytest.mark.parametrize("kind", foreign.FILES)
def test_every_format_gives_what_torch_gives(kind: str, tmp_path: Path) -> None:
    path, weights = foreign.written(kind, tmp_path)
    found = read_network(path, weights, foreign.SHAPE)
    assert np.abs(outputs(found, foreign.IMAGES) - foreign.expected()).max() < 1e-5
    if kind not in ("torch7", "mxnet"):  # which do not say the size of an image
        assert read_network(path, weights).input == foreign.SHAPE
    else:
        with pytest.raises(RequestError, match="--input"):
            read_network(path, weights)


SAMPLES = {  # framework -> files, the shape of an image where they do not say it, and the outputs of the layers
    "caffe": ("caffe/lenet.prototxt", "caffe/lenet_iter_10000.caffemodel", None, 10),
    "keras-h5": ("keras/gender_mini_XCEPTION.21-0.95.hdf5", None, None, 2),
    "keras": ("keras/mnist_model.keras", None, None, 10),
    "torch7": ("torch7/bumper_model.net", None, (3, 256, 256), 2),
    "mxnet": ("mxnet/lenet-symbol.json", "mxnet/lenet-0001.params", (1, 28, 28), 10),
    "dl4j": ("dl4j/mnist-model.zip", None, None, 10),
    "tfjs": ("tfjs/model.json", None, None, 10),
    "savedmodel": ("savedmodel", None, None, 10),
    "tflite": ("tflite/mnist_model.tflite", None, None, 10),
}


@pytest.fixture(scope="session")
def interop(test_data: Path) -> Path:
    if not (test_data / "interop").is_dir():
        pytest.skip(f"no files of other frameworks: {test_data} has no folder interop")
    return test_data / "interop"


@pytest.mark.parametrize("kind", SAMPLES)
def test_real_files_are_read(kind: str, interop: Path) -> None:
    file, weights, shape, classes = SAMPLES[kind]
    found = read_network(interop / file, weights and interop / weights, shape)
    assert found.outputs == classes


def test_mini_xception_is_what_keras_gives(interop: Path) -> None:
    """Recorded from keras 3.15.1 on its torch backend: softmax of the same images, differing from ours by 3.3e-7."""
    found = read_network(interop / "keras/gender_mini_XCEPTION.21-0.95.hdf5")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 1, 64, 64)).astype(np.float32)
    made = torch.softmax(torch.from_numpy(outputs(found, images)), 1).numpy()
    recorded = [0.37641123, 0.20783053, 0.17727872, 0.25093541, 0.17646594, 0.22491772, 0.11638578, 0.41798067]
    assert np.abs(made[:8, 0] - recorded).max() < 1e-4


@pytest.mark.parametrize("kind", ["savedmodel", "tflite"])
def test_networks_of_tensorflow_are_what_openvino_computes(kind: str, interop: Path) -> None:
    openvino = pytest.importorskip("openvino")
    path = interop / SAMPLES[kind][0]
    found = read_network(path)
    images = np.random.default_rng(0).random((3, *found.input), np.float32)
    made = torch.softmax(torch.from_numpy(outputs(found, images)), 1).numpy()
    core = openvino.Core()
    theirs = core.compile_model(core.read_model(path), "CPU")(images.transpose(0, 2, 3, 1))[0]
    assert np.abs(made - theirs).max() < 1e-5
    with pytest.raises(RequestError, match="int8"):
        read_network(interop / "tflite/mobilenet_v1_0.25_128_quant.tflite")


def test_mtcnn_of_caffe_and_of_mxnet_hold_kernels_with_axes_turned(interop: Path) -> None:
    """A trap: the same network in both formats, with height and width exchanged and the first kernel BGR."""
    from striate.weights.caffemodel import read_caffemodel

    theirs = read_caffemodel((interop / "caffe/det1.caffemodel").read_bytes())
    ours = read_params((interop / "mxnet/det1-0001.params").read_bytes())
    assert np.array_equal(theirs["conv2.weight"].swapaxes(2, 3), ours["arg:conv2_weight"])
    assert np.array_equal(theirs["conv1.weight"].swapaxes(2, 3)[:, ::-1], ours["arg:conv1_weight"])


def keras_net(layers: list[tuple[str, dict[str, Any]]], weights: dict[str, list[Array]], shape: list[int]) -> Described:
    first = ("InputLayer", {"name": "in", "batch_input_shape": [None, *shape]})
    config = [{"class_name": kind, "config": config} for kind, config in [first, *layers]]
    return network({"class_name": "Sequential", "config": {"layers": config}}, weights, 3)


def test_same_padding_is_tensorflows() -> None:
    """TensorFlow pads the odd pixel below and to the right, so that torch's padding of 1 gives other values."""
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 0] = 1
    image = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    last = ("Flatten", {"name": "flat"}), ("Dense", {"name": "fc"})
    eye = {"fc": [np.eye(9, dtype=np.float32)]}
    strided = ("Conv2D", {"name": "c", "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False})
    found = keras_net([strided, *last], {"c": [kernel], **eye}, [6, 6, 1])
    assert outputs(found, image)[0].tolist() == image[0, 0, ::2, ::2].ravel().tolist()
    assert any("SAME" in note for note in found.notes)
    pooled = ("MaxPooling2D", {"name": "p", "pool_size": 3, "strides": 2, "padding": "same"})
    assert (
        outputs(keras_net([pooled, *last], eye, [6, 6, 1]), -image)[0].tolist()
        == (-image[0, 0, ::2, ::2]).ravel().tolist()
    )
    mean = ("AveragePooling2D", {"name": "p", "pool_size": 3, "strides": 2, "padding": "same"})
    assert outputs(keras_net([mean, *last], eye, [6, 6, 1]), image)[0][-1] == image[0, 0, 4:, 4:].mean()


def test_further_layers_of_keras() -> None:
    ones, twos = np.ones(2, np.float32), np.full(2, 2, np.float32)
    layers: list[tuple[str, dict[str, Any]]] = [
        ("Rescaling", {"name": "r", "scale": 2.0, "offset": 1.0}),
        ("SeparableConv2D", {"name": "s", "kernel_size": 1, "use_bias": False}),
        ("BatchNormalization", {"name": "b", "axis": -1, "epsilon": 0.0, "scale": False}),
        ("ReLU", {"name": "six", "max_value": 6.0}),
        ("GlobalAveragePooling2D", {"name": "g"}),
        ("Dense", {"name": "fc", "activation": "sigmoid"}),
    ]
    weights = {
        "s": [np.ones((1, 1, 1, 2), np.float32), np.eye(2, dtype=np.float32)[None, None]],
        "b": [ones, ones, 4 * ones],  # beta, mean, variance
        "fc": [np.ones((2, 1), np.float32), twos[:1]],
    }
    found = keras_net(layers, weights, [2, 2, 1])
    logits = outputs(found, np.array([[[[0, 1], [2, 100]]]], np.float32))[0]
    # 2x + 1, (x - 1) / 2 + 1, at most 6: the mean of 1, 2, 3 and 6 twice, plus 2; and the class "no" beside it.
    assert logits.tolist() == [0, 2 * (1 + 2 + 3 + 6) / 4 + 2]


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (("Lambda", {"name": "l"}), "code"),
        (("Conv3D", {"name": "l"}), "did you mean 'Conv2D'"),
        (("Activation", {"name": "l", "activation": "exotic"}), "exotic"),
        (("Reshape", {"name": "l", "target_shape": [3, 5]}), "reshapes"),
        (("BatchNormalization", {"name": "l", "axis": 2}), "axis"),
        (("Sequential", {"name": "l", "layers": []}), "model by itself"),
    ],
)
def test_layers_that_are_not_known_are_refused_by_name(layer: tuple[str, dict[str, Any]], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        keras_net([layer], {}, [6, 6, 1])


def test_pixels_are_named_and_not_guessed() -> None:
    assert named_pixels("-1..1", (1, 8, 8)).pixels.std == (127.5,)
    caffe = named_pixels("mean=104,117,123 bgr squash", (3, 8, 8))
    assert caffe.blue_first and caffe.pixels.mean == (123, 117, 104) and caffe.pixels.rule == "squash"
    for wrong in ("", "bgr", "0..2", "mean=1,2", "std=x", "std=0"):
        with pytest.raises(RequestError):
            named_pixels(wrong, (3, 8, 8))
    with pytest.raises(RequestError, match="bgr"):
        named_pixels("0..1 bgr", (1, 8, 8))


def test_a_network_of_bgr_takes_rgb() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    for first in ({"padding": "same"}, {"padding": "same", "strides": 2}):
        layers = [
            ("Conv2D", {"name": "c", "kernel_size": 3, "use_bias": False, **first}),
            ("GlobalAveragePooling2D", {"name": "g"}),
        ]
        found = keras_net(layers, {"c": [weight]}, [6, 6, 3])
        image = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
        turned = outputs(found, np.ascontiguousarray(image[:, ::-1]), swapped=True)
        assert np.allclose(turned, outputs(found, image), atol=1e-6)


def test_old_forms_of_torch7_and_mxnet() -> None:
    """One over the deviation, a dropout that scales when evaluated, and the oldest form of an array."""
    writer = foreign.Torch7()
    fields = {"running_mean": np.ones(1, np.float32), "running_std": np.full(1, 0.5, np.float32), "eps": 1e-5}
    modules = [("nn.SpatialBatchNormalization", fields), ("nn.Reshape", {"size": np.array([4], np.int64)}),
               ("nn.Dropout", {"p": 0.25})]  # fmt: skip
    writer.value({"model": ("nn.Sequential", {"modules": dict(enumerate(modules, start=1))})})
    from striate.interop.readers import torch7

    reader = torch7._Reader(torch7.Builder("Torch7", (1, 2, 2)))
    found = reader.builder.finished(reader.module(torch7._module(read(bytes(writer.content))), ("input",), "", 0)[0])
    assert np.allclose(outputs(found, np.full((1, 1, 2, 2), 5, np.float32)), (5 - 1) * 0.5 * 0.75)
    import struct

    content = struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<II", 1, 2) + struct.pack("<iii", 1, 0, 0)
    content += np.array([3, 4], "<f4").tobytes() + struct.pack("<QQ", 1, 3) + b"old"
    assert read_params(content)["old"].tolist() == [3, 4]


def test_weights_of_lasagne_and_theano_go_into_a_named_network(tmp_path: Path) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    ).eval()
    arrays = [foreign.KERNEL[:, :, ::-1, ::-1], foreign.BIAS, foreign.MATRIX.T, foreign.SHIFT]
    np.savez(tmp_path / "w.npz", *arrays)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):  # several in a row, as Theano's tutorials write them
        (tmp_path / "w.pkl").write_bytes(b"".join(pickle.dumps(one, protocol) for one in arrays))
        for name in ("w.npz", "w.pkl"):
            state = placed(read_arrays(tmp_path / name), net, turned=True)
            expected = {"0.weight": foreign.KERNEL, "0.bias": foreign.BIAS, "3.weight": foreign.MATRIX}
            assert all(np.array_equal(state[key], value) for key, value in expected.items())
    with pytest.raises(RequestError, match="array 1 of the file"):
        placed(arrays[1:], net, turned=True)
    with pytest.raises(RequestError, match="takes 4"):
        placed([*arrays, arrays[1]], net, turned=True)


def test_a_pickle_that_names_anything_else_is_not_opened(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harmed",))

    for harm in (Harmful(), print, np.array([None]), {"x": [Harmful()]}):
        with pytest.raises(RequestError, match=r"pickle|object|numbers"):
            arrays_in(pickle.dumps(harm))
    assert not (tmp_path / "harmed").exists()
    with pytest.raises(RequestError, match="numbers"):
        np.savez(tmp_path / "w.npz", np.array([None]))
        read_arrays(tmp_path / "w.npz")


def test_arrays_in_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    import onnx

    model = onnx.load_model_from_string(foreign.onnx_model())
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RequestError, match="one file"):
        read_network(tmp_path / "net.onnx")
    (tmp_path / "model.json").write_bytes(foreign.tfjs_json(paths=["../secret.bin"]))
    with pytest.raises(RequestError, match="same folder"):
        read_network(tmp_path / "model.json")
    (tmp_path / "model.json").write_text(json.dumps({"modelTopology": {}, "format": "graph-model"}))
    with pytest.raises(RequestError, match="layers models"):
        read_network(tmp_path / "model.json")
