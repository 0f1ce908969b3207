"""The OpenVINO engine: the backbone as a compiled graph, cached under the backbone's key.

A model whose backbone is in the cache runs without torch. The graph is built once, by torch and OpenVINO's converter.
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import WorkError
from striate.inference.engine import engine_version
from striate.inference.int8 import int8_folder, not_quantized
from striate.inference.runtimes import import_openvino
from striate.inference.signal_stack import preserved_signal_stack
from striate.model import Model
from striate.pixels import Images, Pixels
from striate.storage import cache_root, fill_folder_atomically


def has_bfloat16() -> bool:
    """Whether this processor supports bfloat16."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


PIECE = 4  # images that one stream takes at a time; more fall out of a core's cache


class OpenVinoEngine:
    """Runs the backbone as an OpenVINO graph on the CPU: a few images on all cores together, many on one core each.

    Several threads may call `run` at a time: one that finds another running has its images run on one core.
    graph: in place of the one in the cache; it is not kept.
    """

    name = "openvino"

    def __init__(self, model: Model, precision: str, *, many: bool = False, graph: Any = None) -> None:
        self.precision = precision
        self.version = engine_version("openvino")
        self._model: Model | None = model
        self._graph, self._for_many = graph, many
        self._folder = int8_folder(model) if precision == "int8" else cache_root() / "graphs" / model.backbone_key
        self._lock, self._opening, self._running = threading.Lock(), threading.Lock(), 0
        self._idle: list[Any] = []  # requests of callers that have been answered
        _ = self._many if many else self._few  # compiled now, in memory of its own each; the other when it is needed

    @property
    def callers(self) -> int:
        """See `Engine`: one for each core that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def forget_weights(self) -> bool:
        """See `Engine`: the graph in the cache has them."""
        if (self._folder / "backbone.xml").is_file():
            self._model = None
        return self._model is None

    @cached_property
    def _few(self) -> Any:
        """A request on all cores."""
        return self._compiled("LATENCY").create_infer_request()

    @cached_property
    def _many(self) -> Any:
        """A queue of requests, one for each stream."""
        return import_openvino().AsyncInferQueue(self._streams)

    @property
    def _streams(self) -> Any:
        with self._opening:
            return self._compiled_streams

    @cached_property
    def _compiled_streams(self) -> Any:
        return self._compiled("THROUGHPUT")

    def run(self, images: Images) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] -> float32 [N, D]."""
        images = np.ascontiguousarray(images)
        with self._lock:
            self._running += 1
            alone = self._running == 1
        try:
            return self._run_alone(images) if alone else self._run_beside(images)
        finally:
            with self._lock:
                self._running -= 1

    def _run_alone(self, images: Images) -> NDArray[np.float32]:
        few = len(images) == 1 or (len(images) <= PIECE and "_compiled_streams" not in vars(self))
        if few and not self._for_many:
            self._few.infer([images])
            return np.array(self._few.get_output_tensor(0).data, dtype=np.float32)
        size = min(PIECE, -(-len(images) // len(self._many)))  # of few images each stream has its share
        pieces = _pieces(images, size)
        rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(pieces)

        def keep(request: Any, place: int) -> None:
            rows[place] = np.array(request.get_output_tensor(0).data, dtype=np.float32)

        self._many.set_callback(keep)
        for place, piece in enumerate(pieces):
            self._many.start_async([piece], place)
        self._many.wait_all()
        return np.concatenate(rows)

    def _run_beside(self, images: Images) -> NDArray[np.float32]:
        """On one stream, while others run."""
        with self._lock:
            request = self._idle.pop() if self._idle else None
        request = request or self._streams.create_infer_request()
        rows = []
        for piece in _pieces(images, PIECE):
            request.infer([piece])
            rows.append(np.array(request.get_output_tensor(0).data, dtype=np.float32))
        with self._lock:
            self._idle.append(request)
        return np.concatenate(rows)

    def _compiled(self, hint: str) -> Any:
        settings = {**_precision(self.precision), "PERFORMANCE_HINT": hint}
        with preserved_signal_stack():
            if self._graph is not None:
                return import_openvino().Core().compile_model(self._graph, "CPU", settings)
            if self.precision == "int8":
                return _compiled_int8(import_openvino(), self._model, self._folder, settings)
            return _made(import_openvino(), self._model, self._folder, settings)


def _pieces(images: Images, size: int) -> list[Images]:
    return [images[start : start + size] for start in range(0, len(images), size)]


def _compiled_int8(openvino: Any, model: Model | None, folder: Path, settings: dict[str, str]) -> Any:
    try:
        return _compile(openvino, folder, settings)
    except (RuntimeError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)  # missing or damaged
        raise (_gone(folder) if model is None else not_quantized(model)) from error


def _made(openvino: Any, model: Model | None, folder: Path, settings: dict[str, str]) -> Any:
    try:
        return _compile(openvino, folder, settings)
    except (RuntimeError, OSError) as missing:
        # Missing or damaged in the cache: build it again; a second failure is real.
        shutil.rmtree(folder, ignore_errors=True)
        if model is None:
            raise _gone(folder) from missing
        try:
            return _build(openvino, model, folder, settings)
        except RuntimeError as error:
            raise WorkError(f"OpenVINO cannot compile {model.net!r}: {str(error).splitlines()[0]}") from error


def _gone(folder: Path) -> WorkError:
    return WorkError(f"the graph in {str(folder)!r} was removed or damaged while it was in use; open the model again")


def _compile(openvino: Any, folder: Path, settings: dict[str, str]) -> Any:
    settings = {**settings, "CACHE_DIR": str(folder / "compiled")}
    return openvino.Core().compile_model(str(folder / "backbone.xml"), "CPU", settings)


def _precision(precision: str) -> dict[str, str]:
    """Layers of an int8 graph that are not quantised run in bfloat16 where the processor has it."""
    if precision == "int8":
        precision = "bfloat16" if has_bfloat16() else "float32"
    return {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision]}


def _build(openvino: Any, model: Model, folder: Path, settings: dict[str, str]) -> Any:
    """Convert the backbone with torch, save the graph to the cache if that can be written, and compile it."""
    from striate.inference.backbones import backbone_of

    graph = convert(backbone_of(model), model.pixels)
    try:
        save_graph(graph, folder)
    except WorkError:
        # A cache that cannot be written only costs the next process time.
        return openvino.Core().compile_model(graph, "CPU", settings)
    return _compile(openvino, folder, settings)


def save_graph(graph: Any, folder: Path) -> None:
    """Save a backbone's graph as a folder of the cache. Raises WorkError if it cannot be written."""

    def fill(place: Path) -> None:
        try:
            import_openvino().save_model(graph, str(place / "backbone.xml"), compress_to_fp16=False)
        except RuntimeError as error:  # OpenVINO's error for a file that could not be written
            raise OSError(str(error).splitlines()[0]) from error

    fill_folder_atomically(folder, fill)


def convert(module: Any, pixels: Pixels) -> Any:
    """A torch module over uint8 [N, H, W, C] as an OpenVINO graph with a dynamic batch."""
    import torch

    return converted(module, torch.zeros(2, pixels.height, pixels.width, pixels.channels, dtype=torch.uint8))


def converted(module: Any, example: Any) -> Any:
    """A torch module as an OpenVINO graph, for inputs like the tensor `example` with a dynamic batch."""
    openvino = import_openvino()
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        # The converter traces with torch.jit, which torch calls deprecated; the tracer's warnings are not for the user.
        warnings.simplefilter("ignore")
        # Traced here, because the converter would trace twice to compare.
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, example_input=example, input=[-1, *example.shape[1:]])
