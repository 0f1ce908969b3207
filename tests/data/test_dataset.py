"""`open_data`: images, targets and the split of a run, for a loop of one's own."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from striate import RequestError, open_data, train
from striate.jobs.run import Run
from striate.pixels import Pixels

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (40, 9, 7, 3), dtype=np.uint8)


def test_a_folder_with_its_own_split(photos: Path) -> None:
    data = open_data(photos)
    assert list(data.parts) == ["train", "val"] and len(data.train) == 40 and len(data.val) == 16
    image, target = data.train[0]
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert isinstance(target, int) and data.classes[target] in data.train.keys[0]
    assert data.train.targets.dtype == np.int64 and data.train.targets.tolist() == [t for _, t in data.train]
    with pytest.raises(RequestError, match="has no part 'test'; it has train, val"):
        _ = data.test


def test_arrays_are_what_a_net_is_given(photos: Path) -> None:
    val = open_data(photos).val
    images, targets = val.arrays(64)
    assert images.shape == (16, 64, 64, 3) and images.dtype == np.uint8 and np.array_equal(targets, val.targets)
    pixels = Pixels(64, 64)
    expected = [pixels.apply(pixels.decode((photos / key).read_bytes()).image) for key in val.keys]
    assert np.array_equal(images, np.stack(expected))
    assert val.arrays((20, 30), channels=1, rule="squash")[0].shape == (16, 20, 30, 1)
    assert val[:3].arrays(8)[0].shape == (3, 8, 8, 3) and len(val[:0].arrays(8)[0]) == 0
    with pytest.raises(RequestError, match="unknown pixel rule"):
        val.arrays(8, rule="crap")


def test_the_split_is_that_of_train(trained: Run, photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for path in sorted((photos / "train").rglob("*.jpg")):
        (flat / path.parent.name).mkdir(parents=True, exist_ok=True)
        (flat / path.parent.name / path.name).write_bytes(path.read_bytes())
    recipe = {"inference.engine": "openvino"}
    run = train(flat, out=tmp_path / "run", strategy="features", seed=3, recipe=recipe)
    with open(run.folder / "split.csv", encoding="utf-8", newline="") as file:
        parts = {row["path"]: row["part"] for row in csv.DictReader(file)}
    data = open_data(flat, seed=3)
    assert {key: name for name, part in data.parts.items() for key in part.keys} == parts
    again = open_data(flat, seed=9, split=run.folder / "split.csv")
    assert again.val.keys == data.val.keys
    assert open_data(flat, held_out=0.5).val.keys != data.val.keys
    with pytest.raises(RequestError, match="held_out is a fraction"):
        open_data(flat, held_out=1)


def test_a_torch_dataloader_reads_it() -> None:
    labels = GENERATOR.integers(0, 2, (40, 3))
    data = open_data((IMAGES, labels))
    loader = torch.utils.data.DataLoader(data.train, batch_size=4)  # type: ignore[arg-type]
    images, targets = next(iter(loader))
    assert images.shape == (4, 9, 7, 3) and images.dtype == torch.uint8
    assert targets.shape == (4, 3) and targets.dtype == torch.float32
    assert len(data.train) + len(data.val) == 40
    numbers = open_data((IMAGES, np.linspace(0, 1, 40))).train
    assert isinstance(numbers[0][1], float) and numbers.targets.dtype == np.float64


def test_an_image_that_is_gone_is_named(photos: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, path in enumerate(sorted(photos.rglob("*.jpg"))[:4]):
            (tmp_path / name / f"{number}.jpg").write_bytes(path.read_bytes() + name.encode())
    (tmp_path / "a" / "bad.jpg").write_bytes(b"")
    data = open_data(tmp_path)
    assert [one.path for one in data.audit.set_aside] == ["a/bad.jpg"]
    (tmp_path / data.train.keys[0]).unlink()
    with pytest.raises(RequestError, match=r"cannot use 'a/0\.jpg'"):
        data.train[0]
    with pytest.raises(RequestError, match=r"cannot use 'a/0\.jpg': unreadable"):
        data.train.arrays(8)
