"""What a detector gives for an image: the objects that it finds, and the one whose score is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.pixels import Images
from striate.sections import Block, Heading, MapPicture, MapPictures, Strong, Text
from striate.sections.wording import percent
from striate.tasks.box_pictures import Drawn, draw_boxes
from striate.tasks.detection import Detection
from striate.tasks.detection_arrays import FOUND_BOX, FOUND_CLASS, PREDICTED, SCORE, class_scores
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.tasks.found_objects import FoundObject, found_objects


@dataclass(frozen=True, eq=False)
class ObjectMaps:
    """The objects of one image, their boxes as shares of its sides, and the one that is explained; whether `objects`,
    those of a score that is shown, have it."""

    objects: tuple[FoundObject, ...]
    explained: FoundObject
    found: bool

    @property
    def line(self) -> str:
        """How many objects are found, and which is explained."""
        return f"{len(self.objects)} found; {printable(self.explained.label)} {percent(self.explained.score)}"

    def drawn(self, crop: Images, *, alone: bool) -> NDArray[np.uint8]:
        """The image with the explained object's box and, unless it is `alone`, those of the others."""
        some = (self.explained,) if alone else (*self.objects, *(() if self.found else (self.explained,)))
        return draw_boxes(crop, [_drawn(one, crop) for one in some])


def asked_object(name: str, names: Sequence[str]) -> tuple[int | None, int]:
    """What `name` asks for: the class, None for any, and which of its objects, from 0: "person:2" is the second best.

    Raises RequestError for a number below 1.
    """
    given, colon, number = name.rpartition(":")
    if name in names or not colon or given not in names:
        return (names.index(name) if name in names else None), 0
    if not number.isdecimal() or int(number) < 1:
        raise RequestError(f"the objects of a class are numbered from 1, the best first, not {number!r}")
    return names.index(given), int(number) - 1


def object_maps(outputs: NDArray[np.float32], task: Detection, wanted: int | None, place: int) -> ObjectMaps:
    """A detector's outputs [rows, 9 + classes] -> its objects, and the one at `place` among those of class `wanted`.

    The best one need not have a score that is shown. Raises RequestError where there are not so many.
    """
    rows = task.predictions(outputs[None])[0]
    objects = found_objects(rows, (1, 1), task.names, SHOWN_SCORE)
    own = rows[(rows[:, FOUND_CLASS] >= 0) if wanted is None else rows[:, FOUND_CLASS] == wanted]
    if place == 0 and not len(own):  # none above the least score of a detection: the best row
        scores = class_scores(outputs)
        some = scores if wanted is None else scores[:, wanted : wanted + 1]
        row, column = np.unravel_index(int(some.argmax()), some.shape)
        own = np.zeros((1, 6), np.float32)
        own[0, FOUND_CLASS], own[0, SCORE] = column if wanted is None else wanted, some[row, column]
        own[0, FOUND_BOX] = outputs[row, PREDICTED].clip(0, 1)
    if place >= len(own):
        raise RequestError(
            f"there is no object {place + 1} of {task.names[wanted or 0]!r}: there are {len(own)}, of any score"
        )
    (chosen,) = found_objects(own[place : place + 1], (1, 1), task.names, 0.0)
    return ObjectMaps(objects, chosen, chosen in objects)


def about_object(maps: ObjectMaps) -> str:
    """What is explained, in words; plain text, as a terminal shows it."""
    one = maps.explained
    more = "" if maps.found else f", which is under {SHOWN_SCORE:g}: it is not shown as found"
    x1, y1, x2, y2 = (percent(side) for side in one.box)
    return f"{printable(one.label)}: the logit of its box from {x1}, {y1} to {x2}, {y2}, score {one.score:.2f}{more}"


def object_pictures(maps: ObjectMaps, crop: Images) -> list[tuple[str, MapPicture]]:
    """The objects found, and the explained one, by their names."""
    beside = "" if maps.found else ", and the one explained below"
    about = (Strong("The objects found"), f" with their scores{beside}")
    return [
        ("objects", MapPicture(maps.drawn(crop, alone=False), about)),
        ("explained", MapPicture(maps.drawn(crop, alone=True), (Strong("The object explained below"),))),
    ]


def object_blocks(maps: ObjectMaps, crop: Images) -> list[Block]:
    """The part of the page about one image's objects."""
    pictures = tuple(picture for _, picture in object_pictures(maps, crop))
    return [Heading("What is found?"), MapPictures(pictures), Text(f"Explained below is {about_object(maps)}.")]


def _drawn(one: FoundObject, crop: Images) -> Drawn:
    height, width = crop.shape[:2]
    x1, y1, x2, y2 = one.box
    return Drawn((x1 * width, y1 * height, x2 * width, y2 * height), one.place, f"{one.label} {one.score:.2f}")
