"""Near-duplicates: copies of photographs are found, however they were saved, and different photographs are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scenes import scene

from striate.data.audit.likeness import SIDE, near_groups, sketch
from striate.pixels import decode


def saved(image: Image.Image, form: str = "JPEG", quality: int = 90) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, quality=quality)
    return stream.getvalue()


def cropped(image: Image.Image, left: float, top: float, share: float = 0.95) -> Image.Image:
    """`share` of each side; left and top from 0 to 1 say where."""
    width, height = round(image.width * share), round(image.height * share)
    x, y = round(left * (image.width - width)), round(top * (image.height - height))
    return image.crop((x, y, x + width, y + height))


def resized(image: Image.Image, times: float) -> Image.Image:
    return image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.BICUBIC)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 30": lambda image: saved(image, quality=30),
    "JPEG 90": lambda image: saved(image, quality=90),
    "PNG": lambda image: saved(image, "PNG"),
    "half": lambda image: saved(resized(image, max(0.5, 64 / min(image.size)))),
    "double": lambda image: saved(resized(image, 2)),
    "centre": lambda image: saved(cropped(image, 0.5, 0.5)),
    "top left": lambda image: saved(cropped(image, 0, 0)),
    "bottom right": lambda image: saved(cropped(image, 1, 1)),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
    "turned by 90": lambda image: saved(image.transpose(Image.Transpose.ROTATE_90)),
    "turned by 180": lambda image: saved(image.transpose(Image.Transpose.ROTATE_180)),
    "turned by 270": lambda image: saved(image.transpose(Image.Transpose.ROTATE_270)),
    "upside down": lambda image: saved(ImageOps.flip(image)),
    "transposed, cropped": lambda image: saved(cropped(image, 0.3, 0.8, 0.8).transpose(Image.Transpose.TRANSPOSE)),
    "15 % off each side": lambda image: saved(cropped(image, 0.5, 0.5, 0.7)),
    "15 % off two sides": lambda image: saved(cropped(image, 1, 0, 0.85)),
    "brighter": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
    "darker": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.85)),
}

CROPS = ("centre", "top left", "bottom right", "transposed, cropped", "15 % off each side", "15 % off two sides")


def print_of(content: bytes) -> bytes:
    """The print as the audit takes it: from a JPEG decoded as small as that allows."""
    decoded = decode(content, at_least=SIDE)
    return sketch(decoded.image, decoded.size)[1]


def pairs(count: int) -> list[list[int]]:
    """Each of `count` originals with the copy that stands `count` places later."""
    return [[place, place + count] for place in range(count)]


@pytest.fixture(scope="module")
def photographs(test_data: Path) -> list[bytes]:
    """Two dozen photographs of the world."""
    folders = [test_data / "hymenoptera", test_data / "imagenet_samples"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"no photographs in {test_data}")
    files = sorted(file for folder in folders for file in folder.rglob("*.jpg"))
    return [file.read_bytes() for file in files[:: len(files) // 24][:24]]


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    """Forty made-up photographs."""
    return [scene(seed % 2, seed, (160, 120)) for seed in range(40)]


def test_photographs_are_found_in_every_copy(photographs: list[bytes]) -> None:
    prints = [print_of(content) for content in photographs]
    assert near_groups(prints) == []
    images = [decode(content).image for content in photographs]
    for kind, copy in COPIES.items():
        groups = near_groups(prints + [print_of(copy(image)) for image in images])
        assert all(group in pairs(len(prints)) for group in groups), kind
        # Of crops, one in two hundred is missed; of all else none.
        assert len(groups) >= len(prints) - (kind in CROPS), kind


# Half of a scene of few specks is gone with 15 % of each side, and one speck at the edge is like another.
@pytest.mark.parametrize("kind", [kind for kind in COPIES if kind != "15 % off each side"])
def test_made_up_photographs_are_found_too(kind: str, scenes: list[Image.Image]) -> None:
    prints = [print_of(saved(image)) for image in scenes]
    assert near_groups(prints) == []
    groups = near_groups(prints + [print_of(COPIES[kind](image)) for image in scenes])
    # Scattered specks are harder than photographs: of crops, one or two of forty may be missed, and none taken wrongly.
    assert all(group in pairs(len(prints)) for group in groups)
    assert len(groups) >= (37 if kind in CROPS else 40)


def disc(image: Image.Image) -> Image.Image:
    """What a round mask lets through, on white."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    mask = Image.fromarray((x * x + y * y < 0.75).astype(np.uint8) * 255)
    return Image.composite(image.resize((256, 256)), Image.new("RGB", (256, 256), "white"), mask)


ALIKE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "white frame": lambda image: ImageOps.expand(image.resize((256, 256)), 26, "white"),
    "wide frame": lambda image: ImageOps.expand(image.resize((256, 256)), 80, "white"),
    "black bars": lambda image: ImageOps.expand(image.resize((256, 200)), (0, 40), "black"),
    "round mask": disc,
}


@pytest.mark.parametrize("frame", ALIKE)
def test_what_a_folder_has_in_common_makes_no_duplicates(frame: str, photographs: list[bytes]) -> None:
    framed = [ALIKE[frame](decode(content).image) for content in photographs]
    prints = [print_of(saved(image)) for image in framed]
    assert near_groups(prints) == []
    copies = [print_of(saved(ImageOps.mirror(resized(image, 0.7)), quality=50)) for image in framed]
    assert near_groups(prints + copies) == pairs(len(prints))


def test_many_copies_of_one_image_are_no_common_pattern(scenes: list[Image.Image]) -> None:
    copies = [print_of(saved(scenes[0], quality=quality)) for quality in range(30, 90, 2)]
    others = [print_of(saved(image)) for image in scenes[1:13]]
    assert near_groups(copies + others) == [list(range(30))]
    crops = [print_of(saved(cropped(scenes[0], n / 29, 0.5, 0.95 + n / 600))) for n in range(30)]
    assert near_groups(crops + others) == [list(range(30))]


def test_likeness_goes_on_through_a_third_image(photographs: list[bytes]) -> None:
    image = decode(photographs[0]).image
    left, right = (print_of(saved(cropped(image, corner, corner, 0.92))) for corner in (0, 1))
    others = [print_of(content) for content in photographs]
    assert near_groups([left, right, *others[1:]]) == []
    assert near_groups([left, right, *others]) == [[0, 1, 2]]


def test_the_order_does_not_matter(scenes: list[Image.Image]) -> None:
    prints = [print_of(saved(image)) for image in scenes]
    prints += [print_of(COPIES["top left"](image)) for image in scenes[:10]]
    order = np.random.default_rng(0).permutation(len(prints))
    shuffled = near_groups([prints[place] for place in order])
    assert sorted(sorted(order[place] for place in group) for group in shuffled) == near_groups(prints) != []


@pytest.mark.parametrize("block", [3, 16])
def test_blocks_change_nothing(block: int, scenes: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    prints = [print_of(saved(image)) for image in scenes[:20]]
    prints += [print_of(COPIES["mirrored"](image)) for image in scenes[:20]]
    told: list[int] = []
    monkeypatch.setattr("striate.data.audit.likeness._BLOCK", block)
    monkeypatch.setattr("striate.data.audit.likeness._BATCH", 4)
    assert near_groups(prints, told.append) == pairs(20)
    assert sum(told) == 2 * len(prints) and told[0] == block


def test_blank_images_are_like_nothing() -> None:
    blanks = [Image.new("RGB", (100, 80), (grey, grey, grey)) for grey in (0, 120, 255)]
    gradient = Image.fromarray(np.repeat(np.arange(100, dtype=np.uint8)[None], 80, axis=0)).convert("RGB")
    prints = [print_of(saved(image)) for image in (*blanks, *blanks, gradient)]
    assert all(len(content) == SIDE * SIDE for content in prints)
    assert near_groups(prints) == []


@pytest.mark.parametrize(("size", "length"), [((64, 64), 1024), ((63, 400), 0), ((400, 63), 0), ((1, 1), 0)])
def test_small_images_leave_no_print(size: tuple[int, int], length: int) -> None:
    assert len(print_of(saved(scene(0, 1, size)))) == length


def test_the_spread_is_that_of_luma() -> None:
    assert sketch(Image.new("RGB", (50, 40), (9, 200, 30)), (50, 40))[0] == 0
    halves = Image.new("L", (40, 40), 10)
    halves.paste(110, (0, 0, 20, 40))
    assert sketch(halves.convert("RGB"), (40, 40))[0] == pytest.approx(50)


def test_images_of_one_colour_have_no_pose_to_agree_in() -> None:
    assert near_groups([bytes(SIDE * SIDE)] * 3) in ([], [[0, 1, 2]])


@given(st.lists(st.binary(min_size=SIDE * SIDE, max_size=SIDE * SIDE) | st.just(b""), max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_prints_fall_into_separate_groups_in_order(prints: list[bytes]) -> None:
    groups = near_groups(prints)
    members = [place for group in groups for place in group]
    assert len(members) == len(set(members)) and groups == sorted(groups)
    assert all(group == sorted(group) and len(group) > 1 for group in groups)
    assert all(prints[place] for place in members)
