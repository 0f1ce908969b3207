"""Export: a graph that runs without Striate, written only if its predictions agree with `striate predict`."""

from __future__ import annotations

import importlib
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

from striate.data.opening import Data
from striate.data.sources.base import Source
from striate.errors import RequestError, WorkError, unknown
from striate.inference.averaging import ensemble_predictor
from striate.inference.classifiers import IN_WORDS
from striate.inference.image_predictor import ImagePredictor
from striate.inference.int8_check import Int8Check
from striate.inference.ood import OODDetector
from striate.inference.predictor import Predictor
from striate.inference.runtimes import import_onnxruntime, import_openvino
from striate.jobs.model_data import images_of, split_beside
from striate.jobs.quantize import Int8Backbone, int8_backbone
from striate.jobs.quantize_tflite import Int8File, int8_tflite
from striate.model import AnyModel, Ensemble, Model
from striate.pixels import Images, UnreadableImage
from striate.progress import Progress
from striate.storage import write_bytes
from striate.tasks import Task
from striate.tasks.detection_arrays import MOST, detections_of, shown
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.weights.models import open_any

SUFFIXES = {
    "onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite", "keras": ".keras", "caffe": ".prototxt",
    "mxnet": "-symbol.json", "tfjs": ".json", "savedmodel": "_saved_model",
}  # fmt: skip
FORMATS = tuple(SUFFIXES)
# Files that take cropped images of the network's size, from planes of pixels to predictions; by their writers.
CROPPED = {
    "tflite": "striate.interop.tflite_export",
    "keras": "striate.interop.keras_export",
    "caffe": "striate.interop.caffe_export",
    "mxnet": "striate.interop.mxnet_export",
    "tfjs": "striate.interop.tfjs_export",
    "savedmodel": "striate.interop.savedmodel_export",
}
AGREEMENT = {"float32": 0.995, "int8": 0.98}  # of predictions: top-1, or the predicted labels
DIFFERENCE = 0.02  # in float32, of any probability; for regression, as a fraction of the standard deviation
COMPARED = 128  # images, at most; at least 100, with smaller copies

Expected = Callable[[Images], list[NDArray[np.float32]]]  # of a crop [1, ...], the outputs that the graph should have
GraphOutputs = Callable[[Images], list[NDArray[np.float32]]]  # the outputs of the graph, in order


@dataclass(frozen=True)
class Exported:
    """path: the file written. agreement: fraction of equal predictions (top-1, predicted labels, or values).

    Classes whose probabilities differ by at most 0.02 count as tied. difference: the largest of any probability or
    distance, or of a regression output as a fraction of the standard deviation. int8: how it compares with float32.
    notes: what was changed on the way, and what is not in the file, a sentence each.
    """

    path: Path
    outputs: tuple[str, ...]
    images: int
    agreement: float
    difference: float
    int8: Int8Check | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "path": str(self.path),
            "outputs": list(self.outputs),
            "images": self.images,
            "agreement": self.agreement,
            "difference": self.difference,
            **({"int8": self.int8.as_dict()} if self.int8 else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }


def export(
    model: str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str] | None = None,
    images: Data | None = None,
    precision: str = "float32",
    progress: Progress | None = None,
) -> Exported:
    """Export a model to one of `FORMATS`: images in, probabilities or values out.

    "onnx" and "openvino" take uint8 RGB images [N, height, width, 3] of any size. The files of the others take images
    that were cropped and resized to the network's size, and `notes` says how. Of a segmenter, the probabilities of each
    pixel, [N, classes, height, width] at the size of the network's input. Of a detector, 100 boxes in pixels of
    the given image with scores and labels, the best first, overlapping ones suppressed. The graph is compared with
    `striate predict` on images of `images` (default: the training data of the model).
    precision: "float32", or "int8": the backbone, or the whole .tflite file, is quantised, calibrated on labelled
    `images` and checked as by `striate.quantize`. Raises WorkError, and writes nothing, if int8 is refused, if under
    99.5 % of the predictions agree (98 % for int8) or if a probability differs by over 0.02 (any for int8).
    """
    if to not in FORMATS:
        raise unknown("export format", to, FORMATS)
    if precision not in AGREEMENT:
        raise unknown("precision of an export", precision, AGREEMENT)
    progress = progress or Progress()
    opened = open_any(model)
    _check(opened, precision)
    _check_format(opened, to, precision)
    path = Path(out) if out else _beside(Path(model), opened, to)
    if not path.name.endswith(SUFFIXES[to]):
        kind = "folder" if to == "savedmodel" else "file"
        raise RequestError(f"an export to {to} is written to a {kind} ending in {SUFFIXES[to]}, not {str(path)!r}")
    split = split_beside(model) if precision == "int8" else None
    source = images_of(opened, images, purpose="an export is first checked on images", option="--images", split=split)
    int8 = _int8(opened, to, source, progress) if precision == "int8" else None
    predictor, expected = _predictor(opened, int8)
    with tempfile.TemporaryDirectory(prefix="striate-export-") as folder:
        progress.say(f"Writing the {to} graph")
        graph, notes = _written(opened, to, Path(folder) / path.name, int8)
        compared = _compare(predictor, expected, source, graph, progress)
        count, agreement, difference = compared
        allowed = math.inf if int8 else DIFFERENCE
        if not (agreement >= AGREEMENT[precision] and difference <= allowed):  # written so that NaN is no agreement
            raise WorkError(
                f"the {to} graph is not written: on {count} images {100 * agreement:.1f} % of its predictions agree "
                f"with striate predict (required: {100 * AGREEMENT[precision]} %), and they differ by up to "
                f"{difference:.3f} (allowed: {allowed})"
            )
        for part in sorted(Path(folder).rglob("*")):  # OpenVINO's weights, .bin, before the .xml that needs them
            if part.is_file():
                write_bytes(path.parent / part.relative_to(folder), part.read_bytes())
    outputs = _outputs(opened, to)
    return Exported(path, outputs, count, agreement, difference, int8.check if int8 else None, notes)


def _check(model: AnyModel, precision: str) -> None:
    """Raise RequestError for a model that no graph can hold."""
    if precision == "int8" and isinstance(model, Ensemble):
        raise RequestError("an ensemble is exported in float32, not int8")
    for member in model.members if isinstance(model, Ensemble) else (model,):
        if precision == "int8":
            member.task.require_vectors("models of masks and boxes are exported in float32, not int8")
        if member.task.searched:
            raise RequestError(
                f"captions are not exported ({member.net}): each is found by a search of many passes, a graph is one"
            )
        if member.classifier:
            raise RequestError(
                f"the head of the model ({member.net}) is {IN_WORDS.get(member.classifier, member.classifier)}, which "
                "is no layer of a network: it is not exported; train a linear head, such as --head logistic"
            )


def _int8(model: AnyModel, to: str, source: Source, progress: Progress) -> Int8Backbone | Int8File:
    """The model in int8, checked. Raises WorkError where it predicts otherwise."""
    assert isinstance(model, Model)  # _check
    return int8_tflite(model, source, progress) if to == "tflite" else int8_backbone(model, to, source, progress)


def _predictor(model: AnyModel, int8: Int8Backbone | Int8File | None) -> tuple[ImagePredictor, Expected]:
    """The predictor whose preprocessing and outputs the graph should have; with `int8`, from its embeddings."""
    if isinstance(model, Ensemble):
        whole = ensemble_predictor(model, engine="auto", precision="auto", many=False)
        return whole, lambda crop: _finite(whole, crop)
    predictor = Predictor(model)
    if isinstance(int8, Int8File):
        return predictor, lambda crop: [int8.run.predictions(crop)[0]]
    return predictor, lambda crop: _expected(predictor, (int8.run if int8 else predictor.embed)(crop))


def _finite(predictor: ImagePredictor, crop: Images) -> list[NDArray[np.float32]]:
    """The outputs that the graph should have for an image [1, ...]. Raises RequestError where they are not finite."""
    row, distance = predictor.finite_rows(crop)[0]
    return [row] if distance is None else [row, np.asarray(distance, np.float32)]


def _check_format(model: AnyModel, to: str, precision: str) -> None:
    """Raise RequestError for a model that this format does not hold."""
    if to not in CROPPED:
        return
    if isinstance(model, Ensemble):
        raise RequestError(f"an ensemble is exported to onnx or openvino, not to {to}")
    if precision != "float32" and to != "tflite":
        raise RequestError(f"int8 is exported to onnx, openvino or tflite, not to {to}")
    model.task.require_vectors(f"masks and boxes are exported to onnx or openvino, not to {to}")


def _outputs(model: AnyModel, to: str) -> tuple[str, ...]:
    if model.task.boxes:
        return f"boxes [N, {MOST}, 4]", f"scores [N, {MOST}]", f"labels [N, {MOST}]"
    size = [f"{model.pixels.height}, {model.pixels.width}"] if isinstance(model, Model) and model.task.dense else []
    first = f"{model.task.output_name} [N, {', '.join([str(model.task.outputs), *size])}]"
    members = model.members if isinstance(model, Ensemble) else (model,)
    known = all(map(OODDetector.of, members)) and to not in CROPPED
    return (first, "distances [N]") if known else (first,)


def _beside(given: Path, model: AnyModel, to: str) -> Path:
    if given.is_dir():
        return given / f"model{SUFFIXES[to]}"
    return given.with_name(given.stem + SUFFIXES[to]) if given.exists() else Path(f"{model.net}{SUFFIXES[to]}")


def _written(
    model: AnyModel, to: str, draft: Path, int8: Int8Backbone | Int8File | None
) -> tuple[GraphOutputs, tuple[str, ...]]:
    """Write the draft; gives it as it is run by others, and what its user is told."""
    if to not in CROPPED:
        backbone = int8.graph if isinstance(int8, Int8Backbone) else None
        return (_write_onnx if to == "onnx" else _write_openvino)(model, draft, backbone), ()
    assert isinstance(model, Model)  # _check_format
    if isinstance(int8, Int8File):
        done = int8.write(model, draft)
    else:
        done = importlib.import_module(CROPPED[to]).write(model, draft)
    pixels = model.pixels
    return lambda images: [done.run(np.stack([pixels.apply(Image.fromarray(one)) for one in images]))], done.notes


def _write_onnx(model: AnyModel, path: Path, backbone: Any) -> GraphOutputs:
    onnxruntime = import_onnxruntime()  # before the exporter, which may import it, too
    from striate.interop.onnx_graph import onnx_ensemble, onnx_graph
    from striate.interop.output_layers import output_names

    graph = onnx_ensemble(model) if isinstance(model, Ensemble) else onnx_graph(model, backbone)
    path.write_bytes(graph.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: [np.asarray(output) for output in session.run(output_names(model), {"images": images})]


def _write_openvino(model: AnyModel, path: Path, backbone: Any) -> GraphOutputs:
    from striate.interop.openvino_graph import write_openvino

    write_openvino(model, path, backbone)
    compiled = import_openvino().Core().compile_model(str(path), "CPU")  # as a user does, without options

    def outputs(images: Images) -> list[NDArray[np.float32]]:
        try:
            return [np.array(compiled([images])[output]) for output in compiled.outputs]
        except RuntimeError as error:  # as of ENet: "object is not initialized"
            raise WorkError(
                f"the openvino graph is not written: OpenVINO cannot compute {model.net} in float32; export it to onnx"
            ) from error

    return outputs


def _compare(
    predictor: ImagePredictor,
    wanted: Expected,
    source: Source,
    graph: GraphOutputs,
    progress: Progress,
) -> tuple[int, float, float]:
    """The number of images compared, the fraction of equal predictions, and the largest difference.

    wanted: the outputs expected of a crop [1, ...].
    """
    step = max(1, len(source.items) // COMPARED)
    chosen = source.items[::step][:COMPARED]
    # Few images are also compared at other sizes, until there are a hundred.
    further = math.ceil(100 / len(chosen)) - 1
    scales = [1.0, *np.linspace(0.5, 0.95, further, endpoint=False).tolist()]
    expected, found = [], []
    with progress.bar("Comparing predictions", len(chosen)) as bar:
        for item in chosen:
            bar.advance()
            try:
                content = source.read(item)
                seen = source.decode(content, predictor.view.at_least).image
                whole = source.decode(content, 0).image
            except (OSError, UnreadableImage):
                continue  # the audit lists it
            for scale in scales:
                reference, given = (seen, whole) if scale == 1 else (_scaled(whole, scale),) * 2
                outputs = graph(np.array(given)[None])
                if predictor.task.boxes:
                    outputs = [detections_of(outputs, given.height, given.width)]
                elif predictor.task.dense:  # compared as masks: the probabilities of all would fill the memory
                    outputs[0] = predictor.task.predictions(outputs[0])
                found.append([output[0] for output in outputs])
                expected.append(wanted(predictor.view.apply(reference)[None])[: len(found[-1])])
    if len(expected) < 100:
        raise RequestError(
            f"only {len(expected)} comparisons could be made, and 100 are needed; give more images with --images"
        )
    sure = SHOWN_SCORE + DIFFERENCE
    if predictor.task.boxes and not any(len(shown(rows[0], sure)) for rows in (*expected, *found)):
        raise RequestError(
            f"no object of a score above {sure:g} is found in the images, so nothing can be compared; give images with "
            "objects with --images, or train the model longer"
        )
    agreement, difference = _agreement(predictor.task, expected, found)
    return len(expected), agreement, difference


def _expected(predictor: Predictor, embedding: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The outputs that the graph should have for an image, from its embedding [1, D]."""
    outputs = [predictor.finite_predictions(embedding)[0]]
    return outputs + ([predictor.ood_detector.distances(embedding)[0]] if predictor.ood_detector else [])


def _agreement(
    task: Task, expected: list[list[NDArray[np.float32]]], found: list[list[NDArray[np.float32]]]
) -> tuple[float, float]:
    ours, theirs = (np.stack([row[0] for row in rows]) for rows in (expected, found))
    agreed = task.agreement(ours, theirs, ties=DIFFERENCE)
    further = max((float(np.abs(a[1] - b[1])) for a, b in zip(expected, found, strict=True) if len(a) > 1), default=0.0)
    return agreed.share, max(agreed.difference, further)


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
