"""An own task, two numbers an image, made in this one file: trained, predicted, evaluated, reported, exported."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from striate import Recipe, RequestError, compare, evaluate, export, load, train
from striate.data.pack.source import open_pack
from striate.data.pack.writing import write_pack
from striate.data.sources.base import Item, Oddity
from striate.jobs.run import Run
from striate.model import read
from striate.pixels import Decoded, Pixels, decode
from striate.tasks import Answer, Evaluation, Loss, Metric, Standardisation, Target, Targets, Task, Wording, register
from striate.tasks.losses import MSE

# The task


class PointEvaluation(Evaluation):
    """The mean distance of the predicted points from the true ones."""

    def errors(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self.predictions - self.targets, axis=1), np.float64)

    @property
    def score(self) -> float:
        return float(self.errors().mean()) if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        half = 2 * float(self.errors().std()) / math.sqrt(self.total) if self.total else math.inf
        return max(0.0, self.score - half), self.score + half

    def lines(self) -> list[str]:
        return [f"{self.score:.3g} away on average ({self.where()})"]

    def details(self) -> dict[str, Any]:
        return {"mean_distance": self.score, "interval": list(self.interval)}


@register
@dataclass(frozen=True)
class Point(Task):
    """The position (x, y) of something in the image."""

    kind: ClassVar[str] = "point"
    metric: ClassVar[Metric] = Metric("mean distance", "mean_distance", "distance", share=False)
    wording: ClassVar[Wording] = Wording("point", "points", "the point", "move it\u2026", "x, y", names_listed=False)
    losses: ClassVar[tuple[str, ...]] = ("mse",)
    evaluation: ClassVar[type[Evaluation]] = PointEvaluation

    def collate(self, targets: Iterable[Target]) -> Targets:
        return np.array(list(targets), np.float64).reshape(-1, 2)

    def is_target(self, target: Target) -> bool:
        return isinstance(target, tuple) and len(target) == 2 and all(map(math.isfinite, target))

    def text(self, target: Target) -> str:
        return f"{target[0]:g}, {target[1]:g}"

    def loss(
        self,
        name: str = "auto",
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        self.loss_name(name)
        return MSE() if targets is None else MSE(MSE.standardisation(targets).scale)

    def standardisation(self, targets: Targets, loss: str = "auto") -> Standardisation:
        return MSE.standardisation(targets)

    def answer(self, prediction: NDArray[np.float32]) -> Answer:
        point = (float(prediction[0]), float(prediction[1]))
        label = f"{point[0]:.3g}, {point[1]:.3g}"
        return Answer(label, math.nan, prediction[:0], point, f"at {label}", {"point": point})


# Its data


@dataclass(frozen=True)
class Spots:
    """Images with a bright spot; the target is where it is, from 0 to 100 each way."""

    name: str
    identity: str
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...] = ()

    def read(self, item: Item) -> bytes:
        generator, (x, y) = np.random.default_rng(int(item.key)), item.target
        image = generator.integers(0, 60, (32, 32, 3)).astype(np.uint8)
        rows, columns = np.mgrid[:32, :32]
        image[np.hypot(rows - y * 0.31, columns - x * 0.31) < 5] = 240
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        return content.getvalue()

    def decode(self, content: bytes, at_least: int) -> Decoded:
        return decode(content, at_least=at_least)

    def peek(self, item: Item) -> tuple[int, int, int]:
        return 32, 32, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    points = np.random.default_rng(0).uniform(10, 90, (140, 2)).round(1).tolist()
    items = tuple(Item(str(n), (x, y), "train" if n < 100 else "val") for n, (x, y) in enumerate(points))
    path = tmp_path_factory.mktemp("spots") / "spots.pack"
    write_pack(path, Spots("spots", "spots", Point(("x", "y")), items), Pixels(32, 32))
    return path


RECIPES = {
    "scratch": Recipe().updated(
        {
            "strategy": "scratch",
            "net.name": "lenet5_plain",
            "train.epochs": 25,
            "train.batch": 20,
            "augment": {"preset": "none"},
            "inference.engine": "torch",
            "train.overfit_batch": 4,
        }
    ),
    "features": Recipe().updated({"strategy": "features", "inference.engine": "openvino"}),
}


@pytest.fixture(scope="module", params=list(RECIPES))
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(data, out=tmp_path_factory.mktemp(request.param) / "run", recipe=RECIPES[request.param])


def test_the_pack_holds_its_targets(data: Path) -> None:
    source = open_pack(data)
    assert source.task == Point(("x", "y"))
    assert all(isinstance(item.target, tuple) and len(item.target) == 2 for item in source.items)


def test_it_is_trained_and_measured_in_its_own_units(run: Run) -> None:
    chance = float(np.linalg.norm(run.evaluation.targets - run.evaluation.targets.mean(axis=0), axis=1).mean())
    assert run.evaluation.total == 40
    assert run.evaluation.score < 0.6 * chance
    assert run.metrics["mean_distance"] == run.evaluation.score
    assert "away on average (40 val images)" in run.evaluation.lines()[0]
    told = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert all("distance" in row for row in told if row["event"] == "epoch")


def test_its_model_predicts_and_evaluates(run: Run, data: Path, tmp_path: Path) -> None:
    model = load(run.folder)
    assert model.model.task == read(run.folder / "model.safetensors").task == Point(("x", "y"))
    again = evaluate(run.folder, data).evaluation
    np.testing.assert_allclose(again.predictions, run.evaluation.predictions, atol=0.05)
    source = open_pack(data)
    content = source.decode(source.read(source.items[100]), 0).image
    (found,) = model.predict([content])
    assert found.label == f"{found.value[0]:.3g}, {found.value[1]:.3g}" and math.isnan(found.confidence)
    np.testing.assert_allclose(found.value, run.evaluation.predictions[0], atol=0.5)


def test_the_command_line_speaks_of_it(run: Run, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    Image.new("RGB", (32, 32)).save(tmp_path / "dark.png")
    code, out, _ = cli("predict", run.folder, tmp_path / "dark.png")
    assert code == 0 and "dark.png: at " in out
    code, out, _ = cli("predict", run.folder, tmp_path / "dark.png", "--json")
    assert len(json.loads(out)["predictions"][0]["point"]) == 2


def test_it_is_reported_and_compared(run: Run, tmp_path: Path) -> None:
    page = (run.folder / "report.html").read_text("utf-8")
    assert "Mean distance" in page and "Worst errors" in page and "spots" in page
    side_by_side = compare([run.folder, run.folder], out=tmp_path / "comparison.html")
    assert side_by_side.runs[0].score_name == "mean distance"
    assert side_by_side.runs[0].score == pytest.approx(run.evaluation.score)


@pytest.mark.parametrize("run", ["scratch", pytest.param("features", marks=pytest.mark.slow)], indirect=True)
def test_it_is_exported(run: Run, data: Path, tmp_path: Path) -> None:
    done = export(run.folder, to="onnx", out=tmp_path / "model.onnx", images=data)
    assert done.outputs == ("numbers [N, 2]",)
    assert done.agreement == 1


def test_a_model_of_a_kind_that_is_not_registered_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.tasks import registry

    monkeypatch.delitem(registry._KINDS, "point")
    with pytest.raises(RequestError, match="the task kind 'point' is not registered"):
        read(run.folder / "model.safetensors")
