"""The classifier: a model, an engine, and the way from files to named probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import RequestError
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.engine import Engine, in_batches
from striate.inference.strangers import Strangers
from striate.model import Model
from striate.pixels import Decoded, Images, UnreadableImage, upright
from striate.tasks import Answer

NONE_OF_THESE = "none of these"


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    answer: what the task makes of the network's outputs. distance: from the training images, and known: whether that is
    near enough; None where the model does not detect that.
    """

    source: str
    answer: Answer
    distance: float | None = None
    known: bool | None = None

    @property
    def label(self) -> str:
        """In words: the class, the labels, the number; "none of these" for an image that is not known."""
        return NONE_OF_THESE if self.known is False else self.answer.label

    @property
    def probability(self) -> float:
        """Of the predicted class, or of the most probable label; NaN where the task has none."""
        return self.answer.confidence

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of all classes (summing to 1) or of each label, in the model's order; empty where the task has none."""
        return self.answer.probabilities

    @property
    def value(self) -> Any:
        """The predicted number; None where the task predicts names."""
        return self.answer.value


class Classifier:
    """A model ready to predict. `striate.load` makes one.

    engine: "auto", "openvino" or "torch". precision: "float32", "bfloat16", or "auto", the one its metrics were
    measured with. The engine opens at the first image.
    """

    def __init__(self, model: Model, *, engine: str = "auto", precision: str = "auto") -> None:
        self.model = model
        self.engine_name, self.engine_note = choose_engine(engine)
        self.precision = str(model.metrics.get("precision", "float32")) if precision == "auto" else precision
        self.strangers = Strangers.of(model)
        self._engine: Engine | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.model.classes

    @property
    def engine(self) -> Engine:
        """The engine, opened when first asked for."""
        if self._engine is None:
            self._engine = open_engine(self.model, self.engine_name, self.precision)
        return self._engine

    def embed(self, crops: Images) -> NDArray[np.float32]:
        """uint8 crops [N, H, W, C] -> the engine's answer: embeddings, or scores for a net without a linear head."""
        return in_batches(self.engine, crops)

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings [N, D] -> scores [N, classes]: the linear head, in float32."""
        if not self.model.head:
            return embeddings
        weight = self.model.tensors[f"{self.model.head}.weight"]
        bias = self.model.tensors.get(f"{self.model.head}.bias")
        if weight.shape[1] != embeddings.shape[1]:  # the net may come from a cache, where nobody saw this head
            raise RequestError(f"the model's head takes {weight.shape[1]} features; its net has {embeddings.shape[1]}")
        scores: NDArray[np.float32] = embeddings @ weight.T
        return scores if bias is None else scores + bias

    def answers(self, crops: Images) -> NDArray[np.float32]:
        """uint8 crops [N, H, W, C], as `Pixels.apply` makes them -> predictions [N, outputs], as the task has them."""
        if len(crops) == 0:
            return np.zeros((0, len(self.classes)), np.float32)
        return self.model.task.predictions(self.scores(self.embed(crops)))

    def predict(self, images: Iterable[str | Path | Image.Image | Images] | str | Path) -> list[Prediction]:
        """Predict image files, Pillow images or uint8 RGB arrays [H, W, 3]. One path alone is one image.

        Raises RequestError, naming the image, for one that cannot be read.
        """
        items = [images] if isinstance(images, (str, Path)) else list(images)
        found: list[Prediction] = []
        for start in range(0, len(items), 64):  # bounds the memory that crops take
            chunk = items[start : start + 64]
            names = [
                str(item) if isinstance(item, (str, Path)) else f"image {start + i}" for i, item in enumerate(chunk)
            ]
            crops = [self.crop(item, name) for item, name in zip(chunk, names, strict=True)]
            found += self.predictions(names, np.stack(crops))
        return found

    def predictions(self, sources: Sequence[str], crops: Images) -> list[Prediction]:
        """What the model says of uint8 crops [N, H, W, C], named by `sources` [N]."""
        embeddings = self.embed(crops)
        answers = self.model.task.predictions(self.scores(embeddings))
        distances = self.strangers.distances(embeddings) if self.strangers else [None] * len(crops)
        rows = zip(sources, answers, distances, strict=True)
        return [self._prediction(source, row, distance) for source, row, distance in rows]

    def _prediction(self, source: str, row: NDArray[np.float32], distance: np.float32 | None) -> Prediction:
        far = None if distance is None else float(distance)
        known = None if self.strangers is None or far is None else far <= self.strangers.limit
        return Prediction(source, self.model.task.answer(row), far, known)

    def crop(self, image: str | Path | Image.Image | Images, name: str) -> Images:
        """Exactly what the network sees of one image: uint8 [H, W, C]."""
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
            except OSError as error:  # an image that was opened is only read now
                raise RequestError(f"cannot use {name}: {error}") from error
        return self.model.pixels.apply(self._decoded(Path(image)).image)

    def _decoded(self, path: Path) -> Decoded:
        try:
            return self.model.pixels.decode(path.read_bytes())
        except OSError as error:
            raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        except UnreadableImage as error:
            raise RequestError(f"cannot use {str(path)!r}: {error.kind}, {error}") from error
