"""Darknet's `.weights`: a header, and the numbers of all layers one after another, without names or shapes.

Source: pjreddie/darknet, src/parser.c. The header is major, minor and revision of the version and the number of images
seen, of 32 bits before version 0.2 and of 64 since. A convolution has its biases, if normalised the scales, means and
variances, and its weights [out, in, height, width]; all are float32. The layers' shapes are those of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError, WorkError
from striate.weights.fitting import Arrays, Shapes

NUMBERS = "darknet"  # the one array of a file, before a network's shapes divide it
# Darknet divides by the standard deviation plus its epsilon; torch adds its own to the variance.
_EPSILON, _TORCH_EPSILON = 1e-6, 1e-5
_OF_NORM = ("bias", "weight", "running_mean", "running_var")


def read_darknet(file: BufferedReader) -> Arrays:
    """The numbers of a file, as one array. Raises RequestError for a file that is not Darknet's."""
    content = file.read()
    major, minor, revision = np.frombuffer(content[:12].ljust(12, b"\0"), "<i4").tolist()
    header = 20 if (major, minor) >= (0, 2) else 16
    if not (0 <= major < 10 and 0 <= minor < 10 and 0 <= revision < 100):
        raise RequestError(f"its version is {major}.{minor}.{revision}, so it is not a file of Darknet's")
    if len(content) < header:
        raise RequestError(f"it has {len(content)} bytes, and Darknet's header alone {header}")
    if (len(content) - header) % 4:
        raise RequestError(f"after its header of {header} bytes come {len(content) - header}, not a multiple of four")
    return {NUMBERS: np.frombuffer(content, "<f4", offset=header)}


def divided(numbers: npt.NDArray[np.generic], shapes: Shapes) -> Arrays:
    """The numbers of a file as the weights of a network with these shapes, by our names.

    Variances are adapted so that torch's epsilon gives Darknet's quotient; one below 1e-5, of a map that is nearly
    constant, becomes zero. Raises WorkError, with the layer and the numbers of numbers, for a file that is too short or
    too long.
    """
    found: Arrays = {}
    place, wanted = 0, sum(int(np.prod(shape)) for _, shape in _blobs(shapes))
    for key, shape in _blobs(shapes):
        size = int(np.prod(shape))
        if place + size > len(numbers):
            raise WorkError(
                f"it ends within {key}, of whose {size:,} numbers it has {len(numbers) - place:,}: "
                f"the network has {wanted:,} numbers, and the file {len(numbers):,}"
            )
        found[key] = numbers[place : place + size].reshape(shape)
        place += size
    if place < len(numbers):
        raise WorkError(
            f"{len(numbers) - place:,} numbers are left after the last layer, {key}: "
            f"the network has {wanted:,} numbers, and the file {len(numbers):,}"
        )
    return {key: _adapted(array) if key.endswith(".running_var") else array for key, array in found.items()}


def _blobs(shapes: Shapes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The keys of a network in the order of the file, with their shapes."""
    for key, shape in shapes.items():
        layer, _, leaf = key.rpartition(".")
        if leaf != "weight" or len(shape) != 4:
            continue
        norm = f"{layer.removesuffix('conv')}norm"
        before = [f"{norm}.{one}" for one in _OF_NORM] if f"{norm}.weight" in shapes else [f"{layer}.bias"]
        yield from ((one, shapes[one]) for one in (*before, key))


def _adapted(variance: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    deviation = np.sqrt(variance.astype(np.float64)) + _EPSILON
    return np.maximum(deviation**2 - _TORCH_EPSILON, 0).astype(np.float32)
