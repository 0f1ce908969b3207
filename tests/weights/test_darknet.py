"""Darknet's files: written here as its code writes them, and imported; answers are those of its own arithmetic."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from real_data import DATA
from safetensors.numpy import load_file
from torch import Tensor

from striate import RequestError, evaluate, import_weights, load
from striate.model import read
from striate.nets.build import create
from striate.nets.state import load_arrays
from striate.weights.classes import class_order, imagenet_classes, imagenet_names
from striate.weights.darknet import read_darknet

FILTERS = (16, 32, 16, 128, 16, 128, 32, 256, 32, 256, 64, 512, 64, 512, 128)
KERNELS = (3, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)
POOLED = (0, 1, 5, 9)  # convolutions that a pooling follows
NUMBERS = 1_046_488
Layer = list[npt.NDArray[np.float32]]


def layers(classes: int, seed: int = 0) -> list[Layer]:
    """Random numbers of each convolution, in the order of the file."""
    rng = np.random.default_rng(seed)
    found, below = [], 3
    for filters, kernel in zip(FILTERS, KERNELS, strict=True):
        weights = rng.normal(0, np.sqrt(2 / (below * kernel**2)), (filters, below, kernel, kernel))
        norm = [rng.normal(0, 0.1, filters), rng.uniform(0.5, 1.5, filters), rng.normal(0, 0.1, filters)]
        found.append([*norm, rng.uniform(0.5, 1.5, filters), weights])
        below = filters
    found.append([rng.normal(0, 0.1, classes), rng.normal(0, 0.1, (classes, below, 1, 1))])
    return [[one.astype(np.float32) for one in layer] for layer in found]


def written(path: Path, found: list[Layer], *, minor: int = 1) -> Path:
    """The file as Darknet writes it: since version 0.2 the images seen are of 64 bits."""
    seen = np.array([1234], "<i8" if minor >= 2 else "<i4").tobytes()
    numbers = b"".join(one.astype("<f4").tobytes() for layer in found for one in layer)
    path.write_bytes(np.array([0, minor, 0], "<i4").tobytes() + seen + numbers)
    return path


def darknet(found: list[Layer], x: Tensor) -> Tensor:
    """What Darknet computes: the epsilon is added to the standard deviation."""
    for place, layer in enumerate(found):
        weights = torch.from_numpy(layer[-1])
        x = F.conv2d(x, weights, padding=weights.shape[-1] // 2)
        if len(layer) == 2:
            return (x + torch.from_numpy(layer[0])[:, None, None]).mean((2, 3))
        bias, scale, mean, variance = (torch.from_numpy(one)[:, None, None] for one in layer[:-1])
        x = (x - mean) / (variance.sqrt() + 1e-6) * scale + bias
        x = torch.where(x > 0, x, 0.1 * x)
        x = F.max_pool2d(x, 2) if place in POOLED else x
    raise AssertionError


@pytest.mark.parametrize("minor", [1, 2])
def test_an_imported_file_answers_as_darknet_does(minor: int, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    found = layers(7)
    for layer in found[:-1]:
        layer[3][:2] = 1e-4, 3e-4  # small variances, to which an epsilon matters
    path, out = written(tmp_path / "t.weights", found, minor=minor), tmp_path / "model.safetensors"
    (tmp_path / "names.txt").write_text("\n".join("abcdefg"))
    asked = ("--net", "tiny_darknet", "--from", "darknet", "--out", out, "--classes", tmp_path / "names.txt")
    code, _, err = cli("import", path, *asked)
    assert code == 0, err
    model = read(out)
    assert model.classes == tuple("abcdefg")
    assert (model.pixels.mean, model.pixels.std, model.pixels.fraction) == ((0.0,) * 3, (255.0,) * 3, 1.0)
    net = create("tiny_darknet", **model.options).eval()
    load_arrays(net, model.tensors, model.aliases)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = net(x), darknet(found, x)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


def test_a_thousand_outputs_are_brought_into_imagenets_order(tmp_path: Path) -> None:
    found = layers(1000)
    done = import_weights(
        written(tmp_path / "t.weights", found), net="tiny_darknet", source="darknet", out=tmp_path / "m.safetensors"
    )
    assert done.model.classes == imagenet_names()
    bias, weights = found[-1]
    # n02119789, the first of Darknet's classes, is the kit fox, which is 278th in ImageNet's order.
    assert imagenet_classes()[278].wnid == "n02119789" and class_order("darknet")[278] == 0
    assert done.model.tensors["conv19.bias"][278] == bias[0]
    assert np.array_equal(done.model.tensors["conv19.weight"][278], weights[0])
    assert sorted(class_order("darknet")) == list(range(1000))


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (
            NUMBERS - 5,
            "it ends within conv19.weight, of whose 128,000 numbers it has 127,995: the network has 1,046,488 numbers, "
            "and the file 1,046,483",
        ),
        (NUMBERS + 12, "12 numbers are left after the last layer, conv19.weight: the network has 1,046,488 numbers"),
        # Exactly as long as with 999 classes: their number is not guessed.
        (NUMBERS - 129, "it ends within conv19.weight"),
        (100, "it ends within stage1.conv0.conv.weight, of whose 432 numbers it has 36"),
        (0, "it ends within stage1.conv0.norm.bias, of whose 16 numbers it has 0"),
    ],
)
def test_a_file_of_another_length_is_refused_with_the_layer_and_counts(
    length: int, said: str, tmp_path: Path, cli
) -> None:  # type: ignore[no-untyped-def]
    path, out = written(tmp_path / "t.weights", layers(1000)), tmp_path / "m.safetensors"
    content = path.read_bytes() + bytes(4 * 12)
    path.write_bytes(content[: 16 + 4 * length])
    code, _, err = cli("import", path, "--net", "tiny_darknet", "--from", "darknet", "--out", out)
    assert code == 2 and said in err.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes, and Darknet's header alone 16"),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00 a pickle", "so it is not a file of Darknet's"),
        (np.array([0, 1, 0, 0], "<i4").tobytes() + b"abc", "after its header of 16 bytes come 3, not a multiple"),
        (np.array([0, 2, 0, 0], "<i4").tobytes(), "it has 16 bytes, and Darknet's header alone 20"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_darknet(io.BufferedReader(io.BytesIO(content)))  # type: ignore[arg-type]


def test_a_file_and_a_library_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(RequestError, match=r"not weights of Darknet's, which have the ending \.weights"):
        import_weights(tmp_path / "net.pth", net="tiny_darknet", source="darknet", out=out)
    path = written(tmp_path / "t.weights", layers(1000))
    with pytest.raises(RequestError, match=r"not weights of a library that names them; the names .* --from darknet$"):
        import_weights(path, net="tiny_darknet", source="pytorchcv", out=out)


WEIGHTS = DATA / "weights" / "tiny_darknet" / "tiny_darknet.safetensors"


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no ../shared/data/weights/tiny_darknet here (STRIATE_TEST_DATA)")
def test_the_published_weights_name_two_photographs_of_three(tmp_path: Path) -> None:
    """135 of 200, where Darknet's own resizing, which does not smooth, has 139."""
    theirs = load_file(WEIGHTS)
    kept = ("beta", "gamma", "moving_mean", "moving_variance")
    found = [
        [*(theirs[f"batch_normalization_{number}.{one}"] for one in kept), theirs[f"conv2d_{number}.kernel"]]
        for number in range(1, 16)
    ]
    found.append([theirs["conv2d_16.bias"], theirs["conv2d_16.kernel"]])
    path, out = written(tmp_path / "tiny.weights", found), tmp_path / "tiny.safetensors"
    assert path.stat().st_size == 16 + 4 * NUMBERS
    import_weights(path, net="tiny_darknet", source="darknet", out=out)
    names = imagenet_names()
    photos = sorted((DATA / "imagenet_samples").glob("*.jpg"))
    with open(tmp_path / "photos.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((photo, names[int(photo.name[:4])]) for photo in photos)
    measured = evaluate(out, tmp_path / "photos.csv", engine="torch").evaluation
    assert measured.total == 200
    assert (measured.predictions.argmax(axis=1) == measured.targets).sum() == 135
    assert load(out).model.training["library"] == "Darknet"
