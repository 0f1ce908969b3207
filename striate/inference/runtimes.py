"""The runtimes of other makers, imported with what they would send about their use switched off.

Everything in Striate imports them here, because the switches work only before the first import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

from striate.errors import RequestError


def import_openvino() -> Any:
    """The openvino package with its telemetry blocked: its converter would otherwise send data without asking."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def import_onnxruntime() -> Any:
    """The onnxruntime package with its telemetry off: it would send data, and write an identifier into the home."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def import_nncf() -> Any:
    """The nncf package, which quantises graphs; its telemetry is OpenVINO's, and blocked with it.

    Raises RequestError if it is not installed.
    """
    import_openvino()
    if importlib.util.find_spec("nncf") is None:
        raise RequestError("int8 needs NNCF to calibrate; install it: pip install 'striate[int8]'")
    return importlib.import_module("nncf")


def import_litert() -> Any:
    """The interpreter of TensorFlow Lite. Raises RequestError if it is not installed."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise RequestError("int8 for tflite needs LiteRT to calibrate; install it: pip install 'striate[tflite]'")
    return importlib.import_module("ai_edge_litert.interpreter")
