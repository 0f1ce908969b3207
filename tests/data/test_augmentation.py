"""An augmentation is what its words say: read, written and read again, and refused with what would have been right."""

from __future__ import annotations

import pytest
from augmenting import augmentation
from hypothesis import given
from hypothesis import strategies as st

from striate.data.augment.augmentation import FILLS, PRESETS, Augmentation, pixels_of
from striate.errors import RequestError

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
    fill=st.sampled_from(FILLS),
    colour=st.integers(0, 255),
    lighting=st.floats(0, 10),
    cutout=UNIT | st.integers(1, 4096),
    pixel_dropout=st.floats(0, 0.95),
    mixup=st.floats(0, 10),
)


@given(ANY)
def test_text_is_read_back_as_the_same_value(chosen: Augmentation) -> None:
    assert augmentation(chosen.text()) == chosen


@given(st.lists(st.tuples(st.integers(1, 8192), st.floats(1e-6, 1e6)), min_size=1, max_size=5))
def test_sizes_are_read_back(sizes: list[tuple[int, float]]) -> None:
    chosen = Augmentation(sizes=tuple(sizes))
    assert augmentation(chosen.text()) == chosen


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,8}(=[0-9.:,e-]{0,12})?( [a-z]+=[0-9.]*)?", fullmatch=True))
def test_any_text_is_an_augmentation_or_one_line(text: str) -> None:
    try:
        chosen = augmentation(text)
    except RequestError as error:
        assert str(error).isprintable() or not text.isprintable()
    else:
        assert augmentation(chosen.text()) == chosen


def test_words_as_a_user_writes_them() -> None:
    assert augmentation("") == augmentation("none") == Augmentation()
    assert Augmentation().text() == "none"
    assert augmentation("shift+flip") == Augmentation(shift=1 / 16, flip=0.5)
    chosen = augmentation("photo rotate=10  scale=0.9,1.1 flip=0")
    assert (chosen.crop, chosen.rotate, chosen.scale, chosen.flip) == ((0.35, 1.0), 10, (0.9, 1.1), 0)
    # The lecture's multi-scale training: windows of 128 from four sizes.
    lecture = augmentation("flip=0.5 shorter_side=[[144,0.5],[188,0.2],[256,0.2],[130,0.1]]")
    assert lecture.sizes == ((144, 0.5), (188, 0.2), (256, 0.2), (130, 0.1))
    assert augmentation("shorter_side=256").sizes == ((256, 1.0),)
    assert augmentation("cutout=8 flip=0.5").text() == "flip=0.5 cutout=8"


def test_transforms_are_named_and_parted() -> None:
    chosen = augmentation("mixup=0.2 rotate=5 elastic=1 elastic_sigma=8 fill=mirror")
    assert chosen.transforms == ["rotate", "elastic", "mixup"]
    assert chosen.only("elastic").text() == "elastic=1 elastic_sigma=8 fill=mirror"
    assert chosen.only("rotate").text() == "rotate=5 fill=mirror"
    assert [name for name, preset in PRESETS.items() if preset.resamples] == ["distortions", "photo"]


def test_lengths_are_pixels_or_a_share() -> None:
    assert [pixels_of(length, 28) for length in (0, 1 / 16, 0.01, 0.5, 1, 7)] == [0, 1, 1, 14, 1, 7]
    # Exactly the side // 16, at least 1, of the preset's first form.
    assert all(pixels_of(1 / 16, side) == max(1, side // 16) for side in range(1, 600))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rotat=10", "unknown augmentation 'rotat'; did you mean 'rotate'?"),
        ("flip", "unknown augmentation 'flip'; did you mean 'flip=...'"),
        ("shft", "unknown augmentation 'shft'; did you mean 'shift'"),
        ("flip=1.5", "flip must lie in 0 to 1, not 1.5"),
        ("flip=nan", "flip must lie in 0 to 1, not nan"),
        ("rotate=ten", "rotate takes a number, not 'ten'"),
        ("rotate=", "rotate takes a number, not ''"),
        ("scale=1.2", "scale takes 0.8..1.2, not '1.2'"),
        ("scale=1.2,0.8", r"scale takes the least and the most, not 1.2..0.8"),
        ("scale=0,2", "scale must lie in 0.1 to 10, not 0.0"),
        ("shift=1.5", "shift counts in whole pixels or levels, not 1.5"),
        ("colour=2.5", "colour takes a number, not '2.5'"),
        ("colour=-1", "colour takes a number, not '-1'"),
        ("shorter_side=[[256,]]x", "sizes takes 144:0.5,188:0.5, not '256:x'"),
        ("shorter_side=[[256,0]]", "sizes need shares above 0, not 256:0"),
        ("shorter_side=256 crop=0.1,1", "takes crop or sizes, not both"),
        ("fill=white", "unknown augmentation fill 'white'; known: black, edge, mirror"),
        ("elastic_sigma=8", "smooth says how elastic is done, so name elastic too"),
        ("aspect=1,1", "aspect says how crop is done, so name crop too"),
        ("flip=0.5 rotate=1 flip=0.2", "names 'flip' twice"),
        ("mixup=11", "mixup must lie in 0 to 10"),
    ],
)
def test_wrong_words_are_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words.replace("(", r"\(")):
        augmentation(text)
