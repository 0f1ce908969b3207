"""Measure detection: python benchmarks/detection.py [STRATEGY [NET]]

Penn-Fudan: 170 photographs with 423 pedestrians, of which a fifth is held out. Average precision by Striate's own
figures, and by pycocotools where that is installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from recording import DATA, write_record

UNFREEZE = 4  # stages: people are found by more than the two stages that are the default
GOAL = {"ap50": 0.85, "seconds": 900}


def penn_fudan(scratch: Path) -> Path:
    """Links to the photographs, and their boxes as PASCAL VOC's files."""
    root = scratch / "penn_fudan"
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for name, one in json.loads((DATA / "penn_fudan" / "boxes.json").read_text("utf-8")).items():
        (root / "images" / name).symlink_to(DATA / "penn_fudan" / "images" / name)
        width, height = one["size"]
        objects = "".join(
            "<object><name>person</name><bndbox>"
            + "".join(
                f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            )
            + "</bndbox></object>"
            for box in one["boxes_1based_inclusive_xyxy"]
        )
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        (root / "annotations" / f"{Path(name).stem}.xml").write_text(
            f"<annotation>{size}{objects}</annotation>", "utf-8"
        )
    return root


def by_pycocotools(evaluation: Any) -> list[float] | None:
    """The twelve numbers of pycocotools; None where it is not installed."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        return None
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []

    def sides(box: np.ndarray[Any, Any]) -> list[float]:
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    for image, scene in enumerate(evaluation.scenes, 1):
        for box, name, crowd, area in zip(scene.true, scene.true_classes, scene.crowd, scene.area, strict=True):
            own = {"id": len(annotations) + 1, "iscrowd": int(crowd), "area": float(area)}
            annotations.append({"image_id": image, "category_id": int(name) + 1, "bbox": sides(box), **own})
        for box, name, score in zip(scene.found, scene.found_classes, scene.scores, strict=True):
            found = {"image_id": image, "category_id": int(name) + 1, "bbox": sides(box), "score": float(score)}
            results.append(found)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(1, evaluation.total + 1)],
            "annotations": annotations,
            "categories": [{"id": place + 1} for place in range(evaluation.task.outputs)],
        }
        truth.createIndex()
        counted = COCOeval(truth, truth.loadRes(results), "bbox")
        counted.evaluate()
        counted.accumulate()
        counted.summarize()
    return [round(float(value), 4) for value in counted.stats]


def measured(strategy: str, net: str, scratch: Path) -> dict[str, object]:
    """One training and its figures."""
    from striate.jobs.train import train
    from striate.recipe import Recipe

    recipe = Recipe().updated({"strategy": strategy, "net.name": net, "finetune.unfreeze": UNFREEZE})
    run = train(penn_fudan(scratch), out=scratch / "run", recipe=recipe)
    return {
        "what": f"detection, penn_fudan, {net}, {strategy}",
        "n": 1,
        "command": f"striate train DATA --net {net} --strategy {strategy} --set finetune.unfreeze={UNFREEZE}",
        "net": run.model.net,
        "images": [len(run.result.split.rows("train")), run.evaluation.total],
        "ap": round(run.metrics["ap"], 4),
        "ap50": round(run.metrics["ap50"], 4),
        "goal": GOAL,
        "coco": run.metrics["coco"],
        "pycocotools": by_pycocotools(run.evaluation),
        "seconds": run.metrics["seconds"],
        "cpu_seconds": round(sum(os.times()[:2]), 1),
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2.5 else "",
    }


def main() -> None:
    """Measure and write the record."""
    strategy, net = (*sys.argv[1:], *("finetune", "fcos_lite0")[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory(prefix="striate-detection-") as folder:
        row = measured(strategy, net, Path(folder))
    print(json.dumps(row), flush=True)
    write_record("detection", [row], ("striate", "torch", "openvino", "numpy", "pillow"))


if __name__ == "__main__":
    main()
