"""Choosing the engine: OpenVINO on a CPU, torch on a GPU or without OpenVINO."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

from striate.errors import RequestError, unknown
from striate.inference.engine import PRECISIONS, Engine
from striate.model import Model


def choose_engine(wanted: str = "auto", precision: str = "float32", *, searched: bool = False) -> tuple[str, str]:
    """The engine's name, and a message for the user, or "". int8 has one engine; so has a task that is `searched`."""
    if wanted not in ("auto", "openvino", "torch"):
        raise unknown("engine", wanted, ("auto", "openvino", "torch"))
    if searched:
        if wanted == "openvino" or precision == "int8":
            raise RequestError("captions are found by a search, which the engine 'torch' runs, in float32 or bfloat16")
        return "torch", ""
    installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and not installed:
        raise RequestError("engine 'openvino' is not installed; install it, or use the engine 'torch'")
    if precision == "int8":
        if wanted == "torch" or not installed:
            raise RequestError("int8 runs on a CPU by OpenVINO: engine 'openvino', and not 'torch'")
        return "openvino", ""
    if wanted != "auto":
        return wanted, ""
    if gpu_present():
        return "torch", ""
    if not installed:
        return "torch", "OpenVINO is not installed; using torch, which is about half as fast on a CPU"
    return "openvino", ""


def gpu_present() -> bool:
    """Whether an NVIDIA driver reports a device."""
    return gpu_count() > 0


def gpu_count() -> int:
    """How many devices an NVIDIA driver reports. Asks the driver, because importing torch takes seconds."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        told = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return 0
    return count.value if told else 0


def open_engine(model: Model, engine: str = "auto", precision: str = "float32", *, many: bool = False) -> Engine:
    """An engine ready to run the model's backbone, on a few images at a time or on many.

    Raises RequestError for an unknown engine or precision.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    name, _ = choose_engine(engine, precision)
    if name == "torch":
        from striate.inference.torch_engine import TorchEngine

        return TorchEngine(model, precision)
    from striate.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(model, precision, many=many)
