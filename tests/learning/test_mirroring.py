"""Mirroring as augmentation: left out where it confuses the classes, used where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import Listening
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striate import Recipe, train
from striate.jobs.run import Run
from striate.learning.mirroring import mirror_test, reduced
from striate.tasks import Classification, Multilabel, Regression

Images = NDArray[np.uint8]
RECIPE = Recipe().updated({"strategy": "scratch", "net.name": "resnet20", "train.epochs": 1})


def written(text: str, count: int) -> tuple[Images, NDArray[np.int64]]:
    """Dark characters on light colours, of several sizes and places; each character is a class."""
    generator = np.random.default_rng(0)
    images = []
    for number in range(count):
        image = Image.new("RGB", (32, 32), tuple(generator.integers(120, 256, 3).tolist()))
        font = ImageFont.load_default(size=int(generator.integers(19, 25)))
        place = (int(generator.integers(5, 11)), int(generator.integers(0, 6)))
        ink = tuple(generator.integers(0, 90, 3).tolist())
        ImageDraw.Draw(image).text(place, text[number % len(text)], fill=ink, font=font)
        images.append(np.asarray(image))
    return np.stack(images), np.arange(count) % len(text)


def objects(count: int) -> tuple[Images, NDArray[np.int64]]:
    """Discs, squares and crosses anywhere, on a gradient that runs either way: mirrored ones are as likely."""
    generator = np.random.default_rng(1)
    images = []
    for number in range(count):
        slope = np.linspace(0, 60 * generator.uniform(-1, 1), 32)
        image = Image.fromarray((150 + slope[None, :, None] + np.zeros((32, 1, 3))).astype(np.uint8))
        x, y, r = generator.integers(10, 22), generator.integers(10, 22), generator.integers(5, 9)
        drawn, box = ImageDraw.Draw(image), [x - r, y - r, x + r, y + r]
        if number % 3 == 2:
            drawn.line([x - r, y, x + r, y], fill=(30, 40, 60), width=3)
            drawn.line([x, y - r, x, y + r], fill=(30, 40, 60), width=3)
        else:
            (drawn.ellipse if number % 3 else drawn.rectangle)([int(v) for v in box], fill=(30, 40, 60))
        images.append(np.asarray(image))
    return np.stack(images), np.arange(count) % 3


def used(run: Run) -> Recipe:
    """The recipe of a run, with what was chosen."""
    return Recipe.from_file(run.folder / "recipe.toml")


@pytest.mark.parametrize(
    ("data", "confused"),
    [(written("ABCDEFGHJK", 300), True), (written("0123456789", 300), True), (objects(240), False)],
    ids=["letters", "digits", "objects"],
)
def test_mirrored_characters_are_confused_and_objects_are_not(
    data: tuple[Images, NDArray[np.int64]], confused: bool
) -> None:
    images, targets = data
    task = Classification(tuple("abcdefghij"[: targets.max() + 1]))
    found = mirror_test(reduced(images), task, targets.tolist())
    assert found.confuses is confused
    assert found.plain > found.chance + 0.15
    assert found.line().startswith("Images are not mirrored:" if confused else "Images are mirrored at random:")


def test_numbers_and_labels_are_tested_too() -> None:
    generator = np.random.default_rng(0)
    left = generator.random(300) < 0.5
    grey = generator.normal(0, 0.3, (300, 16, 16))
    grey[left, 4:12, 2:6] += 1
    grey[~left, 4:12, 10:14] += 1
    assert mirror_test(grey, Regression(("side",)), left.astype(float).tolist()).confuses
    labels = [(0,) if one else (0, 1) for one in left]
    assert mirror_test(grey, Multilabel(("thing", "right")), labels).confuses
    middle = generator.normal(0, 0.3, (300, 16, 16))
    middle[left, 4:12, 6:10] += 1
    assert not mirror_test(middle, Regression(("there",)), left.astype(float).tolist()).confuses


def test_a_default_flip_follows_the_data(tmp_path: Path) -> None:
    heard = Listening()
    run = train(written("bdpq", 90), out=tmp_path / "run", recipe=RECIPE, progress=heard)
    said = [line for line in heard.lines if "mirrored" in line]
    assert len(said) == 1 and said[0].startswith("Images are not mirrored: a simple classifier knows")
    assert not used(run).augment.flip
    assert used(run).augment.shift == 2
    assert "Images are not mirrored" in (run.folder / "report.html").read_text("utf-8")


def test_a_flip_that_was_asked_for_is_not_tested(tmp_path: Path) -> None:
    heard = Listening()
    run = train(written("bdpq", 50), out=tmp_path / "run", recipe=RECIPE.updated({"augment.flip": 0.5}), progress=heard)
    assert used(run).augment.flip == 0.5
    assert not any("mirrored" in line for line in heard.lines)


def test_few_images_cannot_be_tested() -> None:
    images, targets = written("bd", 30)
    found = mirror_test(reduced(images), Classification(("b", "d")), targets.tolist())
    assert not found.confuses and "too few" in found.line()
