"""Run published detectors: python benchmarks/detectors.py

YOLOX-nano on the 128 validation photographs of coco_small: its average precision, published as .258 on all of val2017.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recording import DATA, write_record

KNOWN = {"ap": 0.338, "ap50": 0.497}  # measured before on these images, with code of its own


def as_rows(found: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """The best detections of an image, boxes in pixels, as the rows of the task: shares of the sides."""
    from striate.tasks.detection_arrays import MOST

    rows = np.zeros((MOST, 6), np.float32)
    rows[:, 0] = -1
    rows[: len(found)] = found[:MOST]
    rows[:, 2:] /= np.tile(np.array([width, height], np.float32), 2)
    return rows


def yolox_nano(scratch: Path) -> dict[str, object]:
    """COCO's figures on coco_small."""
    from striate.data.opening import open_source
    from striate.detectors.yolox import COCO, Yolox
    from striate.tasks import Detection
    from striate.tasks.coco_metrics import coco_figures
    from striate.tasks.detection_arrays import scenes

    (scratch / "images").symlink_to(DATA / "coco_small" / "images" / "val2017")
    (scratch / "labels").symlink_to(DATA / "coco_small" / "boxes" / "val2017")
    (scratch / "classes.txt").write_text("\n".join(COCO), "utf-8")
    source, start = open_source(scratch), time.time()
    net = Yolox.open(DATA / "weights" / "detectors" / "yolox_nano_416_coco.onnx")
    index = {place: COCO.index(name) for place, name in enumerate(source.task.names)}
    task, rows, targets = Detection(COCO), [], []
    for item in source.items:
        image = np.asarray(source.decode(source.read(item), 0).image, np.uint8)
        rows.append(as_rows(net.find(image), image.shape[1], image.shape[0]))
        targets.append(task.reindexed(item.target, index))
    figures = coco_figures(scenes(np.stack(rows), task.collate(targets)), len(COCO))
    for figure in figures:
        print(figure.line())
    return {
        "what": "YOLOX-nano, coco_small val",
        "n": len(rows),
        "command": "python benchmarks/detectors.py",
        "coco": {one.name: round(one.value, 4) for one in figures},
        "known": KNOWN,
        "seconds": round(time.time() - start, 1),
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2.5 else "",
    }


def main() -> None:
    """Measure and write the record."""
    with tempfile.TemporaryDirectory(prefix="striate-detectors-") as folder:
        row = yolox_nano(Path(folder))
    print(json.dumps(row), flush=True)
    write_record("detectors", [row], ("striate", "torch", "onnxruntime", "numpy", "pillow"))


if __name__ == "__main__":
    main()
