"""`striate inspect` for a model that predicts boxes: what speaks for the score of one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from application_models import NAMES, box_model, photograph
from PIL import Image

from striate import RequestError, inspect_images
from striate.inference.backbones import network_of, normalised
from striate.inspect.regions import ObjectLogits
from striate.jobs.predict_boxes import predict_boxes
from striate.model import Model, write
from striate.nets.build import create_for
from striate.tasks import Detection
from striate.tasks.detection_arrays import LOGITS, NOTHING, PREDICTED


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(photograph(3)).save(path)
    return path


def outputs_of(model: Model, photo: Path) -> torch.Tensor:
    with Image.open(photo) as image, torch.no_grad():
        found: torch.Tensor = network_of(model)(normalised(model.pixels.apply(image)[None], model))
    return found


def test_a_page_explains_the_best_object_and_others_by_number(
    cli: Any, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LEAST_FOR_CHECKS", 0), ("has_bfloat16", lambda: True)):
        monkeypatch.setattr(f"striate.jobs.inspect.{name}", value)
    model, path = box_model(), tmp_path / "m.safetensors"
    write(path, model)
    page, maps = tmp_path / "why.html", tmp_path / "maps"
    code, text, err = cli("inspect", path, photo, "--out", page, "--png", maps, "--json")
    assert code == 0, err
    (found,) = json.loads(text)["images"]
    objects = predict_boxes(path, [photo], engine="torch").images[0].objects
    best, across = objects[0], np.tile((120, 80), 2)
    assert found["objects"] == len(objects) > 2 and found["found"]
    assert (found["object"]["label"], found["explained"][0]) == (best.label, best.label)
    assert found["object"]["box"] * across == pytest.approx(best.box, abs=1e-2)
    assert found["object"]["score"] == pytest.approx(best.score, abs=1e-5)
    rows = outputs_of(model, photo)[0]
    own = (rows[:, PREDICTED].clamp(0, 1) - torch.tensor(found["object"]["box"])).abs().amax(1).argmin()
    assert found["outputs"][0] == pytest.approx(float(rows[own, LOGITS + best.place]), abs=1e-4)
    assert {check["check"] for check in found["checks"]} == {"Shuffled weights", "Edges", "Deletion"}
    html = page.read_text("utf-8")
    for words in ("What is found?", "The object explained below", "SmoothGrad", "Stage by stage"):
        assert words in html
    names = {path.name.partition("-")[2] for path in maps.iterdir()}
    assert {"objects.png", "explained.png", f"cam-{best.label}.png", f"occlusion-{best.label}.png"} <= names

    ant = [one for one in objects if one.label == "ant"]
    done = inspect_images(path, [photo], name="ant:2", methods=["cam"])
    assert done.images[0].boxes is not None and done.offset is None
    assert done.images[0].boxes.explained.box * across == pytest.approx(ant[1].box, abs=1e-2)
    code, text, _ = cli("inspect", path, photo, "--class", "ant:2", "--method", "cam", "--out", page)
    assert code == 0 and "explained is ant: the logit of its box from " in text
    for name, told in (
        ("ant:0", "numbered from 1"),
        ("ant:101", "there are [0-9]+, of any score"),
        ("ape", "unknown class 'ape'"),
    ):
        with pytest.raises(RequestError, match=told):
            inspect_images(path, [photo], name=name)


def test_an_object_under_the_least_score_is_explained_and_said_to_be_so(photo: Path, tmp_path: Path, cli: Any) -> None:
    model = box_model()
    model.tensors["head.classes.bias"][NAMES.index("cow")] = -60
    write(tmp_path / "m.safetensors", model)
    ask = ("inspect", tmp_path / "m.safetensors", photo, "--class", "cow", "--method", "cam")
    code, text, _ = cli(*ask, "--out", tmp_path / "a.html")
    assert code == 0 and "score 0.00, which is under 0.4: it is not shown as found" in text


def test_an_object_of_a_two_stage_detector_is_its_region_wherever_it_is_in_the_rows() -> None:
    torch.manual_seed(0)
    net = create_for(Detection(NAMES), "faster_rcnn_lite_tiny").eval()
    image = torch.randn(1, 3, 64, 64)
    rows = net(image)[0]
    own = int((rows[:, LOGITS + 1] != NOTHING).nonzero()[3])
    box = rows[own, PREDICTED].tolist()
    found = ObjectLogits(net, box)(torch.cat([image, torch.zeros_like(image)]))
    assert found.shape == (2, 3) and (found != NOTHING).all()
    assert float(found[0, 1].detach()) == pytest.approx(float(rows[own, LOGITS + 1].detach()), abs=1e-5)
    found[0, 1].backward()
    assert all(one.grad is not None and one.grad.any() for one in net.stage6.parameters())  # type: ignore[union-attr]
