"""Images and labels as arrays: a source, also read from an .npz file without unpickling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.sources.base import Item, Oddity
from striate.data.sources.names import readable
from striate.data.sources.unpacking import open_zip
from striate.errors import RequestError
from striate.pixels import Decoded
from striate.reading import open_file
from striate.tasks import Classification, Task


@dataclass(frozen=True)
class ArraySource:
    """Images and labels as arrays: uint8 [N, H, W] or [N, H, W, 3], and integer or text labels."""

    name: str
    identity: str
    images: NDArray[np.uint8]
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...] = ()
    notes: tuple[str, ...] = ()

    def read(self, item: Item) -> bytes:
        """The image's pixels as bytes."""
        content: bytes = self.images[int(item.key.rpartition("/")[2])].tobytes()
        return content

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """The pixels as an RGB image."""
        shape = self.images.shape[1:]
        image = Image.fromarray(np.frombuffer(content, np.uint8).reshape(shape))
        grey = len(shape) == 2
        return Decoded(image.convert("RGB"), (shape[1], shape[0]), "array", ("grey",) if grey else ())

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """The arrays' own shape."""
        return self.images.shape[2], self.images.shape[1], 1 if self.images.ndim == 3 else 3

    def stamp(self, item: Item) -> str:
        """Empty: the arrays are in memory, and hashing them is cheap."""
        return ""


MAX_IMAGES = 3_000_000  # in one file of arrays: each takes about 300 bytes besides its pixels


def from_arrays(
    name: str,
    identity: str,
    parts: list[tuple[str, NDArray[Any], NDArray[Any]]],
    classes: Sequence[str] = (),
) -> ArraySource:
    """A source from (part, images, labels) triples. Raises RequestError for shapes, kinds or counts that do not fit.

    `classes`: names of the labels 0, 1, ...; by default each label that occurs is a class named by its value.
    """
    checked = [(part, checked_images(name, images), _one_each(labels)) for part, images, labels in parts]
    if len({images.shape[1:] for _, images, _ in checked}) != 1:
        raise RequestError(f"{name}: the parts hold images of different sizes")
    for _, images, labels in checked:
        if labels.shape != (len(images),):
            raise RequestError(
                f"{name}: {len(images)} images, but labels of shape {labels.shape}; one label per image is needed"
            )
        if len(images) > MAX_IMAGES:
            raise RequestError(f"{name}: {len(images):,} images; at most {MAX_IMAGES:,} are read from arrays")
        if labels.dtype.kind not in "iuUb":
            raise RequestError(f"{name}: labels must be integers or text, not {labels.dtype}")
    if len({labels.dtype.kind == "U" for _, _, labels in checked}) != 1:
        raise RequestError(f"{name}: the labels of one part are integers, and those of another are text")
    values: list[Any] = sorted({value for _, _, labels in checked for value in labels.tolist()})
    if classes:
        if not 0 <= values[0] <= values[-1] < len(classes):
            wrong = values[0] if values[0] < 0 else values[-1]
            raise RequestError(f"{name}: a label is {wrong}; there are {len(classes)} classes, 0 to {len(classes) - 1}")
        values = list(range(len(classes)))
    index = {value: place for place, value in enumerate(values)}
    labelled = [(part, index[value]) for part, _, labels in checked for value in labels.tolist()]
    width = len(str(len(labelled)))
    items = tuple(Item(f"{part or 'image'}/{n:0{width}d}", label, part) for n, (part, label) in enumerate(labelled))
    images = checked[0][1] if len(checked) == 1 else np.concatenate([images for _, images, _ in checked])
    return ArraySource(
        name, identity, images, Classification(tuple(classes) or tuple(readable(str(value)) for value in values)), items
    )


def _one_each(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels [N] of labels [N, 1], as some libraries write them, or of one-hot rows [N, classes]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    one_hot = labels.ndim == 2 and labels.dtype.kind in "iubf" and labels.size > 0
    if one_hot and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        return np.asarray(labels.argmax(axis=1))
    return labels


def checked_images(name: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    """The images as uint8 [N, H, W] or [N, H, W, 3]. Raises RequestError for anything else."""
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise RequestError(
            f"{name}: images must be uint8 [N, H, W] or [N, H, W, 3], not {images.dtype} {list(images.shape)}"
        )
    if 0 in images.shape:
        raise RequestError(f"{name}: it contains no images (shape {list(images.shape)})")
    return images


MAX_BYTES = 2**31  # of the arrays of one file, unpacked too
RATIO = 100  # the most that images are packed; digits on black are packed 5 to 1

_NPZ_LAYOUTS = (
    (("", "images", "labels"),),
    (("", "x", "y"),),
    (("train", "x_train", "y_train"), ("val", "x_val", "y_val"), ("test", "x_test", "y_test")),
    (("train", "xtr", "ytr"), ("test", "xte", "yte")),
    (
        ("train", "train_images", "train_labels"),
        ("val", "val_images", "val_labels"),
        ("test", "test_images", "test_labels"),
    ),
)


def open_npz(path: Path) -> ArraySource:
    """An .npz file as a source: images and labels, x and y, or x_train, y_train, x_test, y_test. Never unpickles."""
    try:
        with open_file(path, MAX_BYTES) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old forms of headers
            with open_zip(stream, repr(str(path)), ratio=RATIO, limit=MAX_BYTES):
                stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            names = set(file.files)
            for layout in _NPZ_LAYOUTS:
                present = [row for row in layout if {row[1], row[2]} <= names]
                if present and present[0] == layout[0]:
                    # A member that is no array comes as bytes; as an array of them it is refused below.
                    parts = [
                        (part, np.asarray(file[images]), np.asarray(file[labels])) for part, images, labels in present
                    ]
                    # A lone part is no split that the user gave.
                    parts = [("", *parts[0][1:])] if len(parts) == 1 else parts
                    return from_arrays(path.stem, str(path.resolve()), parts)
    except RequestError:
        raise
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and NumPy's header parser raise anything on damaged files
        raise RequestError(f"cannot read the arrays of {str(path)!r}: {error or type(error).__name__}") from error
    layouts = "; ".join(", ".join(f"{images} and {labels}" for _, images, labels in layout) for layout in _NPZ_LAYOUTS)
    raise RequestError(f"{str(path)!r} holds {sorted(names)}; expected one of: {layouts}")
