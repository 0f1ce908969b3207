"""Data given from Python goes the way that a folder goes: trained on, resumed, evaluated, audited, packed, exported."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import Recipe, RequestError
from striate.data.sources.base import Item, Oddity
from striate.errors import Stopped
from striate.jobs.run import Run
from striate.pixels import Decoded
from striate.progress import Progress, Step
from striate.tasks import Classification

RECIPE = Recipe(strategy="scratch").updated(
    {
        "net.name": "lenet5_plain",
        "train.epochs": 2,
        "train.batch": 16,
        "augment.preset": "none",
        "inference.engine": "torch",
    }
)


def discs(count: int, seed: int = 0, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Noisy grey images [N, side, side], and whether each shows a large disc."""
    generator = np.random.default_rng(seed)
    grid = np.hypot(*np.mgrid[-side / 2 : side / 2, -side / 2 : side / 2])
    targets = np.arange(count) % 2
    radii = np.where(targets == 1, 0.4, 0.15) * side
    images = generator.integers(0, 80, (count, side, side)) + 150 * (grid < radii[:, None, None])
    return images.astype(np.uint8), targets


class Drawn(torch.utils.data.Dataset[Any]):
    """Colour images of several sizes, as torchvision's data sets give them."""

    classes = ("small", "large")

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        images, targets = discs(40, side=12 + index % 3)
        return Image.fromarray(images[index]).convert("RGB"), int(targets[index])


class OwnSource:
    """The same discs, drawn when they are asked for."""

    name, identity = "discs", "discs of a test"
    task = Classification(("small", "large"))
    items = tuple(Item(f"{place}", place % 2) for place in range(40))
    oddities: tuple[Oddity, ...] = ()

    def read(self, item: Item) -> bytes:
        return item.key.encode()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        return Decoded(Image.fromarray(discs(40)[0][int(content)]).convert("RGB"), (16, 16), "drawn", ("grey",))

    def peek(self, item: Item) -> tuple[int, int, int]:
        return 16, 16, 1


class Interrupting(Progress):
    """Sends the process a SIGTERM in the midst of training."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        class Counting:
            done = 0

            def advance(self, amount: int = 1) -> None:
                self.done += amount
                if what.startswith("Training") and self.done == total // 2:
                    signal.raise_signal(signal.SIGTERM)

            def note(self, text: str) -> None:
                pass

        yield Counting()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return striate.train(
        discs(80), out=tmp_path_factory.mktemp("own") / "run", recipe=RECIPE.updated({"train.epochs": 6})
    )


def test_arrays_train_as_files_do(run: Run) -> None:
    assert run.model.classes == ("0", "1") and run.evaluation.total == 16 and run.evaluation.score >= 0.9
    assert {path.name for path in run.folder.iterdir()} >= {"model.safetensors", "report.html", "split.csv"}
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert recipe.data.path is None
    plan = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])
    assert plan["event"] == "plan" and plan["identity"].startswith("memory:")


def test_the_model_is_evaluated_on_arrays(run: Run) -> None:
    images, targets = discs(40, seed=1)
    done = striate.evaluate(run.folder, (images, targets))
    assert done.evaluation.total == 40 and done.evaluation.score >= 0.9
    same = run.predictor.evaluate({"test": (images, targets)}, part="test")
    assert same.evaluation.score == done.evaluation.score and same.evaluation.part == "test"
    with pytest.raises(RequestError, match="none of the classes of 'arrays'"):
        striate.evaluate(run.folder, (images, targets + 5))
    found = run.predictor.predictions(np.stack([run.predictor.crop(image, "one") for image in images]))
    assert np.array_equal(found.argmax(axis=1), done.evaluation.predictions.argmax(axis=1))


@pytest.mark.parametrize(
    "data",
    [
        Drawn(), OwnSource(), {"train": discs(40), "test": discs(20)},
        (discs(40)[0], np.eye(2, dtype=int)[discs(40)[1]]), (discs(40)[0], discs(40)[0].mean(axis=(1, 2))),
    ],
    ids=["dataset", "source", "parts", "multilabel", "regression"],
)  # fmt: skip
def test_every_kind_of_own_data_trains(data: Any, tmp_path: Path) -> None:
    run = striate.train(data, out=tmp_path / "run", recipe=RECIPE)
    assert run.evaluation.total > 0 and np.isfinite(run.evaluation.predictions).all()
    assert Recipe.from_file(run.folder / "recipe.toml").data.path is None
    again = striate.evaluate(run.folder, data)
    assert again.evaluation.total >= run.evaluation.total


def test_parts_of_different_tasks_do_not_fit_together(tmp_path: Path) -> None:
    images, targets = discs(40)
    with pytest.raises(RequestError, match="the targets of the parts do not match"):
        striate.train({"train": (images, targets), "test": (images, np.zeros((40, 2)))}, out=tmp_path / "run")


def test_features_of_arrays(tmp_path: Path) -> None:
    run = striate.train(
        Drawn(), out=tmp_path / "run", recipe=Recipe(strategy="features").updated({"inference.engine": "openvino"})
    )
    assert run.model.strategy == "features" and run.model.classes == ("small", "large")
    with pytest.raises(RequestError, match="not trained on a path; give images"):
        striate.export(run.folder, to="onnx", out=tmp_path / "m.onnx")


def test_a_run_on_own_data_is_resumed_with_the_same_data(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "cut"
    with pytest.raises(Stopped):
        striate.train(discs(80), out=folder, recipe=RECIPE.updated({"train.epochs": 6}), progress=Interrupting())
    with pytest.raises(RequestError, match=r"started on data from Python.*striate.train\(data, resume="):
        striate.train(resume=folder)
    with pytest.raises(RequestError, match="was started on other data"):
        striate.train(discs(80, seed=5), resume=folder)
    done = striate.train(discs(80), resume=folder)
    for name, tensor in done.model.tensors.items():
        assert np.array_equal(tensor, run.model.tensors[name]), name


def test_own_data_is_audited_and_packed(tmp_path: Path) -> None:
    images, targets = discs(30)
    images[7] = images[5]
    found = striate.audit((images, targets), html=tmp_path / "page.html", fix_list=tmp_path / "fix.csv")
    assert "duplicate" in {finding.kind for finding in found.findings}
    assert (tmp_path / "page.html").stat().st_size > 1000
    packed = striate.pack(Drawn(), out=tmp_path / "drawn.pack")
    assert packed.as_dict()["images"] == 40
    run = striate.train(tmp_path / "drawn.pack", out=tmp_path / "run", recipe=RECIPE)
    assert run.model.classes == ("small", "large")
    assert striate.audit(OwnSource()).counts() == {"small": {"all": 20}, "large": {"all": 20}}
