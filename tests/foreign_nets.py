"""One small network, written as every other framework would write it; and what torch gives for it.

A convolution of 2 maps with a ReLU, max-pooling, a flattened map and 3 classes, for images [1, 6, 6].
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import helper, numpy_helper

RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.normal(size=(2, 1, 3, 3)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
MATRIX, SHIFT = RNG.normal(size=(3, 8)).astype(np.float32), RNG.normal(size=3).astype(np.float32)
SHAPE = (1, 6, 6)
IMAGES = RNG.normal(size=(4, *SHAPE)).astype(np.float32)

Array = NDArray[np.float32]


def expected() -> Array:
    """Logits [4, 3] of IMAGES."""
    x = F.relu(F.conv2d(torch.from_numpy(IMAGES), torch.from_numpy(KERNEL), torch.from_numpy(BIAS)))
    x = F.max_pool2d(x, 2).flatten(1)
    return F.linear(x, torch.from_numpy(MATRIX), torch.from_numpy(SHIFT)).numpy()


def channels_last() -> tuple[Array, Array, Array, Array]:
    """The arrays as Keras has them: kernel [height, width, in, out], matrix [in, out] of a map flattened by place."""
    matrix = MATRIX.reshape(3, 2, 2, 2).transpose(2, 3, 1, 0).reshape(8, 3)
    return KERNEL.transpose(2, 3, 1, 0), BIAS, matrix, SHIFT


def keras_config(**first: Any) -> dict[str, Any]:
    """The configuration of the network as a Sequential."""
    layers = [
        ("Conv2D", {"name": "conv2d", "batch_input_shape": [None, 6, 6, 1], "filters": 2, "kernel_size": [3, 3],
                    "strides": [1, 1], "padding": "valid", "activation": "relu", **first}),
        ("MaxPooling2D", {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}),
        ("Flatten", {"name": "flatten"}),
        ("Dropout", {"name": "dropout", "rate": 0.25}),
        ("Dense", {"name": "dense", "units": 3, "activation": "softmax"}),
    ]  # fmt: skip
    found = [{"class_name": kind, "config": config} for kind, config in layers]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": found}}


def keras_h5(config: dict[str, Any] | None = None) -> bytes:
    """A whole model in HDF5."""
    kernel, bias, matrix, shift = channels_last()
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = (
            b"2.2.4",
            json.dumps(config or keras_config()).encode(),
        )
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"conv2d", b"pool", b"flatten", b"dropout", b"dense"]
        for name in ("pool", "flatten", "dropout"):
            group.create_group(name).attrs["weight_names"] = np.zeros(0, "S1")
        for name, arrays in (("conv2d", (kernel, bias)), ("dense", (matrix, shift))):
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            for leaf, array in zip(("kernel:0", "bias:0"), arrays, strict=True):
                layer.create_dataset(f"{name}/{leaf}", data=array)
    return content.getvalue()


def keras_archive(config: dict[str, Any] | None = None) -> bytes:
    """A `.keras` archive."""
    kernel, bias, matrix, shift = channels_last()
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for name, arrays in (("conv2d", (kernel, bias)), ("dense", (matrix, shift))):
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for place, array in enumerate(arrays):
                group.create_dataset(str(place), data=array)
    metadata = {"keras_version": "3.13.2"}
    return zipped(
        {
            "metadata.json": json.dumps(metadata).encode(),
            "config.json": json.dumps(config or keras_config()).encode(),
            "model.weights.h5": weights.getvalue(),
        }
    )


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


class Torch7:
    """Writes values as Torch7 does, in the binary form."""

    def __init__(self) -> None:
        self.content, self.count = bytearray(), 0

    def int(self, *values: int) -> None:
        self.content += struct.pack(f"<{len(values)}i", *values)

    def text(self, text: str) -> None:
        self.int(len(text))
        self.content += text.encode()

    def value(self, value: Any) -> None:
        if isinstance(value, bool):
            self.int(5, int(value))
        elif isinstance(value, int | float):
            self.int(1)
            self.content += struct.pack("<d", value)
        elif isinstance(value, str):
            self.int(2)
            self.text(value)
        elif isinstance(value, dict):
            self.count += 1
            self.int(3, self.count, len(value))
            for key, inner in value.items():
                self.value(key)
                self.value(inner)
        elif isinstance(value, np.ndarray):
            self.tensor(value)
        else:
            self.count += 1
            self.int(4, self.count)
            self.text("V 1")
            self.text(value[0])
            self.value(value[1])

    def tensor(self, array: NDArray[Any]) -> None:
        kind = {"f": "Float", "i": "Long"}[array.dtype.kind]
        self.count += 1
        self.int(4, self.count)
        self.text("V 1")
        self.text(f"torch.{kind}Tensor" if kind == "Float" else "torch.LongStorage")
        if kind == "Long":
            self.content += struct.pack(f"<q{array.size}q", array.size, *array.tolist())
            return
        self.int(array.ndim)
        steps = [step // array.itemsize for step in np.ascontiguousarray(array).strides]
        self.content += struct.pack(f"<{2 * array.ndim + 1}q", *array.shape, *steps, 1)
        self.count += 1
        self.int(4, self.count)
        self.text("V 1")
        self.text("torch.FloatStorage")
        self.content += struct.pack("<q", array.size) + array.tobytes()


def torch7() -> bytes:
    """A `.t7` file."""
    convolution = {"nInputPlane": 1, "nOutputPlane": 2, "kW": 3, "kH": 3, "dW": 1, "dH": 1, "padW": 0, "padH": 0}
    modules = [
        ("nn.SpatialConvolution", {**convolution, "weight": KERNEL, "bias": BIAS}),
        ("nn.ReLU", {"threshold": 0, "val": 0, "inplace": False}),
        ("nn.SpatialMaxPooling", {"kW": 2, "kH": 2, "dW": 2, "dH": 2, "padW": 0, "padH": 0, "ceil_mode": False}),
        ("nn.Reshape", {"size": np.array([8], np.int64)}),
        ("nn.Linear", {"weight": MATRIX, "bias": SHIFT}),
        ("nn.LogSoftMax", {}),
    ]
    writer = Torch7()
    writer.value(("nn.Sequential", {"modules": dict(enumerate(modules, start=1))}))
    return bytes(writer.content)


def mxnet_params() -> bytes:
    """A `.params` file."""
    arrays = {"arg:c_weight": KERNEL, "arg:c_bias": BIAS, "arg:d_weight": MATRIX, "arg:d_bias": SHIFT}
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        content += struct.pack(f"<IiI{array.ndim}q", 0xF993FAC9, 0, array.ndim, *array.shape)
        content += struct.pack("<iii", 1, 0, 0) + np.ascontiguousarray(array).tobytes()
    content += struct.pack("<Q", len(arrays))
    for name in arrays:
        content += struct.pack("<Q", len(name)) + name.encode()
    return content


def mxnet_symbol() -> bytes:
    """A symbol file."""
    nodes: list[tuple[str, str, dict[str, str], list[int]]] = [
        ("null", "data", {}, []),
        ("null", "c_weight", {}, []),
        ("null", "c_bias", {}, []),
        ("Convolution", "c", {"kernel": "(3, 3)", "num_filter": "2", "stride": "(1, 1)"}, [0, 1, 2]),
        ("Activation", "r", {"act_type": "relu"}, [3]),
        ("Pooling", "p", {"kernel": "(2, 2)", "stride": "(2, 2)", "pool_type": "max"}, [4]),
        ("Flatten", "f", {}, [5]),
        ("null", "d_weight", {}, []),
        ("null", "d_bias", {}, []),
        ("FullyConnected", "d", {"num_hidden": "3"}, [6, 7, 8]),
        ("null", "softmax_label", {}, []),
        ("SoftmaxOutput", "softmax", {}, [9, 10]),
    ]
    found = [
        {"op": op, "name": name, "attrs": attrs, "inputs": [[one, 0, 0] for one in inputs]}
        for op, name, attrs, inputs in nodes
    ]
    return json.dumps({"nodes": found, "heads": [[11, 0, 0]], "arg_nodes": []}).encode()


def dl4j() -> bytes:
    """An archive of Deeplearning4j."""
    convolution = {
        "@class": "a.ConvolutionLayer", "nin": 1, "nout": 2, "kernelSize": [3, 3], "stride": [1, 1],
        "padding": [0, 0], "convolutionMode": "Truncate", "activationFn": {"@class": "b.ActivationReLU"},
    }  # fmt: skip
    pool = {"@class": "a.SubsamplingLayer", "poolingType": "MAX", "kernelSize": [2, 2], "stride": [2, 2]}
    output = {"@class": "a.OutputLayer", "nin": 8, "nout": 3, "activationFn": {"@class": "b.ActivationSoftmax"}}
    before = {"0": {"@class": "c.FeedForwardToCnnPreProcessor", "inputHeight": 6, "inputWidth": 6, "numChannels": 1}}
    config = {"confs": [{"layer": one} for one in (convolution, pool, output)], "inputPreProcessors": before}
    values = np.concatenate([BIAS, KERNEL.ravel(), MATRIX.T.ravel(order="F"), SHIFT]).astype(">f4")
    content = text("MIXED_DATA_TYPES") + struct.pack(">q", 8) + text("LONG")
    content += struct.pack(">8q", 2, 1, len(values), 1, 1, 8192, 1, 99)
    content += text("MIXED_DATA_TYPES") + struct.pack(">q", len(values)) + text("FLOAT") + values.tobytes()
    return zipped({"configuration.json": json.dumps(config).encode(), "coefficients.bin": content})


def text(value: str) -> bytes:
    """A text as Java writes it."""
    return struct.pack(">H", len(value)) + value.encode()


def tfjs_json(**changes: Any) -> bytes:
    """A model.json; its weights are `tfjs_weights`, in weights.bin."""
    names = ("conv2d/kernel", "conv2d/bias", "dense/kernel", "dense/bias")
    specs = [
        {"name": name, "shape": list(array.shape), "dtype": "float32"}
        for name, array in zip(names, channels_last(), strict=True)
    ]
    manifest = [{"paths": ["weights.bin"], "weights": specs, **changes}]
    topology = {"keras_version": "2.2.4", "model_config": keras_config()}
    return json.dumps({"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}).encode()


def tfjs_weights() -> bytes:
    """The arrays of `tfjs_json`."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in channels_last())


def onnx_model() -> bytes:
    """An ONNX file."""
    arrays = {"k": KERNEL, "b": BIAS, "m": MATRIX, "s": SHIFT}
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "s"], ["y"], transB=1),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", *SHAPE])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return bytes(helper.make_model(helper.make_graph(nodes, "net", [x], [y], constants)).SerializeToString())


PROTOTXT = """
name: "small"
input: "data" input_dim: 1 input_dim: 1 input_dim: 6 input_dim: 6
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "d" type: "InnerProduct" bottom: "p" top: "d" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "d" top: "prob" }
"""


def caffemodel() -> bytes:
    """The blobs of PROTOTXT."""
    found = b""
    for name, blobs in {"c": (KERNEL, BIAS), "d": (MATRIX, SHIFT)}.items():
        layer = field(1, name.encode())
        for blob in blobs:
            shape = field(7, field(1, bytes(blob.shape)))
            layer += field(7, shape + field(5, np.ascontiguousarray(blob).tobytes()))
        found += field(100, layer)
    return found


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, in the encoding of protocol buffers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A whole number, seven bits a byte."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


# Name -> the files of a network by their endings, the first of which is opened; the second is given as its weights.
FILES: dict[str, Callable[[], dict[str, bytes]]] = {
    "caffe": lambda: {"net.prototxt": PROTOTXT.encode(), "net.caffemodel": caffemodel()},
    "keras-h5": lambda: {"net.h5": keras_h5()},
    "keras": lambda: {"net.keras": keras_archive()},
    "torch7": lambda: {"net.t7": torch7()},
    "mxnet": lambda: {"net-symbol.json": mxnet_symbol(), "net-0001.params": mxnet_params()},
    "dl4j": lambda: {"net.zip": dl4j()},
    "tfjs": lambda: {"model.json": tfjs_json(), "weights.bin": tfjs_weights()},
    "onnx": lambda: {"net.onnx": onnx_model()},
}
APART = ("caffe", "mxnet")  # whose weights are given apart


def written(kind: str, folder: Path) -> tuple[Path, Path | None]:
    """Write the files of a kind; gives the one to open, and the weights that are given apart."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in FILES[kind]().items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths[0], paths[1] if kind in APART else None
