"""Folders of images and masks: pairs, values, colours, sizes, orientation, and what is set aside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import RequestError, audit
from striate.data.opening import open_source
from striate.tasks.pixel_losses import VOID


def image(path: Path, size: tuple[int, int] = (12, 8), seed: int = 0, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]


def mask(path: Path, values: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8))
    if palette:
        picture.putpalette([200, 10, 10] * 256)
    picture.save(path)


def halves(left: int, right: int, size: tuple[int, int] = (12, 8)) -> np.ndarray:
    found = np.full((size[1], size[0]), left)
    found[:, size[0] // 2 :] = right
    return found


def folder(root: Path, masks: list[np.ndarray], palette: bool = False) -> Path:
    for number, values in enumerate(masks):
        image(root / "images" / f"{number}.jpg", seed=number)
        mask(root / "masks" / f"{number}.png", values, palette)
    return root


def decoded(root: Path, row: int = 0) -> np.ndarray:
    source = open_source(root)
    found = source.decode(source.read(source.items[row]), 0)
    assert found.mask is not None and found.mask.size == found.image.size
    return np.asarray(found.mask)


def test_binary_masks_of_0_and_255_are_understood_and_said(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path, [halves(0, 255), halves(0, 0)]))
    assert source.task.names == ("background", "foreground")
    assert [item.target for item in source.items] == [(0, 1), (0,)]
    assert "255 is read as the class foreground, not as void" in source.reading[0]  # type: ignore[attr-defined]
    assert np.unique(decoded(tmp_path)).tolist() == [0, 1]
    empty = next(one for one in audit(tmp_path).findings if one.kind == "empty-mask")
    assert empty.listed == ("images/1.jpg (background only)",)


def test_indices_of_a_palette_file_are_its_classes_and_255_is_void(tmp_path: Path) -> None:
    folder(tmp_path, [halves(3, 255), halves(3, 21), halves(21, 3)], palette=True)
    source = open_source(tmp_path)
    assert source.task.names == ("3", "21")  # not 22 classes, and none is off by one
    assert source.items[0].target == (0,)
    assert np.unique(decoded(tmp_path)).tolist() == [0, VOID]
    assert "called by their values, 3, 21; 255 is void" in source.reading[0]  # type: ignore[attr-defined]


def test_classes_are_named_by_a_file(tmp_path: Path) -> None:
    folder(tmp_path, [halves(0, 2), halves(1, 2)])
    (tmp_path / "classes.txt").write_text("# of a tutorial\nroad\n1 ignore\n2: car\n", "utf-8")
    source = open_source(tmp_path)
    assert source.task.names == ("road", "car")
    assert [item.target for item in source.items] == [(0, 1), (1,)]
    assert np.unique(decoded(tmp_path, 1)).tolist() == [1, VOID]
    (tmp_path / "classes.txt").write_text("road\n0 car\n", "utf-8")
    with pytest.raises(RequestError, match=r"line 2 of .*values are from 0 to 255, each once"):
        open_source(tmp_path)


def test_masks_that_number_objects_are_read_as_one_class_and_said(tmp_path: Path) -> None:
    counted = [np.arange(96).reshape(8, 12) % (top + 1) for top in (1, 2, 4)]
    source = open_source(folder(tmp_path, counted))
    assert source.task.names == ("background", "object")
    assert "number the objects of each image (up to 4)" in source.reading[0]  # type: ignore[attr-defined]
    assert np.unique(decoded(tmp_path, 2)).tolist() == [0, 1]


def test_colours_are_refused_until_they_are_listed(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.png")
    colours = np.zeros((8, 12, 3), np.uint8)
    colours[:, 6:] = (128, 64, 0)
    mask(tmp_path / "masks" / "a.png", colours)
    with pytest.raises(RequestError, match=r"is of colours, such as 128 64 0, .*classes.txt.*RED GREEN BLUE NAME"):
        open_source(tmp_path)
    (tmp_path / "classes.txt").write_text("0 0 0 void\n128 64 0 road\n", "utf-8")
    assert open_source(tmp_path).task.names == ("road",)
    assert np.unique(decoded(tmp_path)).tolist() == [0, VOID]


def test_what_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    folder(tmp_path, [halves(0, 1), halves(0, 1)])
    image(tmp_path / "images" / "small.png")
    mask(tmp_path / "masks" / "small.png", halves(0, 1, (10, 8)))
    image(tmp_path / "images" / "alone.png")
    mask(tmp_path / "masks" / "nothing.png", halves(0, 1))
    image(tmp_path / "images" / "lossy.png")
    image(tmp_path / "masks" / "lossy.jpg")
    found = {one.path: (one.kind, one.why) for one in audit(tmp_path).set_aside}
    assert found["images/small.png"] == ("bad-mask", "the mask has 10 x 8 pixels and its image 12 x 8")
    assert found["images/alone.png"][0] == "no-mask" and found["masks/nothing.png"][0] == "no-image"
    assert found["images/lossy.png"][1].startswith("the mask is saved as JPEG, which changes values")
    (tmp_path / "classes.txt").write_text("road\ncar\n", "utf-8")
    mask(tmp_path / "masks" / "0.png", halves(0, 2))
    again = {one.path: one.why for one in audit(tmp_path).set_aside}
    assert again["images/0.jpg"] == "the mask has the value 2, which is no class"


def test_parts_and_names_of_masks(tmp_path: Path) -> None:
    for part in ("train", "val"):
        image(tmp_path / "images" / part / "a.jpg", seed=len(part))
        mask(tmp_path / "masks" / part / "a_mask.png", halves(0, 1))
        image(tmp_path / "other" / part / "images" / "a.jpg", seed=len(part))
        mask(tmp_path / "other" / part / "masks" / "a.png", halves(0, 1))
    for root in (tmp_path, tmp_path / "other"):
        assert [item.part for item in open_source(root).items] == ["train", "val"]
    for path in (tmp_path / "masks").rglob("*.png"):
        path.unlink()
    with pytest.raises(RequestError, match=r"no image in .* has a mask of its name"):
        open_source(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_with_their_image(tmp_path: Path, orientation: int) -> None:
    """A mask of the stored image's size is turned by the image's EXIF, one of the upright image's is not."""
    inside = np.zeros((40, 64), np.uint8)
    inside[4:12, 6:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(np.stack([inside] * 3, 2)).save(tmp_path / "images" / "a.jpg", exif=exif, quality=95)
    mask(tmp_path / "masks" / "a.png", inside if orientation >= 5 else upright(inside, exif))
    source = open_source(tmp_path)
    found = source.decode(source.read(source.items[0]), 0)
    bright = np.asarray(found.image.convert("L")) > 127
    assert found.mask is not None
    assert (bright == (np.asarray(found.mask) == 1)).mean() > 0.98
    mask(tmp_path / "masks" / "a.png", upright(inside, exif))
    again = source.decode(source.read(source.items[0]), 0)
    assert again.mask is not None
    assert (np.asarray(again.mask) == np.asarray(found.mask)).all()


def upright(values: np.ndarray, exif: Image.Exif) -> np.ndarray:
    from PIL import ImageOps

    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(file)))
