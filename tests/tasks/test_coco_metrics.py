"""COCO's twelve numbers against pycocotools, on drawn boxes with crowds, empty images and boxes without an area."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from striate.tasks.coco_metrics import Scene, class_precisions, coco_figures

CLASSES = 3


def drawn(seed: int, images: int = 25) -> list[Scene]:
    generator, scenes = np.random.default_rng(seed), []
    for number in range(images):
        objects, extra = (0 if number % 6 == 0 else generator.integers(1, 9)), generator.integers(0, 12)
        corner = generator.integers(0, 200, (objects, 2)).astype(float)
        true = np.concatenate([corner, corner + generator.integers(2, 150, (objects, 2))], 1)
        shift = generator.normal(0, 6, (objects, 4)).round(1) * (generator.random((objects, 1)) < 0.9)
        wide = generator.integers(0, 200, (extra, 2)).astype(float)
        found = np.concatenate([true + shift, np.concatenate([wide, wide + generator.integers(0, 90, (extra, 2))], 1)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])  # some have no area
        names = generator.integers(0, CLASSES - 1 if seed == 1 else CLASSES, objects)
        scenes.append(
            Scene(
                true,
                names,
                generator.random(objects) < 0.1,
                (true[:, 2] - true[:, 0]) * (true[:, 3] - true[:, 1]) * generator.choice([1, 0.6], objects),
                found,
                np.concatenate([names, generator.integers(0, CLASSES, extra)]),
                generator.random(objects + extra).round(1),  # many are equal
            )
        )
    return scenes


def by_pycocotools(scenes: list[Scene]) -> tuple[list[float], str]:
    pytest.importorskip("pycocotools", reason="the extra coco")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def boxes(values: np.ndarray) -> list[list[float]]:  # type: ignore[type-arg]
        return np.concatenate([values[:, :2], values[:, 2:] - values[:, :2]], 1).tolist()

    annotations, results = [], []
    for image, one in enumerate(scenes, 1):
        for box, name, crowd, area in zip(boxes(one.true), one.true_classes, one.crowd, one.area, strict=True):
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": int(name) + 1,
                                "bbox": box, "area": float(area), "iscrowd": int(crowd)})  # fmt: skip
        for box, name, score in zip(boxes(one.found), one.found_classes, one.scores, strict=True):
            results.append({"image_id": image, "category_id": int(name) + 1, "bbox": box, "score": float(score)})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(1, len(scenes) + 1)],
            "annotations": annotations,
            "categories": [{"id": name + 1} for name in range(CLASSES)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        printed.truncate(0)
        printed.seek(0)
        evaluation.summarize()
    return evaluation.stats.tolist(), printed.getvalue()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_twelve_numbers_are_those_of_pycocotools(seed: int) -> None:
    scenes = drawn(seed)
    stats, printed = by_pycocotools(scenes)
    figures = coco_figures(scenes, CLASSES)
    assert [one.value for one in figures] == pytest.approx(stats, abs=1e-9)
    assert "\n".join(one.line() for one in figures) == printed.rstrip("\n")
    assert 0.05 < figures[0].value < 0.95 and len({round(value, 3) for value in stats}) > 8


def test_known_numbers_and_none() -> None:
    def scene(found: list[list[float]], scores: list[float], true: list[list[float]]) -> Scene:
        given = np.array(true, float).reshape(-1, 4)
        boxes, names = np.array(found, float).reshape(-1, 4), np.zeros(len(true), np.int64)
        area = np.full(len(true), 400.0)
        return Scene(given, names, names > 0, area, boxes, np.zeros(len(found), np.int64), np.array(scores))

    right = scene([[0, 0, 20, 20]], [0.9], [[0, 0, 20, 20]])
    assert class_precisions([right], 1)[0] == pytest.approx([1.0] * 10)
    half = class_precisions([right, scene([], [], [[5, 5, 25, 25]])], 1)
    assert half[0] == pytest.approx([51 / 101] * 10)  # 51 of the 101 recalls are reached
    assert class_precisions([right, scene([[0, 0, 9, 9]], [0.99], [])], 1)[0] == pytest.approx([0.5] * 10)
    empty = coco_figures([scene([[0, 0, 9, 9]], [0.5], [])], 1)
    assert [one.value for one in empty] == [-1.0] * 12  # as pycocotools says it: there is no object
    assert np.isnan(class_precisions([], 1)).all()
