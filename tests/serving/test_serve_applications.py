"""`striate serve` for models of boxes, masks and captions: what `striate predict` answers, over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from application_models import NAMES, box_model, caption_model, mask_model, photograph
from PIL import Image
from serve_clients import Running, running

from striate.inference.predictor import Predictor
from striate.model import write

MODELS = {"boxes": box_model, "masks": mask_model, "captions": caption_model}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A photograph, and one that is stored lying on its side."""
    root = tmp_path_factory.mktemp("photographs")
    paths = [root / "a.png", root / "turned.png"]
    Image.fromarray(photograph(0)).save(paths[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photograph(1)).save(paths[1], exif=exif)
    return paths


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running({name: Predictor(made(), engine="torch") for name, made in MODELS.items()}) as found:
        yield found


def outputs(server: Running, name: str, files: list[Path]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """What the protocol answers, by name."""
    data = [base64.b64encode(path.read_bytes()).decode() for path in files]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": data}]
    told = server.ask("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": inputs})).json["outputs"]
    described = server.ask("GET", f"/v2/models/{name}").json["outputs"]
    assert [(one["name"], one["datatype"]) for one in told] == [(one["name"], one["datatype"]) for one in described]
    assert all(len(a["shape"]) == len(b["shape"]) for a, b in zip(told, described, strict=True))
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in told}


def test_boxes_are_those_of_predict(server: Running, files: list[Path], tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "boxes.safetensors", box_model())
    code, out, _ = cli("predict", tmp_path / "boxes.safetensors", *files, "--json", "--engine", "torch", "--score", 0.3)
    expected = json.loads(out)["images"]
    assert code == 0 and [(one["width"], one["height"]) for one in expected] == [(120, 80), (80, 120)]
    tensors = outputs(server, "boxes", files)
    for place, (path, wanted) in enumerate(zip(files, expected, strict=True)):
        told = server.predict(path.read_bytes(), "?model=boxes&score=0.3").json
        assert len(wanted["objects"]) > 2 and told["model"] == "boxes"
        assert (told["width"], told["height"]) == (wanted["width"], wanted["height"])
        scores, labels = tensors["scores"][place], tensors["labels"][place]
        assert (labels[scores >= 0.3] >= 0).all() and (scores >= 0.3).sum() == len(wanted["objects"])
        for row, (a, b) in enumerate(zip(told["objects"], wanted["objects"], strict=True)):
            assert a["label"] == b["label"] == NAMES[labels[row]]
            assert a["score"] == pytest.approx(b["score"], abs=1e-4)
            assert a["score"] == pytest.approx(scores[row], abs=1e-4)
            sides = tensors["boxes"][place][row].tolist()
            assert a["box"] == pytest.approx(b["box"], abs=0.02) and a["box"] == pytest.approx(sides, abs=0.02)
    fewer = server.predict(files[0].read_bytes(), "?model=boxes&score=0.99").json
    assert len(fewer["objects"]) < len(expected[0]["objects"])
    for query, why in (("?model=masks&score=0.3", "score is of models of boxes"), ("?score=2", "score is from 0 to 1")):
        answer = server.predict(files[0].read_bytes(), query)
        assert answer.status == 400 and why in answer.json["error"]


def test_masks_and_captions_are_those_of_predict(server: Running, files: list[Path]) -> None:
    (answer,) = Predictor(mask_model(), engine="torch").predict(files[0])
    told = server.predict(files[0].read_bytes(), "?model=masks&mask=true").json
    assert told["shares"] == answer.answer.facts["shares"]
    with Image.open(io.BytesIO(base64.b64decode(told["mask"]))) as picture:
        assert picture.mode == "P" and np.array_equal(np.array(picture), answer.value)
    tensors = outputs(server, "masks", files)
    assert np.array_equal(tensors["mask"][0], answer.value)
    assert "mask" not in server.predict(files[0].read_bytes(), "?model=masks").json
    expected = Predictor(caption_model(), engine="torch").predict(files)
    assert outputs(server, "captions", files)["label"].tolist() == [one.label for one in expected]
    told = server.predict(files[1].read_bytes(), "?model=captions").json
    assert told == {"model": "captions", "label": expected[1].label, "caption": expected[1].label}
    assert server.predict(files[1].read_bytes(), "?model=captions&mask=true").status == 400
