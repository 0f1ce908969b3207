"""Boxes of VOC, COCO and YOLO are read as one type, and audited: classes, formats, sizes, EXIF, empty images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.data.opening import open_source
from striate.errors import RequestError
from striate.jobs.audit import audit
from striate.tasks import Detection

SIZE = (60, 40)
CAT, DOG = (10.0, 5.0, 30.0, 25.0), (20.0, 10.0, 60.0, 40.0)  # x1, y1, x2, y2
WANTED = (60, 40, ((0, *CAT, 0, 400.0), (1, *DOG, 0, 1200.0)))


def picture(path: Path, shade: int = 90, size: tuple[int, int] = SIZE, turn: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.radial_gradient("L").resize(size).point(lambda value: (value * shade) // 99 % 256).convert("RGB")
    exif = Image.Exif()
    if turn:
        exif[0x0112] = turn
    image.save(path, exif=exif)


def voc(path: Path, objects: list[tuple[str, Any]], size: tuple[int, int] | None = SIZE, more: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    boxes = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        f"{more}</object>"
        for name, (x1, y1, x2, y2) in objects
    )
    path.write_text(f"<annotation>{told}{boxes}</annotation>", "utf-8")


def one_based(box: tuple[float, ...]) -> tuple[int, ...]:
    """Pixels counted from 1, both corners inside, as VOC has them."""
    return int(box[0]) + 1, int(box[1]) + 1, int(box[2]), int(box[3])


def as_voc(root: Path) -> None:
    picture(root / "JPEGImages" / "a.jpg")
    picture(root / "JPEGImages" / "b.jpg", 60)
    voc(root / "Annotations" / "a.xml", [("cat", one_based(CAT)), ("dog", one_based(DOG))])
    voc(root / "Annotations" / "b.xml", [])
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\n")


def as_coco(root: Path) -> None:
    picture(root / "images" / "a.jpg")
    picture(root / "images" / "b.jpg", 60)
    boxes = [[10, 5, 20, 20], [20, 10, 40, 30]]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 60, "height": 40}, {"id": 9, "file_name": "b.jpg"}],
        "categories": [{"id": 90, "name": "dog"}, {"id": 17, "name": "cat"}, {"id": 3, "name": "bird"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 17, "bbox": boxes[0]},
            {"id": 2, "image_id": 7, "category_id": 90, "bbox": boxes[1]},
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))


def as_yolo(root: Path) -> None:
    picture(root / "train" / "images" / "a.jpg")
    picture(root / "val" / "images" / "b.jpg", 60)
    lines = ["0 0.333333333 0.375 0.333333333 0.5", "1 0.666666667 0.625 0.666666667 0.75"]
    for part, name, text in (("train", "a", "\n".join(lines)), ("val", "b", "")):
        (root / part / "labels").mkdir()
        (root / part / "labels" / f"{name}.txt").write_text(text)
    (root / "data.yaml").write_text("path: .  # here\nnc: 3\nnames:\n  0: cat\n  1: 'dog'\n  2: bird\ntrain: train\n")


@pytest.mark.parametrize("made", [as_voc, as_coco, as_yolo], ids=lambda made: made.__name__)
def test_three_formats_are_one_type(made: Any, tmp_path: Path) -> None:
    made(tmp_path)
    source = open_source(tmp_path)
    assert source.task == Detection(("cat", "dog"))  # category ids 17 and 90 too; birds do not occur
    found, empty = source.items
    width, height, objects = found.target
    assert (width, height) == WANTED[:2]
    for one, wanted in zip(objects, WANTED[2], strict=True):
        assert one == pytest.approx(wanted, abs=1e-4)
    assert empty.target == (60, 40, ()) and source.oddities == ()
    assert [item.part for item in source.items] == {
        as_voc: ["train", "val"], as_coco: ["train", "train"], as_yolo: ["train", "val"],
    }[made]  # fmt: skip
    assert source.task.is_target(found.target) and source.task.text(found.target) == "1 cat, 1 dog"
    report = audit(tmp_path)
    assert next(one.kind for one in report.findings if one.action == "kept") == "no-object"


def test_names_of_yolo_in_every_form(tmp_path: Path) -> None:
    from striate.data.sources.yolo import listed_names

    for text in ("names: [a, 'b c', d]", "nc: 3\nnames:\n- a\n- b c\n- d\n", "names: {0: a, 1: 'b c', 2: d}",
                 "names: [a,\n  b c,\n  d]\n", "names:\n    0: a\n    1: b c # two\n    2: d\nval: x"):  # fmt: skip
        assert listed_names(text, "data.yaml") == ("a", "b c", "d"), text
    assert listed_names("a\nb c\nd\n", "classes.txt") == ("a", "b c", "d")
    assert listed_names("train: x", "data.yaml") is None
    with pytest.raises(RequestError, match="lists a class twice"):
        listed_names("a\na", "classes.txt")


def test_boxes_are_turned_with_their_image(tmp_path: Path) -> None:
    """A box of the stored image goes where the pixels go; one of the upright image stays."""
    picture(tmp_path / "images" / "a.jpg", size=SIZE, turn=6)  # 40 x 60 when upright
    picture(tmp_path / "images" / "b.jpg", 60, size=SIZE, turn=8)
    picture(tmp_path / "images" / "c.jpg", 40, size=SIZE, turn=6)
    stored = one_based((0.0, 0.0, 20.0, 10.0))
    voc(tmp_path / "annotations" / "a.xml", [("cat", stored)])
    voc(tmp_path / "annotations" / "b.xml", [("cat", stored)])
    voc(tmp_path / "annotations" / "c.xml", [("cat", stored)], size=(40, 60))
    source = open_source(tmp_path)
    assert [item.target[:2] for item in source.items] == [(40, 60)] * 3
    boxes = [item.target[2][0][1:5] for item in source.items]
    assert boxes == [(30, 0, 40, 20), (0, 40, 10, 60), (0, 0, 20, 10)]
    # The same turn by Pillow: the corner of the stored image that is marked lies in the turned box.
    for item, box in zip(source.items[:2], boxes[:2], strict=True):
        marked = Image.new("L", SIZE)
        marked.paste(255, (0, 0, 20, 10))
        exif = {"a": Image.Transpose.ROTATE_270, "b": Image.Transpose.ROTATE_90}[Path(item.key).stem]
        assert marked.transpose(exif).getbbox() == box


def test_boxes_are_audited(tmp_path: Path) -> None:
    for name in "abcdefg":
        picture(tmp_path / "images" / f"{name}.png", 40 + 8 * ord(name) % 50)
    good = ("cat", (2, 2, 30, 30))
    voc(tmp_path / "annotations" / "a.xml", [good, good, ("cat", (5, 5, 4, 20)), ("cat", (70, 2, 90, 20))])
    voc(tmp_path / "annotations" / "b.xml", [("cat", (30, 20, 75, 40))])
    voc(tmp_path / "annotations" / "c.xml", [good], size=(64, 64))
    (tmp_path / "annotations" / "d.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>')
    (tmp_path / "annotations" / "e.xml").write_text("<annotation><object>")
    voc(tmp_path / "annotations" / "g.xml", [("cat", ("nan", 2, 3, 4))])
    voc(tmp_path / "annotations" / "z.xml", [good])
    source = open_source(tmp_path)
    aside = {one.path.split("/")[1]: (one.kind, one.why) for one in source.oddities}
    assert aside["c.png"] == ("bad-boxes", "the boxes are of an image of 64 x 64 pixels, and this one has 60 x 40")
    assert "document type or entities" in aside["d.png"][1] and "not XML" in aside["e.png"][1]
    assert aside["f.png"][0] == "no-boxes" and "xmin is nan" in aside["g.png"][1] and aside["z.xml"][0] == "no-image"
    boxes = {Path(item.key).stem: [one[1:5] for one in item.target[2]] for item in source.items}
    assert boxes == {"a": [(1, 1, 30, 30)], "b": [(29, 19, 60, 40)]}
    found = {one.kind: one.listed for one in audit(tmp_path).findings}
    assert found["degenerate-box"] == ("images/a.png (cat 4 4 4 20)",)
    assert found["outside-box"] == ("images/a.png (cat 69 1 90 20 in 60 x 40)",)
    assert "cat 29 19 75 40" in found["cut-box"][0] and "images/a.png" in found["double-box"][0]


def test_a_mirrored_picture_with_moved_boxes_is_no_contradiction(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    blocks = np.random.default_rng(0).integers(0, 255, (8, 12, 3)).astype(np.uint8)
    image = Image.fromarray(blocks).resize((300, 200), Image.Resampling.BICUBIC)
    for name, picture_of in (("a", image), ("b", image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
        picture_of.save(tmp_path / "images" / f"{name}.png")
    voc(tmp_path / "annotations" / "a.xml", [("cat", (11, 11, 40, 30))], size=(300, 200))
    voc(tmp_path / "annotations" / "b.xml", [("cat", (261, 11, 290, 30))], size=(300, 200))
    assert [one.kind for one in audit(tmp_path).findings] == ["near-duplicate"]
    voc(tmp_path / "annotations" / "b.xml", [("dog", (261, 11, 290, 30))], size=(300, 200))
    assert "near-contradiction" in [one.kind for one in audit(tmp_path).findings]


def test_unknown_classes_and_other_formats_are_told(tmp_path: Path) -> None:
    for name, line in (("a", "0 .5 .5 .2 .2"), ("b", "2 .5 .5 .2 .2"), ("c", "0 30 20 10 10"), ("d", "0 .5 .5"),
                       ("e", "0 .1 .1 .4 .1 .4 .6")):  # fmt: skip
        picture(tmp_path / "images" / f"{name}.png", 50 + 9 * ord(name) % 40)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").write_text(line + "\n")
    (tmp_path / "labels" / "classes.txt").write_text("cat\ndog\n")
    source = open_source(tmp_path)
    why = {Path(one.path).stem: one.why for one in source.oddities}
    assert "the class 2 is unknown: 2 classes are listed, 0 to 1 (are they counted from 1?)" in why["b"]
    assert "shares of the image's sides, no pixels" in why["c"] and "is not 'class x y width height'" in why["d"]
    outline = source.items[1].target[2][0]
    assert outline[1:5] == pytest.approx((6, 4, 24, 24))
    bad = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "cat"}],
           "annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}]}  # fmt: skip
    other = tmp_path / "other"
    picture(other / "images" / "a.png")
    (other / "boxes.json").write_text(json.dumps(bad))
    with pytest.raises(RequestError, match="category_id 2 is not among the file's categories"):
        open_source(other)
    for content, told in (("[1]", "no COCO file of boxes"), ("{", "is not JSON"), ("[" * 10**5, "is not JSON")):
        (other / "boxes.json").write_text(content)
        with pytest.raises(RequestError, match=told):
            open_source(other)


def test_folders_of_classes_are_still_classes(tmp_path: Path) -> None:
    for name in ("boxes", "images", "labels"):
        for number in range(3):
            picture(tmp_path / name / f"{number}.png", 40 + number * 9)
    assert open_source(tmp_path).task.kind == "classification"
