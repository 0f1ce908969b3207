"""Runs an exported file in its own framework, by the framework's Python: no Striate here, and no other framework.

python run_framework.py NAME FILE IMAGES OUT: predictions of the images, uint8 [N, H, W, C] in a .npy file, as another.
Prints the framework's version.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BATCH = 8


def keras(path: str, images: Any, backend: str) -> tuple[str, Any]:
    os.environ["KERAS_BACKEND"] = backend
    import keras

    model = keras.models.load_model(path)
    found = np.asarray(model.predict(np.float32(images), batch_size=BATCH, verbose=0))
    if backend != "tensorflow" and "tensorflow" in sys.modules:
        raise SystemExit("TensorFlow was imported")
    return f"{keras.__version__} on {backend}", found


def tensorflow(path: str, images: Any) -> tuple[str, Any]:
    import tensorflow as tf

    run = tf.saved_model.load(path).signatures["serving_default"]
    parts = [next(iter(run(images=tf.constant(images[at : at + BATCH])).values())).numpy()
             for at in range(0, len(images), BATCH)]  # fmt: skip
    return str(tf.__version__), np.concatenate(parts)


def litert(path: str, images: Any) -> tuple[str, Any]:
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=path)
    given, result = run.get_input_details()[0]["index"], run.get_output_details()[0]["index"]
    run.resize_tensor_input(given, images.shape)
    run.allocate_tensors()
    run.set_tensor(given, images)
    run.invoke()
    return version("ai-edge-litert"), run.get_tensor(result)


def opencv(path: str, images: Any) -> tuple[str, Any]:
    import cv2

    net = cv2.dnn.readNetFromCaffe(path, path.replace(".prototxt", ".caffemodel"))
    parts = []
    for image in np.float32(images).transpose(0, 3, 1, 2):
        net.setInput(image[None])
        parts.append(net.forward().reshape(1, -1))
    return str(cv2.__version__), np.concatenate(parts)


def mxnet(path: str, images: Any) -> tuple[str, Any]:
    import mxnet as mx

    symbol, arguments, states = mx.model.load_checkpoint(path.replace("-symbol.json", ""), 0)
    planes = np.float32(images).transpose(0, 3, 1, 2)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
    module.bind(for_training=False, data_shapes=[("data", (1, *planes.shape[1:]))])
    module.set_params(arguments, states)
    return mx.__version__, module.predict(mx.io.NDArrayIter(planes, batch_size=1)).asnumpy()


FRAMEWORKS = {
    "keras-torch": lambda path, images: keras(path, images, "torch"),
    "keras-jax": lambda path, images: keras(path, images, "jax"),
    "keras-tensorflow": lambda path, images: keras(path, images, "tensorflow"),
    "tensorflow": tensorflow, "litert": litert, "opencv": opencv, "mxnet": mxnet,
}  # fmt: skip

if __name__ == "__main__":
    name, path, images, out = sys.argv[1:]
    version, predictions = FRAMEWORKS[name](path, np.load(images))
    np.save(out, predictions)
    print(version)
