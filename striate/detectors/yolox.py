"""YOLOX: its ONNX files, run by onnxruntime on pictures.

Source: Ge, Liu, Wang, Li, Sun 2021, arXiv:2107.08430, and their code (Megvii-BaseDetection/YOLOX, Apache-2.0) for
the preprocessing and the decoding of outputs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.inference.runtimes import import_onnxruntime
from striate.reading import WEIGHTS, read_given
from striate.tasks.boxes import nms

STRIDES = (8, 16, 32)
GREY = 114.0  # of the part of the input that the picture does not fill
LEAST_SCORE, OVERLAP, MOST = 0.001, 0.65, 2_000  # for average precision; MOST: before suppression
FIRST = 5  # of the columns of classes: before them centre, width, height and the probability of an object

# The classes of COCO in the order of its detectors.
_NAMES = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
"""
COCO = tuple(" ".join(name.split()) for name in _NAMES.split(","))


@dataclass(frozen=True, eq=False)
class Yolox:
    """A YOLOX network ready to run. session: of onnxruntime. side: of the input, in pixels. names: of the classes."""

    session: Any
    side: int
    names: tuple[str, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str], names: Sequence[str] = COCO) -> Yolox:
        """An ONNX file whose outputs are not decoded. Raises RequestError for a file that is none, or does not fit."""
        content = read_given(Path(path), "the detector", WEIGHTS)
        try:
            session = import_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
            given, out = session.get_inputs()[0].shape, session.get_outputs()[0].shape
        except Exception as error:  # its exceptions have no common class of their own
            why = str(error).splitlines()[0]
            raise RequestError(f"{str(path)!r} is no ONNX file that onnxruntime opens: {why}") from error
        side = given[-1] if isinstance(given[-1], int) else 0
        wanted = [1, sum((side // stride) ** 2 for stride in STRIDES), FIRST + len(names)]
        if list(out) != wanted:
            raise RequestError(f"{str(path)!r} gives {list(out)}, where YOLOX of {len(names)} classes gives {wanted}")
        return cls(session, side, tuple(names))

    def find(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A picture uint8 [H, W, 3] (RGB) -> float32 [K, 6]: class, score and box in pixels, the best first."""
        given, scale = letterboxed(image, self.side)
        (raw,) = self.session.run(None, {self.session.get_inputs()[0].name: given})
        return kept(decoded(raw[0], self.side), scale)


def letterboxed(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], float]:
    """The network's input [1, 3, side, side] in blue, green, red from 0 to 255, and how much the picture was scaled.

    The picture is fitted into the upper left corner, bilinear without anti-aliasing, as OpenCV does.
    """
    scale = min(side / image.shape[0], side / image.shape[1])
    size = (int(image.shape[0] * scale), int(image.shape[1] * scale))
    picture = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)[None].float()
    resized = F.interpolate(picture, size, mode="bilinear", align_corners=False).round().numpy()
    whole = np.full((1, 3, side, side), GREY, np.float32)
    whole[:, :, : size[0], : size[1]] = resized
    return whole, scale


def decoded(raw: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Outputs [places, 5 + classes] with centre, width and height in pixels of the input."""
    grids, strides = [], []
    for stride in STRIDES:
        count = side // stride
        rows, columns = np.divmod(np.arange(count * count), count)
        grids.append(np.stack([columns, rows], 1))
        strides.append(np.full((count * count, 1), stride, np.float32))
    found, scale = raw.copy(), np.concatenate(strides)
    found[:, :2] = (raw[:, :2] + np.concatenate(grids)) * scale
    found[:, 2:4] = np.exp(raw[:, 2:4]) * scale
    return found


def kept(outputs: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Decoded outputs -> float32 [K, 6], suppressed within each class, boxes in pixels of the picture.

    A place may be of several classes, where the authors' code takes the best one alone: more objects are found.
    """
    chances = outputs[:, FIRST:] * outputs[:, 4, None]
    places, names = np.nonzero(chances >= LEAST_SCORE)
    order = np.argsort(-chances[places, names], kind="stable")[:MOST]
    places, names = places[order], names[order]
    scores, centre, half = chances[places, names], outputs[places, :2], outputs[places, 2:4] / 2
    boxes = np.concatenate([centre - half, centre + half], 1) / scale
    best = nms(boxes, scores, OVERLAP, names)
    rows = np.concatenate([names[best, None], scores[best, None], boxes[best]], axis=1)
    return np.asarray(rows, np.float32)
