"""Reading lines of digits: the classifier slid over the line, the path through its scores, composing, both verbs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.lines.composing import NONE, Style, compose_lines, training_windows
from striate.lines.decoding import best_path
from striate.lines.preparing import prepare_line
from striate.lines.sliding import LineReader
from striate.model import Model, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Classification

NAMES = (*map(str, range(10)), NONE)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """500 of the digits of scikit-learn, enlarged to MNIST's size."""
    pytest.importorskip("sklearn", reason="the digits are part of scikit-learn")
    source = open_source("digits")
    items = source.items[:500]
    pictures = [source.decode(source.read(item), 0).image.convert("L").resize((28, 28)) for item in items]
    return np.stack([np.asarray(one) for one in pictures]), np.array([item.target for item in items])


@pytest.fixture(scope="module")
def model() -> Model:
    """An untrained LeNet-5 of eleven classes."""
    torch.manual_seed(0)
    net = create("lenet5_plain", classes=11, input_size=(32, 32))
    tensors, aliases = arrays_of(net)
    pixels = Pixels(32, 32, 1, rule="centre", mean=(127.5,), std=(127.5,))
    return Model("lenet5_plain", net.options, Classification(NAMES), pixels, tensors, head="head", aliases=aliases)


def test_the_slid_network_gives_what_it_gives_for_each_window_alone(model: Model, digits: tuple) -> None:
    (line,) = compose_lines(*digits, 1, length=7)
    scores = LineReader(model).read(line.image)[1]
    assert np.diff(scores.columns).tolist() == [2] * (len(scores.columns) - 1)
    windows = np.stack([scores.line.image[:, column - 16 : column + 16] for column in scores.columns])
    net = striate.create("lenet5_plain", classes=11, input_size=(32, 32)).eval()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in model.tensors.items()})
    with torch.no_grad():
        alone = torch.log_softmax(net((torch.from_numpy(windows)[:, None] - 127.5) / 127.5), 1).numpy()
    assert np.allclose(scores.log_probabilities, alone, atol=1e-5)


def test_the_best_path_is_the_cheapest_of_all_and_merges_repeats() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = 2 * rng.standard_normal((5, 3))
        table = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

        def cost(path: tuple[int, ...], table: np.ndarray = table) -> float:
            entered = sum(now not in (2, before) for before, now in zip((2, *path), path, strict=False))
            return 0.7 * entered - sum(table[place, label] for place, label in enumerate(path))

        cheapest = min(np.ndindex(3, 3, 3, 3, 3), key=cost)
        found = best_path(table.astype(np.float32), none=2, entering=0.7)
        assert [label for one in found for label in [one.label] * (one.last - one.first + 1)] == [
            label for label in cheapest if label != 2
        ]
    sure = np.log(np.full((7, 3), 0.01) + 0.97 * np.eye(3)[[2, 0, 0, 2, 0, 1, 2]])
    assert [(one.label, one.first, one.last) for one in best_path(sure.astype(np.float32), none=2)] == [
        (0, 1, 2), (0, 4, 4), (1, 5, 5),
    ]  # fmt: skip


def test_composed_lines_hold_their_digits_where_they_say(digits: tuple) -> None:
    images, labels = digits
    lines = compose_lines(images, labels, 3, seed=4)
    again = compose_lines(images, labels, 3, seed=4)
    assert all(np.array_equal(one.image, other.image) for one, other in zip(lines, again, strict=True))
    assert not np.array_equal(lines[0].image, compose_lines(images, labels, 1, seed=5)[0].image)
    assert all(len(one.labels) == 5 and list(one.middles) == sorted(one.middles) for one in lines)
    bare = Style(gap=(6, 6), slant=0, shift=0, scale=(1, 1), noise=(0, 0))
    (line,) = compose_lines(images, labels, 1, length=3, style=bare)
    inked = np.flatnonzero(line.image.max(axis=0) > 48)
    parts = np.split(inked, np.flatnonzero(np.diff(inked) > 5) + 1)
    assert [(part[0] + part[-1] + 1) / 2 for part in parts] == pytest.approx(line.middles, abs=1)
    windows, found = training_windows(images, labels, 4, none=10)
    assert windows.shape == (48, 32, 32) and (found == 10).sum() == 24
    assert windows[found < 10][:, :, 12:20].max(axis=(1, 2)).min() > 100  # there is ink in the middle


def test_a_line_is_prepared_the_same_on_paper_and_on_black(digits: tuple) -> None:
    (line,) = compose_lines(*digits, 1, length=4, style=Style(noise=(0, 0)))
    on_black = prepare_line(line.image)
    larger = np.asarray(Image.fromarray(255 - line.image // 2).resize((2 * line.image.shape[1], 96)))
    assert prepare_line(255 - line.image).image.tolist() == on_black.image.tolist()
    on_paper = prepare_line(larger)
    assert on_paper.scale == pytest.approx(on_black.scale / 2, rel=0.05)
    assert abs(on_paper.image.shape[1] - on_black.image.shape[1]) <= 3
    middle = line.middles[1]
    assert on_black.original_x(on_black.left + on_black.scale * middle) == pytest.approx(middle)
    for empty in (np.zeros((40, 90), np.uint8), np.pad(np.full((1, 1), 255, np.uint8), 20)):
        with pytest.raises(RequestError, match="has no digits"):
            prepare_line(empty)


def test_composed_trained_and_read_from_the_command_line(digits: tuple, tmp_path: Path, cli) -> None:
    np.savez(tmp_path / "digits.npz", images=digits[0], labels=digits[1])
    folder = tmp_path / "zip"
    code, out, _ = cli(
        "compose",
        tmp_path / "digits.npz",
        "--out",
        folder,
        "--lines",
        30,
        "--length",
        3,
        "--windows-of",
        250,
        "--json",
    )
    assert code == 0 and json.loads(out) == {"out": str(folder), "windows": 3000, "lines": 30}
    run = tmp_path / "run"
    training = [folder / "windows.npz", "--out", run, "--net", "lenet5_plain", "--strategy", "scratch", "--epochs", 5]
    assert cli("train", *training, "--augment", "none")[0] == 0
    code, out, _ = cli("read", run, "--expected", folder / "lines.csv", "--figure", tmp_path / "f.png", "--json")
    told = json.loads(out)
    assert code == 0 and told["lines"] == 30 and told["exact_lines"] >= 8  # chance is 1 in 1,000
    with open(folder / "lines.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [one["expected"] for one in told["readings"]] == [row["text"] for row in rows]
    exact = sum(one["text"] == row["text"] for one, row in zip(told["readings"], rows, strict=True))
    assert exact == told["exact_lines"]
    one = told["readings"][0]
    assert [each["x"] for each in one["characters"]] == sorted(each["x"] for each in one["characters"])
    with Image.open(tmp_path / "f.png") as figure:
        assert figure.width > 300 and figure.height > 12 * 300
    (tmp_path / "blank.png").write_bytes((tmp_path / "f.png").read_bytes()[:40])
    first = folder / rows[0]["path"]
    code, out, _ = cli("read", run, first, tmp_path / "blank.png")
    assert code == 1 and out.startswith(f"{first}: {one['text']}\nnot read: ")


def test_models_and_requests_that_cannot_be_met(model: Model, digits: tuple, tmp_path: Path) -> None:
    def refused(match: str, **changes: object) -> None:
        write(tmp_path / "m.safetensors", Model(**{**vars_of(model), **changes}))  # type: ignore[arg-type]
        with pytest.raises(RequestError, match=match):
            striate.read(tmp_path / "m.safetensors", tmp_path / "line.png")

    def vars_of(one: Model) -> dict[str, object]:
        return {name: getattr(one, name) for name in one.__dataclass_fields__}

    refused("needs the class 'none'", task=Classification((*map(str, range(10)), "x")))
    refused("windows of 32 x 32 pixels; this lenet5_plain takes 36 x 36", pixels=Pixels(36, 36, 1, mean=(0,), std=(1,)))
    refused("a mean image", extras={"mean_image": np.zeros((32, 32, 1), np.float32)})
    write(tmp_path / "m.safetensors", model)
    with pytest.raises(RequestError, match="no pictures were given"):
        striate.read(tmp_path / "m.safetensors")
    (tmp_path / "t.csv").write_text("file,words\na.png,1\n")
    with pytest.raises(RequestError, match="needs the columns path and text"):
        striate.read(tmp_path / "m.safetensors", expected=tmp_path / "t.csv")
    with pytest.raises(RequestError, match="cannot be read"):
        striate.read(tmp_path / "m.safetensors", tmp_path / "line.png")
    with pytest.raises(RequestError, match="exists already"):
        striate.compose(digits, out=tmp_path)
    with pytest.raises(RequestError, match="lines must be from 0 to 100,000, not -1"):
        striate.compose(digits, out=tmp_path / "new", lines=-1)
