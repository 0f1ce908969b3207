"""Predictions in the studio's process: models opened when first asked for, run on threads, never on the event loop."""

from __future__ import annotations

import contextlib
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from striate.decoding.budget import at_most
from striate.inference.image_predictor import ImagePredictor, Prediction, Row
from striate.inference.predictor import Predictor
from striate.jobs.load import load
from striate.pixels import Images, UnreadableImage, decode
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.studio.pictures import data_address, encoded
from striate.tasks.box_pictures import COLOURS
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.tasks.found_objects import found_objects
from striate.tasks.segmentation_evaluation import colours, overlay
from striate.tasks.values import ranked_probabilities
from striate.web.limits import Limits
from striate.web.refusals import Refused, overloaded

KEPT = 2  # models that stay open; the one asked for longest ago is closed
WAITING = 16  # pictures that are predicted or wait; one more is answered 503
BARS = 8  # names with a bar
SEEN = 384  # pixels of the picture of what the net sees
LOW = 0.1  # the least score of objects that are sent to a page
OVER = 130  # of 255, how much a mask covers the picture


@dataclass(eq=False)
class _Opened:
    """A model's file, opened by whoever asks first. One image at a time is run."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    thing: Any = None  # an ImagePredictor, or Answers


@dataclass(frozen=True)
class Asking:
    """A file that is asked, as what, and how it is opened."""

    path: Path
    kind: str
    opening: Callable[[], Answers]


@dataclass(frozen=True)
class Answered:
    """What was found, and facts about it that all applications have. names: of neighbours, as a page shows them."""

    row: Any
    facts: dict[str, Any]
    names: list[str]


class _Look(NamedTuple):
    """What the net sees of an image, what it gives, and the size of the image, upright.

    captions: of a captioner, those in the beam, each with its share.
    """

    crop: Images
    row: Row
    size: tuple[int, int]
    captions: list[tuple[str, float]]


class Predictors:
    """The models that pages try. No torch is imported where OpenVINO runs a model."""

    def __init__(self, limits: Limits) -> None:
        self._pixels, self._decoders = limits.pixels, threading.Semaphore(limits.decoders)
        self._lock, self._waiting = threading.Lock(), 0
        self._opened: OrderedDict[tuple[str, int, str], _Opened] = OrderedDict()

    def predict(self, model: Path, content: bytes) -> dict[str, Any]:
        """What a model file says to an encoded image: see `_facts`. Blocks: called on a thread.

        Raises Refused for an image that cannot be read, and where too many wait; RequestError for a model that cannot
        be opened.
        """
        with self._counted():
            found = self._model(model, "")
            with found.turn:
                if found.thing is None:
                    opened = load(model)
                    opened.rows(np.zeros((1, *opened.view.shape), np.uint8))  # the first one opens the engine
                    found.thing = opened
            predictor, start = found.thing, time.perf_counter()
            crop, size = self._crop(predictor, content)
            with found.turn:
                cropped = time.perf_counter()
                row, captions = _ran(predictor, crop)
                ran = time.perf_counter()
            times = {"decode": 1000 * (cropped - start), "net": 1000 * (ran - cropped)}
            return _facts(predictor, predictor.prediction("the picture", row), _Look(crop, row, size, captions), times)

    def ask(self, asking: Asking, content: bytes, asked: Asked) -> Answered:
        """What another application says to an encoded image. Blocks, and raises, as `predict`."""
        with self._counted():
            found = self._model(asking.path, asking.kind)
            with found.turn:
                if found.thing is None:
                    found.thing = asking.opening()
            answers, start = found.thing, time.perf_counter()
            answers.require(asked)
            with self._decoding(min(self._pixels, answers.pixels or self._pixels)):
                image, size = answers.opened(content, asked)
            with found.turn:
                opened = time.perf_counter()
                (row,) = answers.rows([image])
                ran = time.perf_counter()
            told = answers.answer(Seen(row, size), asked)
            facts = told if isinstance(told, dict) else {}
            names = [one["path"] for one in facts.get("neighbours", ())]
            times = {"decode": round(1000 * (opened - start), 1), "net": round(1000 * (ran - opened), 1)}
            facts = facts | {"task": answers.kind, "milliseconds": times, "engine": answers.engine_name,
                             "precision": answers.precision, "size": size}  # fmt: skip
            return Answered(row, facts, names)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            if self._waiting >= WAITING:
                raise overloaded(f"{self._waiting} pictures are waiting")
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _model(self, path: Path, kind: str) -> _Opened:
        key = (str(path), path.stat().st_mtime_ns, kind)
        with self._lock:
            found = self._opened.setdefault(key, _Opened())
            self._opened.move_to_end(key)
            while len(self._opened) > KEPT:
                self._opened.popitem(last=False)
        return found

    def _crop(self, predictor: ImagePredictor, content: bytes) -> tuple[Images, tuple[int, int]]:
        """What the net sees of an image, and the width and height of the image, upright."""
        view = predictor.view
        with self._decoding(self._pixels):
            found = decode(content, at_least=view.at_least)
            return view.apply(found.image), found.upright_size

    @contextlib.contextmanager
    def _decoding(self, pixels: int) -> Iterator[None]:
        """In its turn, of at most so many pixels. Raises Refused for an image that cannot be read."""
        with self._decoders, at_most(pixels):
            try:
                yield
            except UnreadableImage as error:
                raise Refused(413 if error.kind == "bomb" else 422, f"{error.kind}: {error}") from None


def _facts(predictor: ImagePredictor, found: Prediction, look: _Look, times: dict[str, float]) -> dict[str, Any]:
    """An answer for a page. bars: name and share, the largest first. milliseconds: decoding and cropping, and the net.

    seen: what the net sees, as a data address; of a task with masks with the mask laid over it. Of a task of boxes, the
    `objects` in pixels of `size`; of masks, an `overlay` for the picture; of captions, those in the beam as bars.
    """
    task, crop = predictor.task, look.crop
    bars = ranked_probabilities(predictor.classes, found.probabilities, BARS) if len(found.probabilities) else []
    more: dict[str, Any] = {}
    if task.boxes:
        more = _boxes(predictor, look)
    elif task.masks:
        bars = list(found.answer.facts["shares"].items())[:BARS]
        more = _mask(predictor, found.value)
        crop = _laid_over(crop, found.value)
    elif look.captions:
        bars = look.captions
    told: dict[str, Any] = {
        "label": found.label, "answer": found.answer.label, "task": task.kind, "confidence": _finite(found.confidence),
        "value": None if task.dense else found.value, "bars": bars,
        "more": 0 if task.by_steps and not task.masks else max(0, len(predictor.classes) - len(bars)),
        "in_distribution": found.in_distribution, "distance": found.distance, "threshold": predictor.ood_threshold,
        "milliseconds": {name: round(value, 1) for name, value in times.items()}, "engine": predictor.engine_name,
        "precision": predictor.precision, "seen": _seen(crop), **more,
    }  # fmt: skip
    return told


def _ran(predictor: ImagePredictor, crop: Images) -> tuple[Row, list[tuple[str, float]]]:
    """What the net gives for a crop; of a captioner also the captions in the beam, the first of which is its answer."""
    if not (predictor.task.searched and isinstance(predictor, Predictor)):
        (row,) = predictor.rows(crop[None])
        return row, []
    from striate.inference.candidates import caption_candidates  # imports torch

    found = caption_candidates(predictor, crop)
    return (found[0].words, None), [(one.text or "(no words)", one.share) for one in found[:BARS]]


def _boxes(predictor: ImagePredictor, look: _Look) -> dict[str, Any]:
    """The objects of all scores from LOW on, with a colour for each class; a page shows those above its own score."""
    found = found_objects(look.row[0], look.size, predictor.classes, LOW)
    objects = [{**one.as_dict(), "colour": _hex(COLOURS[one.place % len(COLOURS)])} for one in found]
    return {"size": look.size, "objects": objects, "score": SHOWN_SCORE}


def _mask(predictor: ImagePredictor, mask: Images) -> dict[str, Any]:
    """The mask as a picture to lay over the given one, its first class clear, if the net sees all of that picture."""
    table = colours(len(predictor.classes))
    told: dict[str, Any] = {"colours": {name: _hex(table[at]) for at, name in enumerate(predictor.classes)}}
    if getattr(predictor.view, "rule", "") != "squash":
        return told
    alpha = np.where(np.asarray(mask) == 0, 0, OVER)[..., None]
    layer = Image.fromarray(np.concatenate([table[mask], alpha], -1).astype(np.uint8), "RGBA")
    file = io.BytesIO()
    layer.save(file, "PNG")
    return told | {"overlay": data_address(file.getvalue(), "image/png")}


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in colour)


def _laid_over(crop: Images, mask: Images) -> Images:
    """A crop with its mask, which may be smaller."""
    height, width = crop.shape[:2]
    wide = np.asarray(Image.fromarray(np.asarray(mask, np.uint8)).resize((width, height), Image.Resampling.NEAREST))
    return overlay(crop[..., 0] if crop.shape[2] == 1 else crop, wide)


def _seen(crop: Images) -> str:
    return data_address(
        *encoded(Image.fromarray(crop[..., 0] if crop.ndim == 3 and crop.shape[2] == 1 else crop), SEEN)
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
