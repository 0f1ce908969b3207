"""Faces in a picture, by MTCNN's cascade of three networks.

Source: Zhang et al. 2016, arXiv:1604.02878; the rounding of windows, the thresholds and the suppressions are those of
the authors' code as facenet-pytorch (MIT) has it, whose published weights are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import RequestError
from striate.layers.boxes import box_areas, nms
from striate.nets.mtcnn import ROWS, MtcnnNet
from striate.weights.checkpoints import read_checkpoint

THRESHOLDS = (0.6, 0.7, 0.7)  # of the three networks
FACTOR = 0.709  # from a size of the picture to the next: half of its area
CELL, STRIDE = 12, 2  # of P-Net


class Face(NamedTuple):
    """A face: its box x1, y1, x2, y2 in pixels, its score, and eyes, nose and corners of the mouth as x, y [5, 2]."""

    box: tuple[float, float, float, float]
    score: float
    points: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceFinder:
    """The three networks with weights. smallest: the smallest face that is looked for, in pixels."""

    nets: Mapping[str, MtcnnNet]
    smallest: int = 20

    @classmethod
    def open(cls, folder: str | os.PathLike[str], smallest: int = 20) -> FaceFinder:
        """With the weights of a folder: pnet.safetensors, rnet.safetensors, onet.safetensors.

        Raises RequestError for files that do not fit.
        """
        nets = {}
        for name in ROWS:
            nets[name] = MtcnnNet(name).eval()
            path = Path(folder) / f"{name}.safetensors"
            tensors = {key: torch.as_tensor(value) for key, value in read_checkpoint(path).arrays.items()}
            try:
                nets[name].load_state_dict(tensors)
            except RuntimeError as error:
                raise RequestError(f"{str(path)!r} has no weights of MTCNN's {name}: {error}".splitlines()[0]) from None
        return cls(nets, smallest)

    @torch.no_grad()
    def find(self, image: NDArray[np.uint8]) -> list[Face]:
        """The faces in a picture uint8 [H, W, 3] (RGB), the most certain first."""
        picture = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        boxes = self._proposed(picture)
        for name, threshold in (("rnet", THRESHOLDS[1]), ("onet", THRESHOLDS[2])):
            if not len(boxes):
                return []
            boxes, scores, points = self._checked(name, picture, boxes, threshold)
        order = scores.argsort(descending=True, stable=True)
        return [Face(tuple(boxes[n].tolist()), float(scores[n]), points[n].numpy()) for n in order]

    def _proposed(self, picture: Tensor) -> Tensor:
        """Square windows [N, 4] that P-Net takes for faces, at all sizes."""
        height, width = picture.shape[2:]
        scale, found, scores, moves = CELL / self.smallest, [], [], []
        while min(height, width) * scale >= CELL:
            shrunk = F.interpolate(picture, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            said = self.nets["pnet"](_normalised(shrunk))
            rows, columns = torch.nonzero(said.face[0] >= THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([columns, rows], 1) * STRIDE + 1
            boxes = torch.cat([(corner / scale).floor(), ((corner + CELL - 1) / scale).floor()], 1)
            chance = said.face[0, rows, columns]
            kept = nms(boxes, chance, 0.5)
            found.append(boxes[kept])
            scores.append(chance[kept])
            moves.append(said.box[0, rows, columns][kept])
            scale *= FACTOR
        if not found:
            return picture.new_zeros(0, 4)
        boxes, chance, move = torch.cat(found), torch.cat(scores), torch.cat(moves)
        kept = nms(boxes, chance, 0.7)
        return _square(_corrected(boxes[kept], move[kept], 0))

    def _checked(self, name: str, picture: Tensor, boxes: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and points of the windows that a further network takes for faces."""
        windows, usable = _windows(picture, boxes, ROWS[name].side)
        boxes = boxes[usable]
        if not len(windows):
            return boxes, boxes.new_zeros(0), boxes.new_zeros(0, 5, 2)
        said = self.nets[name](_normalised(windows))
        sure = said.face > threshold
        boxes, scores, move = boxes[sure], said.face[sure], said.box[sure]
        if said.points is None:
            kept = nms(boxes, scores, 0.7)
            return _square(_corrected(boxes[kept], move[kept], 1)), scores[kept], scores.new_zeros(len(kept), 5, 2)
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        shares = torch.stack([said.points[sure][:, :5], said.points[sure][:, 5:]], 2)
        points = shares * sides + boxes[:, None, :2] - 1
        boxes = _corrected(boxes, move, 1)
        kept = _apart(boxes, scores, 0.7)
        return boxes[kept], scores[kept], points[kept]


def _normalised(images: Tensor) -> Tensor:
    return (images - 127.5) / 128


def _corrected(boxes: Tensor, move: Tensor, inside: int) -> Tensor:
    """Boxes moved by a network's correction, in their sides. inside: 1 where both corners are pixels of the box."""
    sides = (boxes[:, 2:] - boxes[:, :2] + inside).repeat(1, 2)
    return boxes + move * sides


def _square(boxes: Tensor) -> Tensor:
    """The squares around the middle of boxes, as large as their longer side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.amax(1, keepdim=True)
    corner = boxes[:, :2] + sides / 2 - longest / 2
    return torch.cat([corner, corner + longest], 1)


def _windows(picture: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The picture within boxes, cut at its border: [N, 3, side, side]; and which boxes have anything in it."""
    height, width = picture.shape[2:]
    found, usable = [], []
    for number, (x1, y1, x2, y2) in enumerate(boxes.trunc().int().tolist()):
        part = picture[:, :, max(y1, 1) - 1 : min(y2, height), max(x1, 1) - 1 : min(x2, width)]
        if part.numel():
            found.append(F.interpolate(part, (side, side), mode="area"))
            usable.append(number)
    return torch.cat(found) if found else picture.new_zeros(0, 3, side, side), torch.tensor(usable, dtype=torch.long)


def _apart(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Suppression by the share of the smaller box: a face within another is dropped. Indices, the best first."""
    area, left, kept = box_areas(boxes), scores.argsort(descending=True, stable=True).tolist(), list[int]()
    while left:
        best = left.pop(0)
        kept.append(best)
        rest = torch.tensor(left, dtype=torch.long)
        sides = torch.minimum(boxes[rest, 2:], boxes[best, 2:]) - torch.maximum(boxes[rest, :2], boxes[best, :2])
        shared = sides.clamp_min(0).prod(1)
        inside = shared / torch.minimum(area[rest], area[best]).clamp_min(1e-6)
        left = rest[inside <= threshold].tolist()
    return torch.tensor(kept, dtype=torch.long)
