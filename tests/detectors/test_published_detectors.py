"""Published detectors on photographs: MTCNN finds faces, YOLOX-nano has its average precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_data import DATA

from striate.detectors.faces import FaceFinder
from striate.detectors.yolox import COCO, Yolox, decoded, kept, letterboxed
from striate.errors import RequestError
from striate.nets.mtcnn import ROWS, MtcnnNet
from striate.tasks import Detection
from striate.tasks.coco_metrics import coco_figures
from striate.tasks.detection_arrays import MOST, scenes

SMALL = DATA / "coco_small" / "images" / "val2017"
MTCNN, YOLOX = DATA / "weights" / "mtcnn", DATA / "weights" / "detectors" / "yolox_nano_416_coco.onnx"
photographs = pytest.mark.skipif(not SMALL.is_dir(), reason="no photographs")


def photograph(name: str) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(SMALL / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB"))


def test_the_networks_of_mtcnn_have_the_published_sizes() -> None:
    counts = {name: sum(one.numel() for one in MtcnnNet(name).parameters()) for name in ROWS}
    assert counts == {"pnet": 6_632, "rnet": 100_178, "onet": 389_040}


@photographs
def test_mtcnn_finds_the_faces_of_a_group(tmp_path: Path) -> None:
    finder = FaceFinder.open(MTCNN)
    faces = finder.find(photograph("000000001000"))  # eleven people look at the camera, one does not
    assert len(faces) == 11 and faces[0].score > 0.999 and all(face.score > 0.9 for face in faces)
    for x1, y1, x2, y2 in (face.box for face in faces):
        assert 0.6 < (x2 - x1) / (y2 - y1) < 1.1
    for face in faces:
        left, right, nose, *mouth = face.points.tolist()
        assert left[0] < nose[0] < right[0] and max(left[1], right[1]) < nose[1] < min(point[1] for point in mouth)
    assert finder.find(np.full((60, 60, 3), 128, np.uint8)) == [] == finder.find(np.zeros((8, 8, 3), np.uint8))
    for name in ROWS:
        (tmp_path / f"{name}.safetensors").write_bytes((MTCNN / "pnet.safetensors").read_bytes())
    with pytest.raises(RequestError, match="has no weights of MTCNN's rnet"):
        FaceFinder.open(tmp_path)


def test_outputs_of_yolox_are_decoded_at_their_places() -> None:
    raw = np.zeros((52 * 52 + 26 * 26 + 13 * 13, 85), np.float32)
    place = 52 * 52 + 3 * 26 + 5  # stride 16, row 3, column 5
    raw[place, :7] = [0.5, 0.25, np.log(4), np.log(2), 0.9, 0.0, 0.8]
    assert decoded(raw, 416)[place, :4] == pytest.approx([88, 52, 64, 32])
    found = kept(decoded(raw, 416), scale=0.5)
    assert found == pytest.approx(np.array([[1, 0.72, 112, 72, 240, 136]]))
    given, scale = letterboxed(np.full((100, 208, 3), (10, 20, 30), np.uint8), 416)
    assert scale == 2 and given.shape == (1, 3, 416, 416)
    assert given[0, :, 199, 415].tolist() == [30, 20, 10] and (given[0, :, 200:] == 114).all()
    assert len(set(COCO)) == 80 and COCO[0] == "person" and COCO[79] == "toothbrush"


def precision(count: int | None) -> float:
    """The average precision of YOLOX-nano on the first photographs."""
    net = Yolox.open(YOLOX)
    task, rows, targets = Detection(COCO), [], []
    labels = DATA / "coco_small" / "boxes" / "val2017"
    for path in sorted(SMALL.iterdir())[:count]:
        image = photograph(path.stem)
        height, width = image.shape[:2]
        found, row = net.find(image)[:MOST], np.zeros((MOST, 6), np.float32)
        row[:, 0] = -1
        row[: len(found)] = found
        row[:, 2:] /= (width, height, width, height)
        rows.append(row)
        file, objects = labels / f"{path.stem}.txt", []
        for line in file.read_text().splitlines() if file.is_file() else []:
            name, x, y, w, h = map(float, line.split())
            box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            objects.append((int(name), *box, 0, w * h * width * height))
        targets.append((width, height, tuple(objects)))
    return coco_figures(scenes(np.stack(rows), task.collate(targets)), len(COCO))[0].value


@photographs
def test_yolox_finds_the_objects_of_photographs(tmp_path: Path) -> None:
    assert precision(12) > 0.3
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(RequestError, match="is no ONNX file that onnxruntime opens"):
        Yolox.open(tmp_path / "a.onnx")
    with pytest.raises(RequestError, match="where YOLOX of 2 classes gives"):
        Yolox.open(YOLOX, ("a", "b"))


@photographs
@pytest.mark.slow
def test_yolox_nano_has_its_average_precision() -> None:
    assert precision(None) == pytest.approx(0.338, abs=0.005)
