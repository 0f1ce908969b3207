"""The predictor: a model and an engine, from image files to named probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.threads import in_order
from striate.errors import RequestError
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.engine import Engine, in_batches
from striate.inference.ood import OODDetector
from striate.model import Model
from striate.pixels import Decoded, Images, UnreadableImage, upright
from striate.progress import Progress
from striate.reading import IMAGE, read_file
from striate.tasks import Answer
from striate.tasks.values import MetricFunction

if TYPE_CHECKING:
    from torch import Tensor

    from striate.data.opening import Data
    from striate.inference.evaluation import ModelEvaluation
    from striate.nets.base import Net

OUT_OF_DISTRIBUTION = "out of distribution"

AnyImage = str | Path | Image.Image | Images


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    answer: the task's interpretation of the network's outputs. distance: from the training images in feature space;
    in_distribution: whether it is within the OOD detector's threshold; both None for a model without a detector.
    """

    source: str
    answer: Answer
    distance: float | None = None
    in_distribution: bool | None = None

    @property
    def label(self) -> str:
        """As text: the class, the labels or the value; "out of distribution" if the detector rejects the image."""
        return OUT_OF_DISTRIBUTION if self.in_distribution is False else self.answer.label

    @property
    def confidence(self) -> float:
        """The probability of the predicted class, or of the most probable label; NaN for regression."""
        return self.answer.confidence

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of all classes (summing to 1) or of each label, in the model's order; empty for regression."""
        return self.answer.probabilities

    @property
    def value(self) -> Any:
        """The predicted value of regression; otherwise None."""
        return self.answer.value


class Predictor:
    """A model ready to predict. `striate.load` makes one.

    engine: "auto", "openvino" or "torch". precision: "float32", "bfloat16", "int8" (after `striate.quantize`), or
    "auto", that of its metrics. many: open the engine for many images at a time, not for few. It is opened at the first
    image.
    """

    def __init__(self, model: Model, *, engine: str = "auto", precision: str = "auto", many: bool = False) -> None:
        self.model, self.many = model, many
        self.precision = str(model.metrics.get("precision", "float32")) if precision == "auto" else precision
        self.engine_name, self.engine_note = choose_engine(engine, self.precision)
        self.ood_detector = OODDetector.of(model)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.model.classes

    @cached_property
    def engine(self) -> Engine:
        """The engine, opened when first used."""
        return open_engine(self.model, self.engine_name, self.precision, many=self.many)

    @cached_property
    def net(self) -> Net:
        """The network as a torch module, on the CPU and in eval mode: `net(transform(images))` are the logits.

        Built with the model's weights when first used. It shares nothing with the engine: training it, or moving it to
        a GPU, does not change the predictions of `predict`.
        """
        from striate.inference.backbones import net_of

        return net_of(self.model)

    def transform(self, images: Iterable[AnyImage] | str | Path) -> Tensor:
        """Images as `net` takes them: float32 [N, channels, height, width], cropped, resized and normalised.

        It takes the same images, and does the same preprocessing, as `predict`. Raises RequestError as it does.
        """
        from striate.inference.backbones import normalised

        crops = [crop for _, crop in self._cropped(images)]
        return normalised(np.stack(crops) if crops else self._no_crops(), self.model)

    def embed(self, crops: Images) -> NDArray[np.float32]:
        """uint8 crops [N, H, W, C] -> embeddings [N, D]; logits, for a net that does not end in a linear layer."""
        if len(crops) == 0:
            return np.zeros((0, 0), np.float32)
        return np.stack([row for _, row in in_batches(self.engine.run, enumerate(crops))])

    def logits(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings [N, D] -> logits [N, outputs]: the linear head, in float32."""
        if not self.model.head:
            return embeddings
        weight = self.model.tensors[f"{self.model.head}.weight"]
        bias = self.model.tensors.get(f"{self.model.head}.bias")
        if weight.shape[1] != embeddings.shape[1]:  # the net may come from a cache, which does not check this head
            raise RequestError(f"the model's head takes {weight.shape[1]} features; its net has {embeddings.shape[1]}")
        logits: NDArray[np.float32] = embeddings @ weight.T
        return logits if bias is None else logits + bias

    def predictions(self, crops: Images) -> NDArray[np.float32]:
        """uint8 crops [N, H, W, C], as `Pixels.apply` makes them -> the task's predictions [N, outputs].

        Probabilities over the classes, or of each label; for regression, the values. Raises RequestError where the
        network gives NaN or infinity.
        """
        if len(crops) == 0:
            return np.zeros((0, len(self.classes)), np.float32)
        return self.finite_predictions(self.embed(crops))

    def finite_predictions(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings [N, D] -> the task's predictions [N, outputs]. Raises RequestError where they are not finite."""
        rows = self._predictions_or_nan(embeddings)
        if np.isnan(rows).any():
            raise self._not_finite("an image")
        return rows

    def predict(self, images: Iterable[AnyImage] | str | Path) -> list[Prediction]:
        """Predict image files, Pillow images or uint8 RGB arrays [H, W, 3]. A single path is one image.

        Raises RequestError, naming the image, for one that cannot be read.
        """
        return list(self.predict_crops(self._cropped(images)))

    def predict_crops(self, crops: Iterable[tuple[str, Images]]) -> Iterator[Prediction]:
        """A prediction for each (name, uint8 crop [H, W, C]), a batch at a time; crops are consumed lazily."""
        for name, (row, distance) in in_batches(self._rows, crops):
            if np.isnan(row).any():
                raise self._not_finite(repr(name))
            yield self._prediction(name, row, distance)

    def evaluate(
        self,
        data: Data,
        *,
        part: str = "",
        ten_crop: bool = False,
        metrics: Mapping[str, MetricFunction] | None = None,
        progress: Progress | None = None,
    ) -> ModelEvaluation:
        """Evaluate the model on labelled images: see `striate.evaluate`."""
        from striate.data.opening import open_source
        from striate.inference.evaluation import ModelEvaluation, evaluate_on

        evaluation, found = evaluate_on(
            open_source(data),
            self.model.task,
            self.model.pixels,
            self.predictions,
            part=part,
            ten_crop=ten_crop,
            metrics=metrics or {},
            progress=progress,
        )
        return ModelEvaluation(evaluation, found, self.engine_name, self.precision)

    def crop(self, image: AnyImage, name: str) -> Images:
        """The network's input for one image, before normalisation: uint8 [H, W, C]."""
        if isinstance(image, np.ndarray):
            if (
                image.dtype != np.uint8
                or image.ndim not in (2, 3)
                or image.shape[2:] not in ((), (3,))
                or not image.size
            ):
                raise RequestError(f"{name}: arrays must be uint8 [H, W, 3] or [H, W], not {image.dtype} {image.shape}")
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            try:
                return self.model.pixels.apply(upright(image)[0])
            except OSError as error:  # Pillow reads an opened image only now
                raise RequestError(f"cannot use {name}: {error}") from error
        return self.model.pixels.apply(self._decoded(Path(image)).image)

    def _cropped(self, images: Iterable[AnyImage] | str | Path) -> Iterator[tuple[str, Images]]:
        """Each image's name and crop; files are read and decoded on several threads."""
        items = [images] if isinstance(images, (str, Path)) else list(images)
        named = [
            (str(item) if isinstance(item, (str, os.PathLike)) else f"image {place}", item)
            for place, item in enumerate(items)
        ]

        def one(pair: tuple[str, AnyImage]) -> tuple[str, Images]:
            return pair[0], self.crop(pair[1], pair[0])

        # The same Pillow image may occur twice, and is not safe to load from two threads.
        files = all(isinstance(item, (str, os.PathLike)) for item in items)
        return in_order(one, named) if files and len(items) > 1 else map(one, named)

    def _rows(self, crops: Images) -> list[tuple[NDArray[np.float32], float | None]]:
        """For each crop its row of predictions, and its distance if there is a detector."""
        embeddings = self.embed(crops)
        rows = self._predictions_or_nan(embeddings)
        detector = self.ood_detector
        distances = [None] * len(crops) if detector is None else detector.distances(embeddings).tolist()
        return list(zip(rows, distances, strict=True))

    def _predictions_or_nan(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The task's predictions [N, outputs]; all NaN for an image of which an output is NaN or infinite."""
        with np.errstate(all="ignore"):  # told by an error instead
            logits = self.logits(embeddings)
            rows = self.model.task.predictions(logits)
        usable = np.isfinite(np.concatenate([logits, rows], axis=1)).all(axis=1, keepdims=True)
        return rows if usable.all() else np.where(usable, rows, np.float32(np.nan))

    def _not_finite(self, image: str) -> RequestError:
        return RequestError(
            f"the outputs of the model ({self.model.net}, {self.precision}) for {image} are NaN or infinite: its "
            "weights are damaged, or do not fit the network and its preprocessing"
        )

    def _no_crops(self) -> Images:
        pixels = self.model.pixels
        return np.zeros((0, pixels.height, pixels.width, pixels.channels), np.uint8)

    def _decoded(self, path: Path) -> Decoded:
        try:
            return self.model.pixels.decode(read_file(path, IMAGE))
        except OSError as error:
            raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        except UnreadableImage as error:
            named = error.kind in ("not-read", "not-an-image", "bomb")  # by its reason
            kind = "" if named else f"{error.kind}, "
            raise RequestError(f"cannot use {str(path)!r}: {kind}{error}") from error

    def _prediction(self, source: str, row: NDArray[np.float32], distance: float | None) -> Prediction:
        detector = self.ood_detector
        inside = None if detector is None or distance is None else distance <= detector.threshold
        return Prediction(source, self.model.task.answer(row), distance, inside)
