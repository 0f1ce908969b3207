"""`striate inspect` for a model that predicts masks: an image's page, and the network's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate import RequestError, inspect_images
from striate.inference.backbones import network_of, normalised
from striate.jobs.inspect_net import inspect_net
from striate.model import Model, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Segmentation

NAMES = ("ground", "tree", "roof")


def saved(path: Path, net: str = "fcn_lite_tiny", side: int = 64) -> Model:
    torch.manual_seed(0)
    made = create(net, classes=3)
    tensors, aliases = arrays_of(made)
    neutral = ((127.0,) * 3, (60.0,) * 3)
    pixels = Pixels(side, side, rule="squash", mean=neutral[0], std=neutral[1])
    model = Model(net, made.options, Segmentation(NAMES), pixels, tensors, head="", aliases=aliases)
    write(path, model)
    return model


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a.png"
    values = np.random.default_rng(1).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(values).resize((80, 50)).save(path)
    return path


def test_a_page_explains_a_class_over_its_pixels(
    cli: Any, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path / "m.safetensors")
    for name, value in (("LEAST_FOR_CHECKS", 0), ("has_bfloat16", lambda: True)):  # the head takes maps by name
        monkeypatch.setattr(f"striate.jobs.inspect.{name}", value)
    out, maps = tmp_path / "why.html", tmp_path / "maps"
    code, text, err = cli("inspect", tmp_path / "m.safetensors", photo, "--out", out, "--png", maps, "--json")
    assert code == 0, err
    (found,) = json.loads(text)["images"]
    with Image.open(photo) as image, torch.no_grad():
        logits = network_of(model)(normalised(model.pixels.apply(image)[None], model))[0]
    mask = logits.argmax(0)
    shares = {name: float((mask == place).float().mean()) for place, name in enumerate(NAMES)}
    assert all(share == pytest.approx(shares[name], abs=1e-6) for name, share in found["shares"].items())
    explained = found["explained"][0]
    assert explained == max(NAMES[1:], key=lambda name: shares[name])  # what is not class 0, and has most pixels
    region = mask == NAMES.index(explained)
    assert found["region"] == {"pixels": int(region.sum()), "predicted": True}
    assert found["outputs"][0] == pytest.approx(float(logits[NAMES.index(explained)][region].mean()), abs=1e-4)
    assert found["confidence"] == pytest.approx(float(logits.softmax(0).amax(0).mean()), abs=1e-5)
    assert {check["check"] for check in found["checks"]} == {"Shuffled weights", "Edges", "Deletion"}
    html = out.read_text("utf-8")
    for words in ("The predicted mask", "Confidence", "Entropy", "Mean probability", "SmoothGrad", "Stage by stage"):
        assert words in html
    names = {path.name.partition("-")[2] for path in maps.iterdir()}
    assert {"mask.png", "confidence.png", "entropy.png", "probability-roof.png", f"cam-{explained}.png"} <= names


def test_a_class_that_is_nowhere_is_explained_over_the_image(photo: Path, tmp_path: Path, cli: Any) -> None:
    model = saved(tmp_path / "m.safetensors")
    tensors = {**model.tensors, "head.classifier.bias": np.array([0, 0, -100], np.float32)}
    write(tmp_path / "m.safetensors", replace(model, tensors=tensors))
    done = inspect_images(tmp_path / "m.safetensors", [photo], name="roof", methods=["cam"])
    masks = done.images[0].masks
    assert masks is not None and not masks.found and masks.region.all() and done.offset is None
    assert masks.entropy.min() >= 0 and masks.entropy.max() <= np.log2(3) + 1e-6
    ask = ("inspect", tmp_path / "m.safetensors", photo, "--class", "roof", "--method", "occlusion")
    code, text, _ = cli(*ask, "--out", tmp_path / "a.html")
    assert code == 0 and "over all 4,096 pixels, because none is roof" in text
    code, _, err = cli("inspect", tmp_path / "m.safetensors", photo, "--class", "rof", "--out", tmp_path / "a.html")
    assert code == 2 and "unknown class 'rof'; did you mean 'roof'?" in err


def test_the_network_is_inspected_on_images_with_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "m.safetensors", "enet_tiny", 32)
    random = np.random.default_rng(0)
    for number in range(4):
        for folder, values in (
            ("images", random.integers(0, 256, (32, 32, 3), dtype=np.uint8)),
            ("masks", np.where(random.random((32, 32)) < 0.2, 255, random.integers(0, 3, (32, 32))).astype(np.uint8)),
        ):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "data" / folder / f"{number}.png")
    (tmp_path / "data" / "classes.txt").write_text("\n".join(NAMES))
    monkeypatch.setattr("striate.jobs.inspect_net.SURFACE_POINTS", 3)
    found = inspect_net(tmp_path / "m.safetensors", data=tmp_path / "data", out=tmp_path / "page.html")
    assert found["images"] == 4 and not {"lesions", "paths"} & set(found)
    assert {"filters", "advice", "patches", "gradients", "surface"} <= set(found)
    middle = len(found["surface"]["steps"]) // 2
    loss = found["surface"]["losses"][middle][middle]
    assert 0.8 < loss < 3  # of a pixel, where a network that knows nothing has log 3
    assert '<section id="surface"' in (tmp_path / "page.html").read_text("utf-8")
    with pytest.raises(RequestError, match="lesions: of a classifier alone, and enet_tiny is a segmenter"):
        inspect_net(tmp_path / "m.safetensors", data=tmp_path / "data", parts=["lesions"])
