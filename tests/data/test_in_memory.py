"""Data given from Python: arrays, Datasets and own sources become sources, and what is wrong with them is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.opening import open_source
from striate.data.sources.base import Item, Oddity, with_items
from striate.errors import RequestError
from striate.pixels import Decoded, decode
from striate.tasks import Classification

GREY = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


class Pairs(torch.utils.data.Dataset[Any]):
    """A map-style Dataset that counts how often it was read, and never raises IndexError."""

    def __init__(self, images: list[Any], targets: list[Any]) -> None:
        self.images, self.targets, self.reads = images, targets, 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return self.images[index % len(self.images)], self.targets[index % len(self.images)]


def pixels_of(data: Any) -> list[np.ndarray]:
    source = open_source(data)
    return [np.asarray(source.decode(source.read(item), 0).image) for item in source.items]


def targets_of(data: Any) -> list[Any]:
    return [item.target for item in open_source(data).items]


# Targets


@pytest.mark.parametrize(
    ("targets", "kind", "names", "first"),
    [
        (np.array([2, 2, 7, 7, 7, 2]), "classification", ("2", "7"), 0),
        ([2, 2, 7, 7, 7, 2], "classification", ("2", "7"), 0),
        (np.array(["bee", "ant", "ant", "bee", "bee", "ant"]), "classification", ("ant", "bee"), 1),
        (np.array(["bee", "ant", "ant", "bee", "bee", "ant"], object), "classification", ("ant", "bee"), 1),
        (np.array([True, False] * 3), "classification", ("False", "True"), 1),
        (np.array([0.5, 1, 2, 3, 4, 5], np.float32), "regression", ("target",), 0.5),
        (np.array([[1, 0, 1]] + [[0, 0, 0]] * 5), "multilabel", ("0", "1", "2"), (0, 2)),
        (np.array([[1, 0]] + [[0, 1]] * 5, np.float32), "multilabel", ("0", "1"), (0,)),
    ],
)  # fmt: skip
def test_targets_decide_the_task(targets: Any, kind: str, names: tuple[str, ...], first: Any) -> None:
    source = open_source((COLOUR, targets))
    assert (source.task.kind, source.task.names) == (kind, names)
    assert source.items[0].target == first and len(source.items) == 6


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((COLOUR, np.zeros(5, int)), r"6 images, but targets of shape \[5\]"),
        ((COLOUR, 3), r"6 images, but targets of shape \[\]"),
        ((COLOUR.astype(np.float32), np.zeros(6, int)), r"images must be uint8 .*not float32 \[6, 5, 4, 3\]"),
        ((COLOUR[..., :2], np.zeros(6, int)), r"images must be uint8 .*not uint8 \[6, 5, 4, 2\]"),
        ((COLOUR[:0], np.zeros(0, int)), "it contains no images"),
        ((COLOUR, np.full(6, np.nan)), "must be finite"),
        ((COLOUR, np.full(6, 1e31)), "must be finite"),
        ((COLOUR, np.full((6, 2), 0.5)), r"targets of float64 \[6, 2\] are of no task"),
        ((COLOUR, np.full((6, 2), 3)), r"targets of int64 \[6, 2\] are of no task"),
        ((COLOUR, np.array([None] * 6)), r"targets of object \[6\] are of no task"),
        ((COLOUR,), "not as a tuple of 1"),
        (7, "a int is no data"),
        ([], "it contains no images"),
        ({}, "have no part"),
        ({"training": (COLOUR, np.zeros(6, int))}, "unknown part of the data 'training'; did you mean 'train'"),
        ([COLOUR[0]], r"item 0 is a ndarray of uint8 \[5, 4, 3\]; \(image, target\) is needed"),
        ([("a.jpg", 1)], "item 0 is a str; an image is a Pillow image"),
        ([(COLOUR[0] / 255, 1)], r"item 0 is a ndarray of float64 \[5, 4, 3\]; images must be uint8.*leave ToTensor"),
        ([(torch.zeros(3, 5, 4), 1)], r"item 0 is a Tensor of float32 \[3, 5, 4\]; images must be uint8"),
        ([(torch.zeros(8, 3, 5, 4, dtype=torch.uint8), 1)], r"of uint8 \[8, 3, 5, 4\]; an image is \[3, H, W\]"),
        ([(COLOUR[0], 1), (COLOUR[1], [1, 0])], "targets are of different shapes"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_named(data: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        open_source(data)


# Images


def test_arrays_keep_their_pixels() -> None:
    assert np.array_equal(pixels_of((COLOUR, np.arange(6) % 2)), COLOUR)
    for grey in (GREY, GREY[..., None]):
        assert np.array_equal(pixels_of((grey, np.arange(6) % 2)), np.stack([GREY] * 3, -1))
    assert open_source((GREY, [0] * 6)).peek(open_source((GREY, [0] * 6)).items[0]) == (4, 5, 1)


@pytest.mark.parametrize("kind", ["array", "tensor", "pillow"])
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_dataset_is_read_once_whatever_its_images_are(kind: str, images: np.ndarray) -> None:
    def as_kind(image: np.ndarray) -> Any:
        if kind == "pillow":
            return Image.fromarray(image)
        channels_first = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        return torch.from_numpy(channels_first.copy()) if kind == "tensor" else image

    dataset = Pairs([as_kind(image) for image in images], [torch.tensor(n % 2) for n in range(6)])
    source = open_source(dataset)
    assert dataset.reads == 6
    expected = images if images.ndim == 4 else np.stack([images] * 3, -1)
    assert np.array_equal([np.asarray(source.decode(source.read(one), 0).image) for one in source.items], expected)
    assert [item.target for item in source.items] == [0, 1] * 3
    assert source.identity == open_source((images, [0, 1] * 3)).identity


def test_images_of_several_sizes_stay_as_they_are() -> None:
    images = [COLOUR[0], COLOUR[1][:3], GREY[0], np.zeros((2, 6), np.uint8), np.zeros((6, 2), np.uint8)]
    source = open_source([(image, n % 2) for n, image in enumerate(images)])
    found = [np.asarray(source.decode(source.read(item), 0).image) for item in source.items]
    expected = [image if image.ndim == 3 else np.stack([image] * 3, -1) for image in images]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert [source.peek(item) for item in source.items] == [(4, 5, 3), (4, 3, 3), (4, 5, 1), (6, 2, 1), (2, 6, 1)]
    assert source.read(source.items[3]) != source.read(source.items[4])  # the same bytes in another shape


def test_an_iterable_and_the_names_of_a_dataset() -> None:
    def stream() -> Iterator[Any]:
        for number, image in enumerate(COLOUR):
            yield image, "even" if number % 2 == 0 else "odd"

    assert open_source(stream()).task.names == ("even", "odd")
    dataset = Pairs(list(COLOUR), [0, 2, 0, 2, 0, 2])
    dataset.classes = ["ant", "bee", "cat"]  # type: ignore[attr-defined]
    assert open_source(dataset).task.names == ("ant", "bee", "cat") and targets_of(dataset) == [0, 2] * 3


def test_parts_are_the_split() -> None:
    source = open_source({"train": (COLOUR, np.arange(6) % 2), "test": Pairs(list(COLOUR[:2]), [1, 0])})
    assert [item.part for item in source.items] == ["train"] * 6 + ["test"] * 2
    assert len({item.key for item in source.items}) == 8
    assert np.array_equal(pixels_of({"train": (COLOUR, [0] * 6), "val": (COLOUR[:2], [0] * 2)})[6], COLOUR[0])


# A source of one's own


class Circles:
    """Twelve drawn discs, large and small: a source that is no dataclass."""

    def __init__(self) -> None:
        self.name, self.identity = "circles", "circles of a test"
        self.task = Classification(("large", "small"))
        self.items = tuple(Item(f"{n}.png", n % 2) for n in range(12))
        self.oddities: tuple[Oddity, ...] = ()

    def read(self, item: Item) -> bytes:
        return item.key.encode()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        number = int(content.split(b".")[0])
        grid = np.hypot(*np.mgrid[-16:16, -16:16])
        image = np.where(grid < (14 if number % 2 == 0 else 5), 200 + number, number).astype(np.uint8)
        return Decoded(Image.fromarray(image).convert("RGB"), (32, 32), "drawn", ())

    def peek(self, item: Item) -> tuple[int, int, int]:
        return 32, 32, 3


@dataclass(frozen=True)
class Files:
    """Encoded images in memory: the least that a source of one's own is."""

    contents: dict[str, bytes]
    task: Classification
    items: tuple[Item, ...]
    name: str = "files"
    identity: str = "files of a test"
    oddities: tuple[Oddity, ...] = field(default=())

    def read(self, item: Item) -> bytes:
        return self.contents[item.key]

    def decode(self, content: bytes, at_least: int) -> Decoded:
        return decode(content, at_least=at_least)

    def peek(self, item: Item) -> None:
        return None


def test_a_source_of_ones_own_is_taken_as_it_is() -> None:
    for source in (Circles(), Files({}, Classification(("a", "b")), ())):
        assert open_source(source) is source


def test_any_source_can_be_given_other_items() -> None:
    source = Circles()
    fewer = with_items(source, source.items[:3], [Oddity("x", "other", "set aside")])
    assert len(fewer.items) == 3 and len(fewer.oddities) == 1 and fewer.name == "circles"
    assert fewer.read(fewer.items[1]) == b"1.png" and fewer.peek(fewer.items[0]) == (32, 32, 3)
    assert fewer.decode(b"2.png", 0).size == (32, 32) and len(source.items) == 12
    assert not hasattr(fewer, "stamp")
    again = with_items(fewer, fewer.items[:1])
    assert len(again.items) == 1 and len(again.oddities) == 1
    frozen = Files({}, Classification(("a", "b")), ())
    assert isinstance(with_items(frozen, ()), Files)
