"""What an inspection found: of each image its maps, and whether they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.inference.predictor import Predictor
from striate.inspect.class_maps import ClassMap
from striate.inspect.occlusion import Occlusion
from striate.inspect.sensitivity import Integrated
from striate.inspect.stages import StageMaps
from striate.inspect.trust import Deletion, Offset, Randomised
from striate.jobs.inspect_boxes import ObjectMaps
from striate.jobs.inspect_captions import CaptionMaps
from striate.jobs.inspect_masks import MaskMaps
from striate.pixels import Images
from striate.tasks import Answer


@dataclass(frozen=True, eq=False)
class Trust:
    """The checks of a class map: see `striate.inspect.trust`."""

    randomised: list[Randomised]
    edges: float
    deletion: Deletion


@dataclass(frozen=True, eq=False)
class ImageInspection:
    """What was found for one image.

    labelled: the class that its folder is named after, if there is one. photo: the photograph, upright, uint8
    [H, W, 3], at most 480 pixels; box: what the network sees of it; crop: that, uint8 [h, w, c]. logits, predictions
    [outputs]: of a model of masks, which has `masks`, their means over its region; of one of boxes, which has `boxes`,
    those of the explained box; of one of captions, which has `caption`, those of the explained word. asked: the outputs
    of the maps, one
    or two indices, the first is explained. classes: their class maps; gradient [H, W]: the strength of SmoothGrad;
    occlusion; integrated: integrated gradients; each None if it was not asked for, like `trust`, the checks of the
    first class map.
    """

    path: str
    labelled: int | None
    photo: Images
    box: tuple[int, int, int, int]
    crop: Images
    answer: Answer
    logits: NDArray[np.float32]
    predictions: NDArray[np.float32]
    masks: MaskMaps | None
    boxes: ObjectMaps | None
    caption: CaptionMaps | None
    asked: tuple[int, ...]
    classes: ClassMap | None
    gradient: NDArray[np.float32] | None
    occlusion: Occlusion | None
    integrated: Integrated | None
    trust: Trust | None
    stages: list[StageMaps]


@dataclass(frozen=True, eq=False)
class Inspection:
    """The images, the layer of the class maps, and how far the maps are off their place (None: not measured).

    bfloat16: what is computed in it: "checks", "gradient", "occlusion".
    """

    predictor: Predictor
    layer: str
    offset: Offset | None
    images: list[ImageInspection]
    bfloat16: tuple[str, ...]
