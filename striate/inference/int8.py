"""int8 inference: the backbone quantised by NNCF on images of the training data, kept in the cache as a graph.

Weights and activations of convolutions and linear layers are 8-bit integers, each with a scale that is chosen from the
ranges seen on calibration images (post-training quantisation: Jacob et al. 2018, arXiv:1712.05877). Normalisation of
the images, the head and the OOD detector stay in floating point.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.inference.runtimes import import_nncf
from striate.inference.signal_stack import preserved_signal_stack
from striate.model import Model
from striate.pixels import Images
from striate.storage import cache_root, sha256_of

CALIBRATION = 300  # images: NNCF's own number; more change no range by much


def int8_folder(model: Model) -> Path:
    """Where the int8 graph of a model is kept. The head counts: whether int8 is good enough depends on it."""
    head = {name: value for name, value in model.checksums.items() if model.in_head(name)}
    if model.classifier:  # in place of that layer
        head |= {name: sha256_of(array.tobytes()) for name, array in sorted(model.extras.items())}
    key = sha256_of(json.dumps([model.backbone_key, head], sort_keys=True).encode())
    return cache_root() / "graphs" / f"int8-{key}"


def not_quantized(model: Model) -> RequestError:
    """The error for a model without an int8 graph on this machine."""
    return RequestError(
        f"the model ({model.net}) is not quantised to int8 on this machine: striate.quantize(MODEL, DATA), or "
        "`striate predict MODEL FILES --precision int8`, calibrates and checks it on labelled images first"
    )


def quantized(graph: Any, crops: Sequence[Images]) -> Any:
    """An OpenVINO or ONNX graph of one input in int8, calibrated on `crops`, each as the graph takes it, [1, H, W, C].

    Activations are quantised symmetrically, which is the faster form. Raises RequestError where NNCF is not installed.
    """
    nncf = import_nncf()
    nncf.set_log_level(logging.ERROR)
    inputs = nncf.Dataset(crops, _first_input(graph))
    with redirect_stdout(StringIO()), preserved_signal_stack():  # NNCF draws progress bars of its own
        return nncf.quantize(graph, inputs, subset_size=len(crops), preset=nncf.QuantizationPreset.PERFORMANCE)


def _first_input(graph: Any) -> Any:
    """How the input is given: ONNX wants its name."""
    if not hasattr(graph, "graph"):
        return None
    name = graph.graph.input[0].name
    return lambda crop: {name: crop}
