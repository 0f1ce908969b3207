"""From images to predictions: what a predictor of one network and one that averages several have in common."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.augment.crops import View
from striate.data.threads import in_order
from striate.decoding.decode import decode
from striate.errors import RequestError
from striate.inference.engine import in_batches
from striate.pixels import Decoded, Images, UnreadableImage, upright
from striate.progress import Progress
from striate.reading import IMAGE, read_file
from striate.tasks import Answer, Task
from striate.tasks.values import MetricFunction

if TYPE_CHECKING:
    from striate.data.opening import Data
    from striate.inference.averaging import Part
    from striate.inference.evaluation import ModelEvaluation

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


Row = tuple[NDArray[np.float32], float | None]  # an image's predictions [outputs], and its OOD distance


class ImagePredictor(ABC):
    """A model ready to predict: `Predictor`, of one network, or `AveragePredictor`, of several networks or views."""

    engine_name: str
    engine_note: str
    precision: str

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is predicted, with the names of the outputs."""

    @property
    @abstractmethod
    def view(self) -> View:
        """The preprocessing from an image to what `rows` takes."""

    @property
    @abstractmethod
    def described(self) -> str:
        """The networks, for errors."""

    @property
    @abstractmethod
    def ood_threshold(self) -> float | None:
        """The distance from which an image is out of distribution; None without a detector."""

    @property
    @abstractmethod
    def averaged(self) -> tuple[Part, ...]:
        """The networks and views whose predictions are averaged: for a single network itself."""

    @abstractmethod
    def rows(self, crops: Images) -> list[Row]:
        """uint8 [N, *view.shape] -> for each image its predictions, NaN where they are not finite, and its distance."""

    @property
    def callers(self) -> int:
        """How many threads should call `rows` at a time, where many images come one by one. It opens the engines."""
        return 1

    def forget_weights(self) -> None:  # noqa: B027  (most have nothing to let go of)
        """Let go of weights that only others than `rows` need, where the engine has its own: a server needs no more."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.task.names

    def predictions(self, crops: Images) -> NDArray[np.float32]:
        """uint8 crops [N, *view.shape], as `view.apply` makes them -> the task's predictions [N, outputs].

        Probabilities over the classes, or of each label; for regression, the values. Raises RequestError where the
        network gives NaN or infinity.
        """
        if len(crops) == 0:
            return self.task.no_predictions()
        return np.stack([row for row, _ in self.finite_rows(crops)])

    def finite_rows(self, crops: Images) -> list[Row]:
        """`rows`. Raises RequestError where predictions are not finite."""
        found = self.rows(crops)
        if any(np.isnan(row).any() for row, _ in found):
            raise self._not_finite("an image")
        return found

    def predict(self, images: Iterable[AnyImage] | str | Path) -> list[Prediction]:
        """Predict image files, Pillow images or uint8 RGB arrays [H, W, 3]. A single path is one image.

        Raises RequestError, naming the image, for one that cannot be read.
        """
        return list(self.predict_crops(self._cropped(images)))

    def predict_crops(self, crops: Iterable[tuple[str, Images]]) -> Iterator[Prediction]:
        """A prediction for each (name, crop as `crop` makes it), a batch at a time; crops are consumed lazily."""
        for name, row in in_batches(self.rows, crops):
            yield self.prediction(name, row)

    def prediction(self, name: str, row: Row) -> Prediction:
        """The prediction of an image of that name, from what `rows` gives for it.

        Raises RequestError, naming the image, where the row is not finite.
        """
        values, distance = row
        if np.isnan(values).any():
            raise self._not_finite(repr(name))
        threshold = self.ood_threshold
        inside = None if threshold is None or distance is None else distance <= threshold
        return Prediction(name, self.task.answer(values), distance, inside)

    def evaluate(
        self,
        data: Data,
        *,
        part: str = "",
        views: str = "",
        metrics: Mapping[str, MetricFunction] | None = None,
        progress: Progress | None = None,
    ) -> ModelEvaluation:
        """Evaluate the model on labelled images: see `striate.evaluate`."""
        from striate.data.opening import open_source
        from striate.inference.evaluation import evaluate_views

        return evaluate_views(self, open_source(data), part=part, views=views, metrics=metrics or {}, progress=progress)

    def crop(self, image: AnyImage, name: str) -> Images:
        """The network's input for one image, before normalisation: uint8 [*view.shape]."""
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
                return self.view.apply(upright(image)[0])
            except OSError as error:  # Pillow reads an opened image only now
                raise RequestError(f"cannot use {name}: {error}") from error
        return self.view.apply(decoded_file(Path(image), self.view.at_least).image)

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

    def _not_finite(self, image: str) -> RequestError:
        return RequestError(
            f"the outputs of the model ({self.described}, {self.precision}) for {image} are NaN or infinite: its "
            "weights are damaged, or do not fit the network and its preprocessing"
        )


def decoded_file(path: Path, at_least: int) -> Decoded:
    """An image file, decoded as `striate.pixels.decode` does. Raises RequestError, with its name and the reason."""
    try:
        return decode(read_file(path, IMAGE), at_least=at_least)
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except UnreadableImage as error:
        named = error.kind in ("not-read", "not-an-image", "bomb")  # by its reason
        kind = "" if named else f"{error.kind}, "
        raise RequestError(f"cannot use {str(path)!r}: {kind}{error}") from error
