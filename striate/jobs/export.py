"""Export: a graph that runs without Striate, written only if it gives the answers of `striate predict`."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.opening import Data, open_source
from striate.data.sources.base import Source
from striate.errors import RequestError, WorkError, unknown
from striate.inference.ood import OODDetector
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.pixels import Images, UnreadableImage
from striate.progress import Progress
from striate.storage import write_bytes
from striate.weights.models import open_model

FORMATS = ("onnx", "openvino")
AGREEMENT = 0.995  # of answers: top-1, or the labels given
DIFFERENCE = 0.02  # of any probability, or of a number as a share of the numbers' spread
COMPARED = 128  # images, at most; at least 100, smaller copies included

Answers = Callable[[Images], list[NDArray[np.float32]]]  # what the graph's outputs say, in order


@dataclass(frozen=True)
class Exported:
    """path: the file written. agreement: share of equal answers (top-1, labels given, numbers within the difference).

    Classes that the model itself cannot tell apart, their probabilities within 0.02, are equal answers.
    difference: the largest of any probability or distance, or of a number as a share of the numbers' spread.
    """

    path: Path
    outputs: tuple[str, ...]
    images: int
    agreement: float
    difference: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "path": str(self.path),
            "outputs": list(self.outputs),
            "images": self.images,
            "agreement": self.agreement,
            "difference": self.difference,
        }


def export(
    model: str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str] | None = None,
    images: Data | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Export a model to "onnx" or "openvino": uint8 RGB [N, height, width, 3] in, probabilities or numbers out.

    The graph is compared with `striate predict` on images of `images` (default: the data the model was trained on).
    Raises WorkError, and writes nothing, where answers agree on under 99.5 % or a probability differs by over 0.02.
    """
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    progress = progress or Progress()
    opened = open_model(model)
    path = Path(out) if out else _beside(Path(model), opened, to)
    if path.suffix != _suffix(to):
        raise RequestError(f"an export to {to} is written to a file ending in {_suffix(to)}, not {str(path)!r}")
    source = _comparison_source(opened, images)
    with tempfile.TemporaryDirectory(prefix="striate-export-") as folder:
        draft = Path(folder) / f"model{_suffix(to)}"
        progress.say(f"Writing the {to} graph")
        answers = _write_onnx(opened, draft) if to == "onnx" else _write_openvino(opened, draft)
        count, agreement, difference = _compare(Predictor(opened), source, answers, progress)
        if agreement < AGREEMENT or difference > DIFFERENCE:
            raise WorkError(
                f"the {to} graph is not written: on {count} images its answers agree with striate predict on "
                f"{100 * agreement:.1f} % (needed: {100 * AGREEMENT} %), and differ by up to "
                f"{difference:.3f} (allowed: {DIFFERENCE})"
            )
        for part in sorted(Path(folder).iterdir()):  # OpenVINO's weights, .bin, before the .xml that needs them
            write_bytes(path.with_suffix(part.suffix), part.read_bytes())
    return Exported(path, _outputs(opened), count, agreement, difference)


def _outputs(model: Model) -> tuple[str, ...]:
    first = f"{model.task.output_name} [N, {model.task.outputs}]"
    return (first, "distances [N]") if OODDetector.of(model) else (first,)


def _suffix(to: str) -> str:
    return {"onnx": ".onnx", "openvino": ".xml"}[to]


def _beside(given: Path, model: Model, to: str) -> Path:
    if given.is_dir():
        return given / f"model{_suffix(to)}"
    return given.with_suffix(_suffix(to)) if given.exists() else Path(f"{model.net}{_suffix(to)}")


def _write_onnx(model: Model, path: Path) -> Answers:
    import onnxruntime

    from striate.interop.onnx_graph import onnx_graph
    from striate.interop.output_layers import output_names

    path.write_bytes(onnx_graph(model).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: [np.asarray(answer) for answer in session.run(output_names(model), {"images": images})]


def _write_openvino(model: Model, path: Path) -> Answers:
    from striate.inference.openvino_engine import import_openvino
    from striate.interop.openvino_graph import openvino_graph

    openvino = import_openvino()
    openvino.save_model(openvino_graph(model), str(path), compress_to_fp16=False)
    # float32 is said, because OpenVINO would else choose bfloat16 on processors that have it.
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: [np.array(compiled([images])[output]) for output in compiled.outputs]


def _comparison_source(model: Model, images: Data | None) -> Source:
    if images is not None:
        return open_source(images)
    data = str(model.training.get("data") or "")
    if not data:
        raise RequestError(
            "an export is compared on images first, and the model was not trained on a path; name images with --images"
        )
    try:
        return open_source(data)
    except RequestError as error:
        raise RequestError(
            f"an export is compared on images first, and {str(data)!r}, which the model was trained on, is not there "
            "any more; name a folder of images with --images"
        ) from error


def _compare(predictor: Predictor, source: Source, answers: Answers, progress: Progress) -> tuple[int, float, float]:
    """How many images were compared, the share of equal answers, and the largest difference."""
    step = max(1, len(source.items) // COMPARED)
    chosen = source.items[::step][:COMPARED]
    # Few images are compared at further sizes as well, until there are a hundred.
    further = math.ceil(100 / len(chosen)) - 1
    scales = [1.0, *np.linspace(0.5, 0.95, further, endpoint=False).tolist()]
    expected, found = [], []
    with progress.bar("Comparing answers", len(chosen)) as bar:
        for item in chosen:
            bar.advance()
            try:
                content = source.read(item)
                seen = source.decode(content, predictor.model.pixels.at_least).image
                whole = source.decode(content, 0).image
            except (OSError, UnreadableImage):
                continue  # the audit lists it
            for scale in scales:
                reference, given = (seen, whole) if scale == 1 else (_scaled(whole, scale),) * 2
                expected.append(_said(predictor, predictor.model.pixels.apply(reference)))
                found.append([answer[0] for answer in answers(np.array(given)[None])])
    if len(expected) < 100:
        raise RequestError(
            f"only {len(expected)} comparisons could be made, and 100 are needed; name more images with --images"
        )
    agreement, difference = _agreement(predictor.model, expected, found)
    return len(expected), agreement, difference


def _said(predictor: Predictor, crop: Images) -> list[NDArray[np.float32]]:
    """What `striate predict` says of a crop: what the graph's outputs should."""
    embedding = predictor.embed(crop[None])
    said = [predictor.model.task.predictions(predictor.logits(embedding))[0]]
    return said + ([predictor.ood_detector.distances(embedding)[0]] if predictor.ood_detector else [])


def _agreement(
    model: Model, expected: list[list[NDArray[np.float32]]], found: list[list[NDArray[np.float32]]]
) -> tuple[float, float]:
    ours, theirs = (np.stack([row[0] for row in rows]) for rows in (expected, found))
    agreed = model.task.agreement(ours, theirs, ties=DIFFERENCE)
    further = max((float(np.abs(a[1] - b[1])) for a, b in zip(expected, found, strict=True) if len(a) > 1), default=0.0)
    return agreed.share, max(agreed.difference, further)


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
