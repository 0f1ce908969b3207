"""The page about a network itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.errors import RequestError
from striate.jobs.inspect_net import PARTS, inspect_net
from striate.model import Model, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Classification

NAMES = ("dark", "bright")


def saved(net: str, path: Path) -> Path:
    made = create(net, classes=2, input_size=(16, 16))
    tensors, aliases = arrays_of(made)
    model = Model(
        net, made.options, Classification(NAMES), Pixels(16, 16), tensors, head="head", strategy="scratch", training={},
        aliases=aliases,
    )  # fmt: skip
    write(path, model)
    return path


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, list[str]]:  # type: ignore[type-arg]
    random = np.random.default_rng(0)
    pictures = random.integers(0, 128, (12, 16, 16, 3)) + 100 * (np.arange(12) % 2)[:, None, None, None]
    return pictures.astype(np.uint8), [NAMES[number % 2] for number in range(12)]


def test_a_page_with_every_part(images: object, tmp_path: Path) -> None:
    model = saved("resnet8", tmp_path / "m.safetensors")
    found = inspect_net(model, data=images, out=tmp_path / "page.html", png=tmp_path / "png")  # type: ignore[arg-type]
    assert set(PARTS) <= set(found)
    assert found["images"] == 12 and len(found["lesions"]["without"]) == 3
    assert found["paths"]["blocks"] == 3 and len(found["responses"]["deviations"]) == 3
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    text = (tmp_path / "page.html").read_text("utf-8")
    assert all(f'<section id="{part}"' in text for part in (*PARTS, "filters", "design"))
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    assert (tmp_path / "png" / "filters.png").is_file()
    with Image.open(tmp_path / "png" / "surface.png") as picture:
        assert picture.size[0] == picture.size[1]
    assert found == inspect_net(model, data=images)  # type: ignore[arg-type]


def test_without_images_and_without_blocks(images: object, tmp_path: Path) -> None:
    model = saved("plain8", tmp_path / "m.safetensors")
    found = inspect_net(model, out=tmp_path / "page.html")
    assert found["images"] == 0 and set(found).isdisjoint(PARTS)
    assert found["filters"][0]["filters"] == 16
    found = inspect_net(model, data=images)  # type: ignore[arg-type]
    assert "paths" not in found and found["lesions"]["residual"] == 0


def test_patches_of_a_stage_with_fewer_than_four_channels(images: object, tmp_path: Path) -> None:
    made = create("fractalnet5_narrow", classes=2, options={"width": 0.03125})
    tensors, aliases = arrays_of(made)
    model = Model(made.name, made.options, Classification(NAMES), Pixels(32, 32), tensors, head="head", aliases=aliases)
    write(tmp_path / "m.safetensors", model)
    found = inspect_net(tmp_path / "m.safetensors", data=images, parts=["patches"])  # type: ignore[arg-type]
    assert [one["units"] for one in found["patches"]][:2] == [[0, 1], [0, 1, 2, 3]]


def test_the_design_of_a_net_file_without_weights(images: object, tmp_path: Path) -> None:
    path = tmp_path / "mynet.toml"
    path.write_text('name = "mynet"\ninput = [3, 32, 32]\ntable = "conv9-8\\nmaxpool2/2\\nfc-4096\\nfc-classes"\n')
    found = inspect_net(path, out=tmp_path / "page.html")
    assert (found["net"], found["filters"]) == ("mynet", []) and found["advice"]
    text = (tmp_path / "page.html").read_text("utf-8")
    assert '<section id="design"' in text and '<section id="filters"' not in text
    assert all(one["do"].split(";")[0][:20] in text for one in found["advice"])
    with pytest.raises(RequestError, match="has no weights: train it"):
        inspect_net(path, data=images)  # type: ignore[arg-type]


def test_requests_that_cannot_be_met(images: object, tmp_path: Path) -> None:
    model = saved("plain8", tmp_path / "m.safetensors")
    with pytest.raises(RequestError, match="lesions"):
        inspect_net(model, data=images, parts=["lesion"])  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="need images: give --data"):
        inspect_net(model, parts=["lesions"])
    with pytest.raises(RequestError, match="no residual blocks"):
        inspect_net(model, data=images, parts=["paths"])  # type: ignore[arg-type]


def test_the_command_without_images_inspects_the_network(cli, tmp_path: Path) -> None:
    model, out = saved("resnet8", tmp_path / "m.safetensors"), tmp_path / "net.html"
    code, text, _ = cli("inspect", model, "--out", out)
    assert code == 0 and "filters" in text and str(out) in text
    assert "<h1" in out.read_text("utf-8")
    for arguments, words in (
        (("--part", "lesions"), "need images: give --data"),
        (("--data", "digits", "--part", "lesion"), "did you mean 'lesions'"),
    ):
        code, _, err = cli("inspect", model, *arguments)
        assert code == 2 and words in err and len(err.strip().splitlines()) == 1, err
