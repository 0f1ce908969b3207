"""The predictor of one network: a model and an engine, from image files to named probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.classifiers import IN_WORDS, ClassifierHead
from striate.inference.engine import Engine, in_batches
from striate.inference.image_predictor import OUT_OF_DISTRIBUTION, AnyImage, ImagePredictor, Prediction, Row
from striate.inference.ood import OODDetector
from striate.model import Model
from striate.pixels import Images, Pixels
from striate.tasks import Task
from striate.tasks.values import DENSE

__all__ = ["OUT_OF_DISTRIBUTION", "Prediction", "Predictor"]

if TYPE_CHECKING:
    from torch import Tensor

    from striate.inference.averaging import Part
    from striate.nets.base import Net


class Predictor(ImagePredictor):
    """A model ready to predict. `striate.load` makes one.

    engine: "auto", "openvino" or "torch". precision: "float32", "bfloat16", "int8" (after `striate.quantize`), or
    "auto", that of its metrics. many: open the engine for many images at a time, not for few. It is opened at the first
    image.
    """

    def __init__(self, model: Model, *, engine: str = "auto", precision: str = "auto", many: bool = False) -> None:
        self.model, self.many = model, many
        self.precision = str(model.metrics.get("precision", "float32")) if precision == "auto" else precision
        self.engine_name, self.engine_note = choose_engine(engine, self.precision, searched=model.task.searched)
        self.ood_detector = OODDetector.of(model)
        self.classifier_head = ClassifierHead.of(model)

    @property
    def task(self) -> Task:
        """The model's task."""
        return self.model.task

    @property
    def view(self) -> Pixels:
        """The model's preprocessing."""
        return self.model.pixels

    @property
    def described(self) -> str:
        """The name of the network."""
        return self.model.net

    @property
    def ood_threshold(self) -> float | None:
        """The detector's threshold."""
        return None if self.ood_detector is None else self.ood_detector.threshold

    @property
    def callers(self) -> int:
        """Those of the engine."""
        return self.engine.callers

    @property
    def averaged(self) -> tuple[Part, ...]:
        """This network alone."""
        from striate.inference.averaging import Part

        return (Part(self, self.view),)

    @cached_property
    def engine(self) -> Engine:
        """The engine, opened when first used."""
        return open_engine(self.model, self.engine_name, self.precision, many=self.many)

    def forget_weights(self) -> None:
        """See `ImagePredictor`: `net` and `transform` cannot be had then."""
        if self.engine.forget_weights():
            head = {name: tensor for name, tensor in self.model.tensors.items() if self.model.in_head(name)}
            self.model = dataclasses.replace(self.model, tensors=head)

    @cached_property
    def net(self) -> Net:
        """The network as a torch module, on the CPU and in eval mode: `net(transform(images))` are the logits.

        Built with the model's weights when first used. It shares nothing with the engine: training it, or moving it to
        a GPU, does not change the predictions of `predict`. Raises RequestError for a model whose head is no layer.
        """
        if self.classifier_head:
            kind = IN_WORDS[self.model.classifier]
            raise RequestError(f"the head of this model is {kind}, no layer of a network; `embed` gives its embeddings")
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
        """Embeddings [N, D] -> logits [N, outputs], float32: by the linear head, or the classifier in its place."""
        if not self.model.head:
            return embeddings
        weight = self.model.tensors[f"{self.model.head}.weight"]
        bias = self.model.tensors.get(f"{self.model.head}.bias")
        if weight.shape[1] != embeddings.shape[1]:  # the net may come from a cache, which does not check this head
            raise RequestError(f"the model's head takes {weight.shape[1]} features; its net has {embeddings.shape[1]}")
        if self.classifier_head:
            return self.classifier_head.logits(embeddings)
        logits: NDArray[np.float32] = embeddings @ weight.T
        return logits if bias is None else logits + bias

    def predictions(self, crops: Images) -> NDArray[np.float32]:
        """See `ImagePredictor.predictions`; the OOD detector is not asked."""
        if len(crops) == 0:
            return self.task.no_predictions()
        if self.task.dense:  # a few at a time: the logits of all would not fit into memory
            parts = [crops[start : start + DENSE] for start in range(0, len(crops), DENSE)]
            return np.concatenate([self.finite_predictions(self.embed(part)) for part in parts])
        return self.finite_predictions(self.embed(crops))

    def finite_predictions(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings [N, D] -> the task's predictions [N, outputs]. Raises RequestError where they are not finite."""
        rows = self._predictions_or_nan(embeddings)
        if np.isnan(rows).any():
            raise self._not_finite("an image")
        return rows

    def rows(self, crops: Images) -> list[Row]:
        """uint8 [N, H, W, C] -> for each its predictions, NaN where they are not finite, and its distance."""
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
        usable = np.array(
            [np.isfinite(one).all() and np.isfinite(row).all() for one, row in zip(logits, rows, strict=True)]
        )
        if usable.all():
            return rows
        return np.where(usable.reshape(-1, *(1,) * (rows.ndim - 1)), rows, np.float32(np.nan))

    def _no_crops(self) -> Images:
        pixels = self.model.pixels
        return np.zeros((0, pixels.height, pixels.width, pixels.channels), np.uint8)
