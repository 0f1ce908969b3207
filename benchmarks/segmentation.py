"""Measure segmentation: python benchmarks/segmentation.py [SET [STRATEGY [KEY=VALUE...]]]

SET: penn_fudan, coco_person or espnetv2; all three by default.

penn_fudan: its 170 photographs with pedestrians, a fifth held out. coco_person: persons against all else in the 100
training and 100 validation photographs of coco_small. Both by IoU from one confusion matrix at the images' own sizes,
and as `striate evaluate` gives it. espnetv2: the person IoU of ESPNetv2's published weights (width 0.5, trained on
PASCAL VOC) on the same 100 validation photographs, without the pixels that have no label, as for coco_person, and with
them as no person; the latter is the protocol of the .678 that came with the data. KEY=VALUE: of the recipe, such as
loss.name=weighted-cross-entropy, seed=1 or augment.flip=0.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from recording import DATA, write_record

PERSON, UNLABELLED = 1, 0  # of coco_small's masks
ESPNETV2 = DATA / "weights" / "espnetv2" / "espnetv2_s_0.5_pascal_384x384.safetensors"


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


def measured(name: str, strategy: str, settings: Sequence[str], scratch: Path) -> dict[str, object]:
    """One training and its figures."""
    from striate.jobs.train import train
    from striate.recipe import Recipe

    data = SETS[name](scratch)
    keys = dict(_setting(one) for one in settings)
    run = train(data, out=scratch / f"{name}-{strategy}", recipe=Recipe().updated({"strategy": strategy, **keys}))
    second = run.model.classes[1]
    return {
        "what": ", ".join(["segmentation", name, strategy, *settings]),
        "n": 1,
        "command": " --set ".join([f"striate train DATA --strategy {strategy}", *settings]),
        "net": run.model.net,
        "images": [len(run.result.split.rows("train")), run.evaluation.total],
        "iou": round(run.metrics["iou"][second], 4),
        "iou_at_own_size": round(own_size(run, data), 4),
        "mean_iou": round(run.metrics["mean_iou"], 4),
        "pixel_accuracy": round(run.metrics["pixel_accuracy"], 4),
        "boundary_f1": round(run.metrics["boundary_f1"], 4),
        "seconds": run.metrics["seconds"],
        **(person_ious(run.predictor, 1) if name == "coco_person" else {}),
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2.5 else "",
    }


def _setting(text: str) -> tuple[str, object]:
    """A key of the recipe and its value, which is JSON where it can be."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def person_ious(predictor: Any, person: int) -> dict[str, float]:
    """The person IoU on coco_small's validation photographs at their own sizes, by what is done with no label."""
    from striate.inference.image_predictor import decoded_file
    from striate.jobs.predict_masks import full_mask
    from striate.tasks.segmentation_evaluation import class_ious, confusion

    left_out, counted = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    for path in sorted((DATA / "coco_small" / "masks" / "val2017").glob("*.png")):
        image = next((DATA / "coco_small" / "images" / "val2017").glob(f"{path.stem}.*"))
        found = (full_mask(predictor, decoded_file(image, 0)) == person).astype(np.uint8)
        stored = np.asarray(Image.open(path))
        true = (stored == PERSON).astype(np.uint8)
        counted += confusion(found, true, 2)
        left_out += confusion(found, np.where(stored == UNLABELLED, np.uint8(255), true), 2)
    ious = {"iou_at_own_size": left_out, "iou_with_unlabelled_as_other": counted}
    return {name: round(float(class_ious(matrix)[1]), 4) for name, matrix in ious.items()}


def espnetv2(scratch: Path) -> dict[str, object]:
    """The published weights, imported, and their figures."""
    from striate.jobs.import_weights import import_weights
    from striate.jobs.load import load

    import_weights(ESPNETV2, net="espnetv2_050", source="edgenets", out=scratch / "espnetv2.safetensors")
    predictor: Any = load(scratch / "espnetv2.safetensors", engine="torch")
    return {
        "what": "segmentation, coco_person, ESPNetv2 of width 0.5 with its published weights, not trained here",
        "n": 1,
        "command": "striate import FILE --net espnetv2_050 --from edgenets",
        "images": len(list((DATA / "coco_small" / "masks" / "val2017").glob("*.png"))),
        **person_ious(predictor, predictor.classes.index("person")),
    }


def main() -> None:
    """Measure and write the record."""
    wanted, strategy = sys.argv[1:2] or [*SETS, "espnetv2"], (sys.argv[2:3] or ["features"])[0]
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="striate-segmentation-") as folder:
            scratch = Path(folder)
            row = espnetv2(scratch) if name == "espnetv2" else measured(name, strategy, sys.argv[3:], scratch)
        print(json.dumps(row), flush=True)
        write_record("segmentation", [row], ("striate", "torch", "openvino", "numpy", "pillow"))


if __name__ == "__main__":
    main()
