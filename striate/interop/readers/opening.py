"""A network's file of any known format, by its ending and content."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from striate.errors import RequestError
from striate.interop.readers.layers import Described, InputShape
from striate.reading import open_file

ENDINGS = (".prototxt", ".keras", ".h5", ".hdf5", ".t7", ".net", ".json", ".zip", ".onnx", ".tflite")
_BESIDE = {".prototxt": "a .caffemodel", ".symbol": "a .params"}


def read_network(path: Path, weights: Path | None = None, shape: InputShape | None = None) -> Described:
    """The network of a file, with its weights.

    weights: the file that has them, of formats that have them apart: Caffe's and MXNet's. shape: channels, height and
    width of an image, where the file does not say them. Raises RequestError for other files, with the file's name.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS and not path.is_dir():
        raise RequestError(f"{str(path)!r} ends in none of {', '.join(ENDINGS)}, and is no folder of a SavedModel")
    try:
        with np.errstate(all="ignore"):  # what overflows is refused as not finite
            return _read(path, ending, weights, shape)
    except OSError as error:
        raise RequestError(f"cannot read the network {str(path)!r}: {error.strerror or error}") from error
    except RequestError as error:
        told = str(error)
        raise (error if str(path) in told else RequestError(f"{str(path)!r}: {told}")) from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, struct.error) as error:
        # Of a value of another type or size than its framework writes, which no check of a reader names.
        raise RequestError(f"{str(path)!r} is damaged, or not as its framework writes it") from error


def _read(path: Path, ending: str, weights: Path | None, shape: InputShape | None) -> Described:
    if ending == ".json":
        with open_file(path, 2**24) as file:
            start = file.read()
        ending = ".symbol" if b'"modelTopology"' not in start else ".tfjs"
    if ending in _BESIDE:
        if weights is None:
            raise RequestError(f"its weights are in another file: --weights FILE, {_BESIDE[ending]}")
        if ending == ".prototxt":
            from striate.interop.readers.caffe import read_caffe

            return read_caffe(path, weights, shape)
        from striate.interop.readers.mxnet import read_mxnet

        return read_mxnet(path, weights, shape)
    if weights is not None:
        raise RequestError(f"its weights are in the file itself: --weights {str(weights)!r} is for Caffe and MXNet")
    if ending == ".tflite" or path.is_dir():
        from striate.interop.readers.openvino_net import read_by_openvino

        return read_by_openvino(path, shape)
    if ending in (".h5", ".hdf5"):
        from striate.interop.readers.keras import read_h5

        return read_h5(path, shape)
    if ending == ".keras":
        from striate.interop.readers.keras import read_archive

        return read_archive(path, shape)
    if ending in (".t7", ".net"):
        from striate.interop.readers.torch7 import read_torch7

        return read_torch7(path, shape)
    if ending == ".zip":
        from striate.interop.readers.dl4j import read_dl4j

        return read_dl4j(path, shape)
    if ending == ".onnx":
        from striate.interop.readers.onnx_file import read_onnx

        return read_onnx(path, shape)
    from striate.interop.readers.tfjs import read_tfjs

    return read_tfjs(path, shape)
