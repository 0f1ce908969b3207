"""The classifier: a model, an engine, and the way from files to named probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import RequestError
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.engine import Engine, in_batches
from striate.inference.strangers import Strangers
from striate.model import Model
from striate.pixels import Decoded, Images, UnreadableImage, upright

NONE_OF_THESE = "none of these"


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    label: in words: the class, the labels given, the number; "none of these" for a stranger to a model that knows one.
    probability: of that class, or of the surest label; of a number, NaN. probabilities: of all classes (summing to 1)
    or of each label, in the model's order; of a number, empty. value: the number. distance: from what was learnt, and
    known: whether that is near enough; None where the model does not judge it.
    """

    source: str
    label: str
    probability: float
    probabilities: NDArray[np.float32]
    value: float | None = None
    distance: float | None = None
    known: bool | None = None


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
        """uint8 crops [N, H, W, C], as `Pixels.apply` makes them -> what `Task.answers` says of them, [N, outputs]."""
        if len(crops) == 0:
            return np.zeros((0, len(self.classes)), np.float32)
        return self.model.task.answers(self.scores(self.embed(crops)))

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
        answers = self.model.task.answers(self.scores(embeddings))
        distances = self.strangers.distances(embeddings) if self.strangers else [None] * len(crops)
        rows = zip(sources, answers, distances, strict=True)
        return [self._prediction(source, row, distance) for source, row, distance in rows]

    def _prediction(self, source: str, row: NDArray[np.float32], distance: np.float32 | None) -> Prediction:
        task = self.model.task
        far = None if distance is None else float(distance)
        known = None if self.strangers is None or far is None else far <= self.strangers.limit
        if task.kind == "number":
            value, row = float(row[0]), row[:0]
            label, sure = task.spoken(value), math.nan
        elif task.kind == "labels":
            value, given = None, task.given(row[None])[0]
            label, sure = task.spoken(tuple(np.flatnonzero(given).tolist())), float(row.max())
        else:
            value, top = None, int(row.argmax())
            label, sure = task.names[top], float(row[top])
        return Prediction(source, NONE_OF_THESE if known is False else label, sure, row, value, far, known)

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
