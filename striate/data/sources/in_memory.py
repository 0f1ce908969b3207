"""Data given from Python: arrays and `torch.utils.data.Dataset`s as sources.

The targets decide the task: integers or text [N] are classes; a 0/1 matrix [N, labels] is multilabel; floats [N] are
regression.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.sources.arrays import ArraySource, checked_images
from striate.data.sources.base import IN_MEMORY, PARTS, Item, Oddity
from striate.data.sources.names import readable
from striate.errors import RequestError, unknown
from striate.pixels import Decoded, Images, upright
from striate.tasks import Classification, Multilabel, Regression, Target, Task
from striate.tasks.regression import LARGEST

TARGET = "target"  # the name of a regression target


@dataclass(frozen=True)
class ImageListSource:
    """Images of several sizes, held in memory: each uint8 [H, W] or [H, W, 3]."""

    name: str
    identity: str
    images: tuple[Images, ...]
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...] = ()
    notes: tuple[str, ...] = ()

    def read(self, item: Item) -> bytes:
        """The image's shape and pixels as bytes."""
        image = self.images[int(item.key.rpartition("/")[2])]
        return f"{list(image.shape)}\n".encode() + image.tobytes()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """The pixels as an RGB image."""
        shape, _, pixels = content.partition(b"\n")
        height, width, *channels = (int(side) for side in shape.strip(b"[]").split(b","))
        image = Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(height, width, *channels))
        return Decoded(image.convert("RGB"), (width, height), "array", () if channels else ("grey",))

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """The image's own shape."""
        height, width, *channels = self.images[int(item.key.rpartition("/")[2])].shape
        return width, height, channels[0] if channels else 1


def from_parts(parts: Mapping[str, Any]) -> ArraySource | ImageListSource:
    """A source from arrays or Datasets by part: {"": one} for data without a split, or {"train": ..., "val": ...}.

    Each is (images, targets), uint8 [N, H, W] or [N, H, W, 3] with targets [N] or [N, labels]; or a map-style Dataset,
    or any other iterable, of (image, target), which is read once: images are Pillow images, uint8 arrays [H, W] or
    [H, W, 3], or uint8 tensors [C, H, W]. Raises RequestError, naming the item, for anything else.
    """
    for part in parts:
        if part and part not in PARTS:
            raise unknown("part of the data", str(part), PARTS)
    if not parts:
        raise RequestError("the data have no part; give {'train': ..., 'val': ...}")
    read = [(part, *_read(part, given)) for part, given in parts.items()]
    classes = next((names for _, _, _, names in read if names), ())
    images = [image for _, found, _, _ in read for image in found]
    try:
        targets = np.concatenate([np.asarray(targets) for _, _, targets, _ in read])
    except ValueError as error:
        raise RequestError(f"the targets of the parts do not match: {error}") from None
    task, values = _task_of(targets, classes)
    width = len(str(len(images)))
    part_of = [part for part, found, _, _ in read for _ in found]
    items = tuple(
        Item(f"{part or 'image'}/{place:0{width}d}", value, part)
        for place, (part, value) in enumerate(zip(part_of, values, strict=True))
    )
    identity = f"{IN_MEMORY}{_digest(images)}"
    if len({image.shape for image in images}) == 1:
        return ArraySource("arrays", identity, np.stack(images), task, items)
    return ImageListSource("arrays", identity, tuple(images), task, items)


def _read(part: str, given: Any) -> tuple[Sequence[Images], Any, tuple[str, ...]]:
    """Images, targets, and the names of the classes where a Dataset has them."""
    where = f"the part {part!r} of the data" if part else "the data"
    if isinstance(given, tuple):
        if len(given) != 2:
            raise RequestError(f"{where}: arrays are given as (images, targets), not as a tuple of {len(given)}")
        images, targets = checked_images(where, np.asarray(given[0])), np.asarray(given[1])
        if targets.ndim == 0 or len(targets) != len(images):
            raise RequestError(f"{where}: {len(images)} images, but targets of shape {list(targets.shape)}")
        return list(images), targets, ()
    found: list[Images] = []
    values: list[Any] = []
    for place, pair in enumerate(_pairs(where, given)):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise RequestError(f"{where}: item {place} is {_described(pair)}; (image, target) is needed")
        found.append(_image(pair[0], f"{where}: item {place}"))
        values.append(np.asarray(pair[1]))
    if not found:
        raise RequestError(f"{where}: it contains no images")
    if len({value.shape for value in values}) != 1:
        raise RequestError(f"{where}: the targets are of different shapes")
    names = getattr(given, "classes", ())
    named = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    return found, np.stack(values), tuple(map(readable, names)) if named else ()


def _pairs(where: str, given: Any) -> Iterator[Any]:
    if hasattr(given, "__len__") and hasattr(given, "__getitem__"):  # a map-style Dataset need not end in IndexError
        return (given[place] for place in range(len(given)))
    if hasattr(given, "__iter__"):
        return iter(given)
    raise RequestError(f"{where}: a {type(given).__name__} is not data; give (images, targets) or a Dataset")


def _image(given: Any, where: str) -> Images:
    """One image as uint8 [H, W] or [H, W, 3]."""
    if isinstance(given, Image.Image):
        plain = given.mode == "L" and given.getexif().get(0x0112, 1) == 1
        return np.asarray(given if plain else upright(given)[0])
    torch = sys.modules.get("torch")  # whoever gives a tensor has imported it
    tensor = torch is not None and isinstance(given, torch.Tensor)
    if not tensor and not isinstance(given, np.ndarray):
        raise RequestError(f"{where} is {_described(given)}; an image is a Pillow image, a uint8 array or tensor")
    image = given.detach().cpu().numpy() if tensor else given
    if tensor and image.ndim == 3:
        image = image.transpose(1, 2, 0)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.dtype != np.uint8:
        raise RequestError(
            f"{where} is {_described(given)}; images must be uint8, 0 to 255: leave ToTensor and Normalize out of the "
            "Dataset's transform, as the preprocessing is part of the model"
        )
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        shapes = "[3, H, W], [1, H, W] or [H, W]" if tensor else "[H, W, 3] or [H, W]"
        raise RequestError(f"{where} is {_described(given)}; an image is {shapes}")
    return np.ascontiguousarray(image)


def _task_of(targets: NDArray[Any], classes: tuple[str, ...]) -> tuple[Task, list[Target]]:
    """The task that the targets are of, and each image's target."""
    if targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind in "iuUO":
        targets = targets[:, 0]  # class numbers [N, 1], as Keras writes them
    if targets.dtype.kind == "O" and all(isinstance(value, str) for value in targets.ravel()):
        targets = targets.astype(str)
    if targets.ndim == 2 and targets.dtype.kind in "biuf" and np.isin(targets, (0, 1)).all():
        names = classes if len(classes) == targets.shape[1] else tuple(map(str, range(targets.shape[1])))
        return Multilabel(names), [tuple(np.flatnonzero(row).tolist()) for row in targets]
    if targets.ndim == 1 and targets.dtype.kind == "f":
        numbers = targets.astype(np.float64).tolist()
        if wrong := [number for number in numbers if not abs(number) <= LARGEST]:
            raise RequestError(f"targets of a regression must be finite and within {LARGEST:g}, not {wrong[0]!r}")
        return Regression((TARGET,)), numbers
    if targets.ndim == 1 and targets.dtype.kind in "biuU":
        values: list[Any] = sorted(set(targets.tolist()))
        named = targets.dtype.kind in "iu" and classes and 0 <= values[0] <= values[-1] < len(classes)
        values = list(range(len(classes))) if named else values
        place = {value: number for number, value in enumerate(values)}
        names = classes if named else tuple(readable(str(value)) for value in values)
        return Classification(names), [place[value] for value in targets.tolist()]
    raise RequestError(
        f"targets of {targets.dtype} {list(targets.shape)} fit no task: give integers or text [N] for classes, "
        "zeros and ones [N, labels] for multilabel, floats [N] for regression"
    )


def _digest(images: Sequence[Images]) -> str:
    found = hashlib.sha256()
    for image in images:
        found.update(f"{image.shape}".encode() + image.tobytes())
    return found.hexdigest()


def _described(given: Any) -> str:
    shape, dtype = getattr(given, "shape", None), getattr(given, "dtype", None)
    if shape is None:
        return f"a {type(given).__name__}"
    return f"a {type(given).__name__} of {str(dtype).removeprefix('torch.')} {list(shape)}"
