"""Choosing what runs the net: OpenVINO on a CPU, torch on a GPU or where OpenVINO is missing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import sys
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, unknown
from striate.model import Model
from striate.pixels import Images

BATCH = 8  # images a call; measured on two cores: larger batches fall out of the cache and are slower
PRECISIONS = ("float32", "bfloat16")


class Engine(Protocol):
    """Runs the trunk of one model."""

    name: str
    version: str
    precision: str

    def run(self, images: Images) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] -> float32 [N, D]."""
        ...


def choose_engine(wanted: str = "auto") -> tuple[str, str]:
    """The engine's name, and a line to tell the user ("" when there is nothing to tell)."""
    if wanted not in ("auto", "openvino", "torch"):
        raise unknown("engine", wanted, ("auto", "openvino", "torch"))
    installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and not installed:
        raise RequestError("engine 'openvino' is not installed; install it, or use the engine 'torch'")
    if wanted != "auto":
        return wanted, ""
    if gpu_present():
        return "torch", ""
    if not installed:
        return "torch", "OpenVINO is not installed; using torch, which is about half as fast on a CPU"
    return "openvino", ""


def gpu_present() -> bool:
    """Whether an NVIDIA driver answers with a device. Asks the driver: importing torch to find out takes seconds."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def engine_version(name: str) -> str:
    """The installed version of an engine, without importing it."""
    return importlib.metadata.version(name)


def open_engine(model: Model, engine: str = "auto", precision: str = "float32") -> Engine:
    """An engine ready to run the model's trunk. Raises RequestError for an unknown engine or precision."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    name, _ = choose_engine(engine)
    if name == "torch":
        from striate.inference.torch_engine import TorchEngine

        return TorchEngine(model, precision)
    from striate.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(model, precision)


def in_batches(engine: Engine, images: Images) -> NDArray[np.float32]:
    """`engine.run` over any number of images, a batch at a time."""
    parts = [engine.run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
