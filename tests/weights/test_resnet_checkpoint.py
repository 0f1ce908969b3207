"""The published CIFAR-10 checkpoints reproduce their published errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from real_data import DATA

from striate import import_weights, load
from striate.errors import RequestError, WorkError
from striate.nets.build import create
from striate.weights.resnet_checkpoint import PIXELS, import_resnet_checkpoint

IMAGES = DATA / "cifar10_lossless_5k.npz"

needs_data = pytest.mark.skipif(not IMAGES.is_file(), reason="no ../shared/data with CIFAR-10 (STRIATE_TEST_DATA)")


def checkpoint(net: str) -> Path:
    (path,) = (DATA / "weights").glob(f"{net}-*.th")
    return path


@needs_data
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("resnet20", 85),
        pytest.param("resnet32", 72, marks=pytest.mark.slow),
        pytest.param("resnet44", 67, marks=pytest.mark.slow),
        pytest.param("resnet56", 74, marks=pytest.mark.slow),
    ],
)
def test_errors_on_a_thousand_lossless_images(name: str, wrong: int) -> None:
    net = create(name).eval()
    arrays = import_resnet_checkpoint(checkpoint(name), name)
    net.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    with np.load(IMAGES) as data:
        images, labels = data["xte"], data["yte"]
    x = torch.from_numpy(((images - np.array(PIXELS.mean)) / np.array(PIXELS.std)).astype(np.float32))
    with torch.inference_mode():
        answers = torch.cat([net(part).argmax(1) for part in x.permute(0, 3, 1, 2).chunk(4)])
    assert int((answers.numpy() != labels).sum()) == wrong


@needs_data
@pytest.mark.parametrize(
    ("name", "file", "right"),
    [("resnet56", "resnet56", 937), pytest.param("plain56", "resnet56_plain", 871, marks=pytest.mark.slow)],
)
def test_networks_with_option_b_and_without_shortcuts_answer_as_published(
    name: str, file: str, right: int, tmp_path: Path
) -> None:
    """Stored on a GPU; 93.66 and 86.75 % of CIFAR-10's test images as published, and nearly that of a thousand."""
    found = import_weights(
        DATA / "weights" / f"{file}_landscape.pt", net=name, source="landscape", out=tmp_path / "model.safetensors"
    )
    assert found.model.options["options"] == ({"shortcut": "B"} if name == "resnet56" else {})
    with np.load(IMAGES) as data:
        images, labels = data["xte"], data["yte"]
    predicted = load(tmp_path / "model.safetensors", engine="torch").predictions(images).argmax(axis=1)
    assert int((predicted == labels).sum()) == right


@needs_data
def test_another_nets_weights_are_refused() -> None:
    with pytest.raises(WorkError, match=r"not the weights of resnet32: stage1\.3\.conv1\.conv\.weight is missing"):
        import_resnet_checkpoint(checkpoint("resnet20"), "resnet32")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.th"
    with pytest.raises(RequestError, match="is not a PyTorch checkpoint: No such file"):
        import_resnet_checkpoint(path, "resnet20")
    path.write_bytes(b"not at all")
    with pytest.raises(RequestError, match="no weights could be read"):
        import_resnet_checkpoint(path, "resnet20")
    path.write_bytes(pickle.dumps(Path("a class that is no tensor"), protocol=2))
    with pytest.raises(RequestError, match="a pickle with more than weights"):
        import_resnet_checkpoint(path, "resnet20")
    torch.save({"best_prec1": 91.7}, path)
    with pytest.raises(RequestError, match="it must be a state_dict"):
        import_resnet_checkpoint(path, "resnet20")
