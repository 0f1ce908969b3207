"""An augmentation is what its keys say: built from a recipe's table, shown as keys, and refused where it cannot be."""

from __future__ import annotations

import re

import pytest
from augmenting import augmentation
from hypothesis import given
from hypothesis import strategies as st

from striate.data.augment.augmentation import Augmentation, pixels_of
from striate.errors import RequestError
from striate.recipe.augment import PRESETS, Augment

UNIT = st.floats(0, 1)


def pairs(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda pair: (min(pair), max(pair)))


ANY = st.builds(
    Augmentation,
    crop=pairs(0.01, 1),
    scale=pairs(0.1, 10),
    flip=UNIT,
    shear=st.floats(0, 60),
    rotate=st.floats(0, 180),
    shift=UNIT | st.integers(1, 4096),
    elastic=st.floats(0, 100),
    fill=st.sampled_from(("black", "edge", "mirror")),
    colour=st.integers(0, 255),
    lighting=st.floats(0, 10),
    cutout=UNIT | st.integers(1, 4096),
    pixel_dropout=st.floats(0, 0.95),
    mixup=st.floats(0, 10),
)


@given(ANY)
def test_the_label_is_read_back_as_the_same_value(chosen: Augmentation) -> None:
    assert augmentation(chosen.label()) == chosen


@given(st.lists(st.tuples(st.integers(1, 8192), st.floats(1e-6, 1e6)), min_size=1, max_size=5))
def test_sizes_are_read_back(sizes: list[tuple[int, float]]) -> None:
    chosen = Augmentation(shorter_side=tuple(sizes))
    assert augmentation(chosen.label()) == chosen


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,8}(=[][0-9.,e-]{0,12})?( [a-z]+=[0-9.]*)?", fullmatch=True))
def test_any_text_is_an_augmentation_or_one_line(text: str) -> None:
    try:
        chosen = augmentation(text)
    except RequestError as error:
        assert str(error).isprintable() or not text.isprintable()
    else:
        assert augmentation(chosen.label()) == chosen


def test_keys_as_a_user_writes_them() -> None:
    assert augmentation("") == augmentation("none") == Augmentation()
    assert Augmentation().label() == "none"
    assert augmentation("shift+flip") == Augmentation(shift=1 / 16, flip=0.5)
    chosen = augmentation("photo rotate=10  scale=0.9,1.1 flip=0")
    assert (chosen.crop, chosen.rotate, chosen.scale, chosen.flip) == ((0.35, 1.0), 10, (0.9, 1.1), 0)
    # The lecture's multi-scale training: windows of 128 from four sizes.
    lecture = augmentation("flip=0.5 shorter_side=[[144,0.5],[188,0.2],[256,0.2],[130,0.1]]")
    assert lecture.shorter_side == ((144, 0.5), (188, 0.2), (256, 0.2), (130, 0.1))
    assert augmentation("shorter_side=256").shorter_side == ((256, 1.0),)
    assert augmentation("shorter_side=256,288").shorter_side == ((256, 1.0), (288, 1.0))
    assert augmentation("cutout=8 flip=0.5").label() == "flip=0.5 cutout=8"


def test_auto_is_filled_in_by_who_knows_the_data() -> None:
    table = Augment(rotate=10)
    assert Augmentation.of(table) == Augmentation(rotate=10)
    assert Augmentation.of(table, {"shift": 2, "flip": 0.5}) == Augmentation(shift=2, flip=0.5, rotate=10)
    settled = table.settled({"shift": 2})
    assert settled == Augment(preset="none", shift=2, rotate=10)
    assert Augment(preset="photo").settled({"shift": 2}) == Augment(preset="photo")


def test_transforms_are_named_and_parted() -> None:
    chosen = augmentation("mixup=0.2 rotate=5 elastic=1 elastic_sigma=8 fill=mirror")
    assert chosen.transforms == ["rotate", "elastic", "mixup"]
    assert chosen.only("elastic").label() == "elastic=1 elastic_sigma=8 fill=mirror"
    assert chosen.only("rotate").label() == "rotate=5 fill=mirror"
    assert [name for name in PRESETS if augmentation(name).resamples] == ["distortions", "photo"]


def test_lengths_are_pixels_or_a_share() -> None:
    assert [pixels_of(length, 28) for length in (0, 1 / 16, 0.01, 0.5, 1, 7)] == [0, 1, 1, 14, 1, 7]
    # Exactly the side // 16, at least 1, of the preset's first form.
    assert all(pixels_of(1 / 16, side) == max(1, side // 16) for side in range(1, 600))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rotat=10", "unknown key 'rotat' in [augment]: did you mean 'rotate'?"),
        ("flip", "unknown augmentation 'flip'; did you mean 'flip=...'"),
        ("shft", "unknown augmentation 'shft'; did you mean 'shift'"),
        ("flip=1.5", "augment.flip takes a number from 0 to 1, not '1.5'"),
        ("flip=nan", "augment.flip takes a number from 0 to 1, not 'nan'"),
        ("rotate=ten", "augment.rotate takes a number from 0 to 180, not 'ten'"),
        ("scale=1.2", "augment.scale takes a range [least, most] from 0.1 to 10, not '1.2'"),
        ("scale=1.2,0.8", "augment.scale takes a range [least, most] from 0.1 to 10, not '1.2,0.8'"),
        ("scale=0,2", "augment.scale takes a range [least, most] from 0.1 to 10, not '0,2'"),
        ("shift=1.5", "augment.shift takes a number from 0 to 4096, whole from 1 on, not '1.5'"),
        ("colour=2.5", "augment.colour takes an integer from 0 to 255, not '2.5'"),
        ("colour=-1", "augment.colour takes an integer from 0 to 255, not '-1'"),
        ("shorter_side=[[256,", "augment.shorter_side takes a list of integers, or of pairs [number, probability]"),
        ("shorter_side=[[256,0]]", "augment.shorter_side takes a list of integers, or of pairs"),
        ("shorter_side=256 crop=0.1,1", "augment.crop and augment.shorter_side both set the random crop"),
        ("fill=white", "unknown augment.fill 'white'; known: black, edge, mirror"),
        ("elastic_sigma=8", "augment.elastic_sigma says how augment.elastic is done, so give augment.elastic too"),
        ("aspect=1,1", "augment.aspect says how augment.crop is done, so give augment.crop too"),
        ("flip=0.5 rotate=1 flip=0.2", "augment.flip is given twice"),
        ("mixup=11", "augment.mixup takes a number from 0 to 10"),
    ],
)
def test_wrong_keys_and_values_are_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)):
        augmentation(text)
