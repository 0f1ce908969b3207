"""Measure segmentation: python benchmarks/segmentation.py [penn_fudan | coco_person] [STRATEGY]

penn_fudan: its 170 photographs with pedestrians, a fifth held out. coco_person: persons against all else in the 100
training and 100 validation photographs of coco_small, where ESPNetv2 (width 0.5, trained on PASCAL VOC) has a person
IoU of .678. Both by IoU from one confusion matrix at the images' own sizes, and as `striate evaluate` gives it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from recording import DATA, write_record

PERSON, UNLABELLED = 1, 0  # of coco_small's masks
ESPNETV2 = 0.678


def penn_fudan(scratch: Path) -> Path:
    """The data as they are: instance masks."""
    return DATA / "penn_fudan"


def coco_person(scratch: Path) -> Path:
    """Links to the images that have masks, and masks of 1 for a person; what is not labelled is void."""
    root = scratch / "coco_person"
    for part in ("train", "val"):
        for folder in ("images", "masks"):
            (root / folder / part).mkdir(parents=True)
        for path in sorted((DATA / "coco_small" / "masks" / f"{part}2017").glob("*.png")):
            stored = np.asarray(Image.open(path))
            mask = np.where(stored == UNLABELLED, 255, (stored == PERSON).astype(np.uint8))
            Image.fromarray(mask.astype(np.uint8)).save(root / "masks" / part / path.name)
            image = next((DATA / "coco_small" / "images" / f"{part}2017").glob(f"{path.stem}.*"))
            (root / "images" / part / image.name).symlink_to(image)
    (root / "classes.txt").write_text("other\nperson\n", "utf-8")
    return root


SETS = {"penn_fudan": penn_fudan, "coco_person": coco_person}


def own_size(run: Any, data: Path) -> float:
    """The IoU of class 1 over the held-out images at their own sizes."""
    from striate.data.opening import open_source
    from striate.data.splits import apply_split
    from striate.jobs.predict_masks import full_mask
    from striate.tasks.segmentation_evaluation import class_ious, confusion

    source, _ = apply_split(open_source(data), run.folder / "split.csv")
    matrix, part = np.zeros((2, 2), np.int64), run.evaluation.part
    for item in source.items:
        if item.part == part:
            decoded = source.decode(source.read(item), 0)
            matrix += confusion(full_mask(run.predictor, decoded), np.asarray(decoded.mask), 2)
    return float(class_ious(matrix)[1])


def measured(name: str, strategy: str, scratch: Path) -> dict[str, object]:
    """One training and its figures."""
    from striate.jobs.train import train
    from striate.recipe import Recipe

    data = SETS[name](scratch)
    run = train(data, out=scratch / f"{name}-{strategy}", recipe=Recipe().updated({"strategy": strategy}))
    second = run.model.classes[1]
    return {
        "what": f"segmentation, {name}, {strategy}",
        "n": 1,
        "command": f"striate train DATA --strategy {strategy}",
        "net": run.model.net,
        "images": [len(run.result.split.rows("train")), run.evaluation.total],
        "iou": round(run.metrics["iou"][second], 4),
        "iou_at_own_size": round(own_size(run, data), 4),
        **({"espnetv2_half_width": ESPNETV2} if name == "coco_person" else {}),
        "mean_iou": round(run.metrics["mean_iou"], 4),
        "pixel_accuracy": round(run.metrics["pixel_accuracy"], 4),
        "boundary_f1": round(run.metrics["boundary_f1"], 4),
        "seconds": run.metrics["seconds"],
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2.5 else "",
    }


def main() -> None:
    """Measure and write the record."""
    wanted, strategy = sys.argv[1:2] or list(SETS), (sys.argv[2:3] or ["features"])[0]
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="striate-segmentation-") as folder:
            row = measured(name, strategy, Path(folder))
        print(json.dumps(row), flush=True)
        write_record("segmentation", [row], ("striate", "torch", "openvino", "numpy", "pillow"))


if __name__ == "__main__":
    main()
