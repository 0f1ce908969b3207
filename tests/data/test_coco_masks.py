"""Masks of COCO files: run lengths and polygons against values worked out by hand, and a folder of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import RequestError
from striate.data.opening import open_source
from striate.data.sources.coco_masks import drawn, from_polygon, from_runs, run_lengths
from striate.pixels import UnreadableImage
from striate.tasks.pixel_losses import VOID


def test_run_lengths_are_decoded() -> None:
    # 40 = 01000 | more, 00001; 4 - 1 = 3; 5 - 40 = -35 = 11101 | more, 11110.
    assert run_lengths("61X13mN") == [6, 1, 40, 4, 5]
    assert from_runs([1, 2, 3], 2, 3).tolist() == [[False, True, False], [True, False, False]]  # down the columns
    assert drawn({"counts": "123", "size": [2, 3]}, 2, 3).sum() == 2
    for wrong in ({"counts": [1, 2], "size": [2, 3]}, {"counts": "1"}, [["a"]], [[1, 2, 3]], 7):
        with pytest.raises(UnreadableImage):
            drawn(wrong, 2, 3)
    with pytest.raises(UnreadableImage, match="the mask has 3 x 2 pixels and its image 4 x 2"):
        drawn({"counts": [6], "size": [2, 3]}, 2, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_run_lengths_and_polygons_are_those_of_pycocotools() -> None:
    judge = pytest.importorskip("pycocotools.mask")
    generator = np.random.default_rng(0)
    for _ in range(20):
        mask = (generator.random((13, 17)) < 0.4).astype(np.uint8)
        told = judge.encode(np.asfortranarray(mask))
        assert (drawn({"counts": told["counts"].decode(), "size": told["size"]}, 13, 17) == mask).all()
    points = np.array([[10.0, 5], [80, 20], [60, 70], [15, 55]])
    theirs = judge.decode(judge.merge(judge.frPyObjects([points.reshape(-1).tolist()], 90, 100))) == 1
    ours = from_polygon(points, 90, 100)
    assert (theirs & ours).sum() / (theirs | ours).sum() > 0.97


def test_a_polygon_has_the_pixels_whose_centre_is_inside() -> None:
    square = from_polygon(np.array([[1.0, 1], [4, 1], [4, 3], [1, 3]]), 4, 6)
    assert square.tolist() == [[False] * 6, *[[False, True, True, True, False, False]] * 2, [False] * 6]
    assert from_polygon(np.array([[-5.0, -5], [90, -5], [90, 90], [-5, 90]]), 4, 6).all()
    triangle = from_polygon(np.array([[0.0, 0], [100, 0], [0, 100]]), 100, 100)
    assert triangle.mean() == pytest.approx(0.5, abs=0.01)


def test_a_folder_with_a_coco_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "unlisted.png"):
        Image.fromarray(np.full((10, 12, 3), 9, np.uint8)).save(tmp_path / "images" / name)
    box = {"image_id": 1, "category_id": 18, "area": 40, "segmentation": [[1, 1, 9, 1, 9, 6, 1, 6]]}
    inner = {"image_id": 1, "category_id": 3, "area": 4, "segmentation": [[2, 2, 4, 2, 4, 4, 2, 4]]}
    crowd = {"image_id": 2, "category_id": 3, "iscrowd": 1, "segmentation": {"counts": [0, 60, 60], "size": [10, 12]}}
    content = {
        "images": [{"id": n, "file_name": f"{c}.png", "width": 12, "height": 10} for n, c in enumerate("abz", 1)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 4, "name": "unused"}],
        "annotations": [inner, box, crowd],
    }
    (tmp_path / "masks.json").write_text(json.dumps(content), "utf-8")
    source = open_source(tmp_path)
    assert source.task.names == ("background", "car", "dog")
    assert [(item.key, item.target) for item in source.items] == [("images/a.png", (0, 1, 2)), ("images/b.png", (0,))]
    first, second = (np.asarray(source.decode(source.read(item), 0).mask) for item in source.items)
    assert [(first == value).sum() for value in (1, 2)] == [4, 36]  # the smaller one is on top
    assert (second[:, :6] == VOID).all() and (second[:, 6:] == 0).all()
    assert {one.path: one.kind for one in source.oddities} == {"images/unlisted.png": "no-mask", "z.png": "no-image"}
    (tmp_path / "masks.json").write_text("[]", "utf-8")
    with pytest.raises(RequestError, match="is no COCO file with masks"):
        open_source(tmp_path)
