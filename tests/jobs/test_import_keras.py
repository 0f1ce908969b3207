"""striate import and fetch --from keras: a file as Keras publishes it becomes a model that answers the same."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import blocks
from keras_files import Layers, as_keras, settled, write_named

from striate import RequestError, import_weights, load
from striate.jobs.fetch_weights import fetch_weights
from striate.model import read
from striate.nets.base import Net
from striate.nets.build import create as build
from striate.nets.state import load_arrays
from striate.weights.checkpoints import read_checkpoint
from striate.weights.create import create
from striate.weights.imported import fetched_path
from striate.weights.keys import StoredRow, keras
from striate.weights.peers import converted, key_map_of

NET = "mobilenet_v1_025"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def original(net: str = NET, classes: int = 1000) -> Net:
    torch.manual_seed(1)
    return settled(build(net, classes=classes, options=dict(key_map_of(net, "keras").options)))


def layers_of(net: Net, name: str = NET) -> Layers:
    return as_keras(net, key_map_of(name, "keras").rules)


def answers(net: Net) -> torch.Tensor:
    torch.manual_seed(2)
    with torch.inference_mode():
        return net.eval()(torch.randn(2, 3, 64, 64))


def again(path: Path) -> Net:
    model = read(path)
    made = build(model.net, **model.options)
    load_arrays(made, model.tensors, model.aliases)
    return made


def test_there_and_back(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    net, out = original(classes=7), tmp_path / "model.safetensors"
    path = write_named(tmp_path / "mobilenet.h5", layers_of(net))
    code, _, err = cli("import", path, "--net", NET, "--from", "keras", "--out", out)
    assert code == 0 and "is an HDF5 file, of which only names and arrays were read" in err
    model = read(out)
    assert model.options["options"] == {"activation": "relu6"} and len(model.classes) == 7
    assert model.pixels.mean == model.pixels.std == (127.5,) * 3
    assert model.training["library"] == "Keras Applications"
    assert torch.allclose(answers(again(out)), answers(net), atol=1e-6)


def test_blue_green_red_and_a_flattened_map_of_vgg_are_ours(tmp_path: Path) -> None:
    """A sixteenth as wide as those that are published, which have half a gigabyte."""
    options = {"width": 1 / 16}
    net = build("vgg16", classes=3, options=options).eval()
    key_map = key_map_of("vgg16", "keras")
    layers = layers_of(net, "vgg16")
    (place,) = (place for place, (name, *_) in enumerate(layers) if name == "fc1")
    kernel = layers[place][2][0]  # [channels x height x width, out] here; by place, then channel, in Keras
    layers[place][2][0] = kernel.reshape(-1, 7, 7, kernel.shape[1]).transpose(1, 2, 0, 3).reshape(kernel.shape)
    arrays = read_checkpoint(write_named(tmp_path / "vgg.h5", layers)).arrays
    found, classes = converted(arrays, "vgg16", replace(key_map, options=options))
    made = build("vgg16", classes=classes, options=options).eval()
    made.load_state_dict({key: torch.from_numpy(array) for key, array in found.items()})
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(made(x), net(x.flip(1).contiguous()), atol=1e-5)


def test_an_efficientnets_own_normalisation_becomes_its_preprocessing(tmp_path: Path) -> None:
    net = original("efficientnet_b0", classes=3)
    statistics = [np.float32([0.5, 0.4, 0.3]), np.float32([0.04, 0.09, 0.16]), np.int64(9)]
    layers = [("normalization_3", "Normalization", statistics), *layers_of(net, "efficientnet_b0")]
    path = write_named(tmp_path / "b0.h5", layers)
    done = import_weights(path, net="efficientnet_b0", source="keras", out=tmp_path / "m.safetensors")
    assert done.model.pixels.mean == pytest.approx((127.5, 102, 76.5))
    assert done.model.pixels.std == pytest.approx((51, 76.5, 102))
    assert torch.allclose(answers(again(tmp_path / "m.safetensors")), answers(net), atol=1e-5)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "theirs").mkdir()
    path = write_named(tmp_path / "theirs" / "mobilenet_2_5_128_tf.h5", layers_of(original()))
    digits = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    row = StoredRow(NET, "MobileNet_128", path.name, 128, 146, "bilinear", "half", 51.5, "Apache-2.0", "a/b", digits)
    monkeypatch.setattr(keras, "WEIGHTS", (row,))
    return path


def test_published_weights_are_fetched_checked_and_kept(published: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match="are not here; striate fetch mobilenet_v1_025 --from keras"):
        create(NET, weights="keras")
    code, out, err = cli("fetch", NET, "--from", published.parent)
    assert code == 0 and "licence: Apache-2.0" in err and f"--net {NET} --weights keras" in out
    assert torch.allclose(answers(create(NET, weights="keras")), answers(original()), atol=1e-6)
    model = load(fetched_path(NET, "keras")).model
    assert model.pixels.height == 128 and model.training["published_top1"] == 51.5
    assert model.training["address"] == "https://storage.googleapis.com/a/b/mobilenet_2_5_128_tf.h5"
    assert model.training["licence"] == "Apache-2.0"
    data = blocks(tmp_path / "data", {"low": 6, "high": 6})
    code, _, err = cli("train", data, "--net", NET, "--weights", "keras", "--quick", "--out", tmp_path / "run")
    assert code == 0, err


def test_a_file_with_another_checksum_is_refused(published: Path) -> None:
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content)
    with pytest.raises(RequestError, match=r"its checksum is not md5:[0-9a-f]{32}"):
        fetch_weights(NET, source=published)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    layers = layers_of(original(classes=7))
    kernel = layers[1][2][0].copy()
    kernel[0, 0, 0, 0] = np.nan
    layers[1][2][0] = kernel
    path = write_named(tmp_path / "w.h5", layers)
    with pytest.raises(
        RequestError, match=r"is damaged: 1 of the 216 values of stem\.conv\.weight are NaN or infinite"
    ):
        import_weights(path, net=NET, source="keras", out=tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_file_of_keras_is_recognised_as_such(tmp_path: Path) -> None:
    path = write_named(tmp_path / "w.h5", layers_of(original("mobilenet_v2_050"), "mobilenet_v2_050"))
    torch_file = tmp_path / "w.pth"
    torch.save(original("mobilenet_v2_050").state_dict(), torch_file)
    with pytest.raises(RequestError, match=r"the names are those of --from keras$"):
        import_weights(path, net="mobilenet_v2_050", source="timm", out=tmp_path / "m.safetensors")
    with pytest.raises(RequestError, match="is not an array of a Keras layer"):
        import_weights(torch_file, net="mobilenet_v2_050", source="keras", out=tmp_path / "m.safetensors")
    with pytest.raises(RequestError, match="it has no top"):
        bare = write_named(tmp_path / "notop.h5", layers_of(original())[:-1])
        import_weights(bare, net=NET, source="keras", out=tmp_path / "m.safetensors")
