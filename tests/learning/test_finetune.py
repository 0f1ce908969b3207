"""Strategy "finetune", end to end: what is trained, what is frozen, how it resumes, and its comparison with the
head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import Listening, csv_manifest
from PIL import Image
from safetensors.numpy import save
from scenes import scene

from striate import Recipe, load, train
from striate.jobs.run import Run
from striate.learning.gain import Gain
from striate.learning.strategies import finetune
from striate.model import Model, read, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.progress import Progress, Step
from striate.storage import cache_root, sha256_of, write_bytes
from striate.tasks import Classification
from striate.training.loop_state import LoopState
from striate.transfer.unfreezing import recalibrate_batch_norms
from striate.weights.models import published_model
from striate.weights.registry import SOURCES, Source

NET = "efficientnet_lite_tiny"
RECIPE = Recipe().updated(
    {
        "strategy": "finetune",
        "net.name": NET,
        "train.epochs": 3,
        "train.batch": 8,
        "finetune.unfreeze": 3,
        "inference.engine": "torch",
        "optimizer.lr": 0.05,
        "seed": 1,
    }
)


@pytest.fixture(scope="module", autouse=True)
def published(session_cache: Path) -> Iterator[None]:
    """The tiny net with weights in the cache, as if they were published. One thread: it is that small."""
    torch.manual_seed(0)
    net = create(NET, classes=1000)
    seen = np.stack([np.asarray(scene(kind, seed, (64, 64))) for kind in range(2) for seed in range(100, 116)])
    recalibrate_batch_norms(
        net, 0, [(torch.from_numpy(seen).permute(0, 3, 1, 2).float() - 127) / 128]
    )  # or all outputs are equal
    tensors, _ = arrays_of(net)
    pixels = Pixels(64, 64, fraction=0.875, mean=(127.0,) * 3, std=(128.0,) * 3)
    known = Source("tiny", NET, "noise", "none", "none", "none", "0" * 64, "none", 0.1, "none", (), pixels)
    SOURCES[NET] = known
    content = save(tensors)
    write_bytes(cache_root() / "weights" / f"{NET}-{known.fingerprint}-{sha256_of(content)}.safetensors", content)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    del SOURCES[NET]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of made-up photographs: 24 for training, 8 held out."""
    root = tmp_path_factory.mktemp("scenes")
    for part, numbers in (("train", range(12)), ("val", range(12, 16))):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in numbers:
                picture(kind, number).save(root / part / name / f"{number:02d}.png")
    return root


def picture(kind: int, number: int) -> Image.Image:
    """A scene, of kind 1 with less red in it: which even an untrained net can separate."""
    red, green, blue = scene(kind, number).split()
    return Image.merge("RGB", (red.point(lambda level: level * (1 - 0.3 * kind)), green, blue))


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(scenes, out=tmp_path_factory.mktemp("runs") / "first", recipe=RECIPE)


def page(run: Run) -> str:
    return (run.folder / "report.html").read_text()


def test_the_upper_stages_are_trained_and_the_rest_is_the_pretrained_net(run: Run) -> None:
    before, after = published_model(NET).tensors, run.model.tensors
    learnt = {name.partition(".")[0] for name in after if not np.array_equal(before[name], after[name])}
    assert learnt == {"stage7", "stage8", "stage9", "head"}
    assert not any("running" in name and not np.array_equal(before[name], after[name]) for name in after)
    assert run.model.strategy == "finetune"
    assert run.model.training["unfrozen"] == ["stage9", "stage8", "stage7"]


def test_the_curve_starts_with_the_head_alone_and_the_report_names_the_trained_stages(run: Run) -> None:
    events = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [0, 1, 2, 3]
    assert epochs[-1]["held_out_loss"] < epochs[0]["held_out_loss"]
    assert "stage9, stage8, stage7" in page(run)
    assert "then they were trained on too" in page(run)


def test_its_backbone_has_its_own_key_and_both_engines_agree(run: Run, scenes: Path) -> None:
    assert run.model.backbone_key != published_model(NET).backbone_key
    images = sorted((scenes / "val").rglob("*.png"))
    answers = [
        np.stack([one.probabilities for one in load(run.folder, engine=engine).predict(images)])
        for engine in ("torch", "openvino")
    ]
    assert np.abs(answers[0] - answers[1]).max() < 1e-4
    assert (answers[0].argmax(1) == run.evaluation.predictions.argmax(1)).all()


def test_if_fine_tuning_does_not_help_the_pretrained_net_with_the_head_remains(scenes: Path, tmp_path: Path) -> None:
    told = Listening()
    harmed = train(
        scenes,
        out=tmp_path / "harmed",
        recipe=RECIPE.updated({"optimizer.lr": 50.0, "train.clip_norm": None}),
        progress=told,
    )
    head = train(scenes, out=tmp_path / "head", recipe=RECIPE.updated({"strategy": "features"}))
    assert any("it did not help" in line for line in told.lines)
    assert harmed.model.backbone_key == published_model(NET).backbone_key
    assert harmed.model.training["unfrozen"] == []
    np.testing.assert_allclose(harmed.evaluation.predictions, head.evaluation.predictions, atol=1e-5)


class Power(BaseException):
    """An exception that nothing catches."""


class CutOff(Progress):
    """Simulates a power failure after the first epoch under the bar `what`."""

    def __init__(self, what: str) -> None:
        self.what = what

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        with super().bar(what, total) as step:
            yield self if what == self.what else step

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        raise Power


@pytest.mark.parametrize("what", ["Training", "Training again"])
def test_an_interrupted_run_gives_the_same_file(what: str, run: Run, scenes: Path, tmp_path: Path) -> None:
    often = RECIPE.updated({"checkpoint.steps": 1})
    with pytest.raises(Power):
        train(scenes, out=tmp_path / "run", recipe=often, progress=CutOff(what))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(resume=tmp_path / "run")
    resumed = read(tmp_path / "run" / "model.safetensors")
    assert resumed.checksums == run.model.checksums


def test_every_fold_has_its_own_net(scenes: Path, tmp_path: Path) -> None:
    folded = train(scenes / "train", out=tmp_path / "run", recipe=RECIPE.updated({"data.folds": 2, "train.epochs": 1}))
    assert len(folded.result.cross_validation.folds) == 2
    assert folded.evaluation.total == 24


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_other_tasks(kind: str, scenes: Path, tmp_path: Path) -> None:
    rows = []
    for path in sorted(scenes.rglob("*.png")):
        part, name = path.relative_to(scenes).parts[:2]
        brightness = float(np.asarray(picture(int(name == "bars"), int(path.stem))).mean())
        told = "|".join([name] + ["bright"] * (brightness > 120)) if kind == "labels" else round(brightness, 1)
        rows.append((path, told, part))
    columns = ("path", "labels" if kind == "labels" else "number:brightness", "split")
    done = train(csv_manifest(tmp_path / "data.csv", columns, rows), out=tmp_path / "run", recipe=RECIPE)
    assert done.model.task.kind == {"labels": "multilabel", "number": "regression"}[kind]
    assert done.evaluation.total == 8


def test_regression_continues_from_the_fitted_head(scenes: Path, tmp_path: Path) -> None:
    rows = [(path, 1000 + 50 * int(path.stem), path.parts[-3]) for path in sorted(scenes.rglob("*.png"))]
    data = csv_manifest(tmp_path / "data.csv", ("path", "number:steps", "split"), rows)
    done = train(data, out=tmp_path / "run", recipe=RECIPE.updated({"optimizer.lr": 1e-7, "train.epochs": 1}))
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    first, last = (event["error"] for event in events if event["event"] == "epoch")
    assert done.model.task.kind == "regression"
    assert first == pytest.approx(last, rel=1e-3)


@pytest.mark.parametrize("batch_norm", ["recalibrated", "trained"])
def test_batch_norm_options(batch_norm: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = finetune._AtStart.start

    def hopeless(hook: finetune._AtStart, run: LoopState) -> None:
        """Make the head alone look bad: whether an untrained net beats it would be random."""
        honest(hook, run)
        hook.row |= {"held_out_loss": 1e9}

    monkeypatch.setattr(finetune._AtStart, "start", hopeless)
    done = train(scenes, out=tmp_path / "run", recipe=RECIPE.updated({"finetune.batch_norm": batch_norm}))
    before, after = published_model(NET).tensors, done.model.tensors
    moved = {
        name.partition(".")[0] for name in after if "running" in name and not np.array_equal(before[name], after[name])
    }
    assert moved == {f"stage{number}" for number in range(1, 7)}


def test_from_the_command_line(cli, scenes: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli(
        "train", scenes, "--strategy", "finetune", "--net", NET, "--out", tmp_path / "run", "--epochs", 1,
        "--set", "finetune.unfreeze=1", "--set", "inference.engine=torch",
    )  # fmt: skip
    assert code == 0 and "Accuracy" in out
    settled = Recipe.from_file(tmp_path / "run" / "recipe.toml")
    assert (settled.strategy, settled.optimizer.lr, settled.loss.label_smoothing) == ("finetune", 0.01, 0)
    assert settled.augment.merged() == {"crop": (0.5, 1.0), "flip": 0.5}


@pytest.mark.parametrize(("passes", "strategy"), [(10**6, "finetune"), (0, "features")])
@pytest.mark.parametrize("folds", [None, 2])
def test_auto_decides_by_the_heads_error(
    passes: int, strategy: str, folds: int | None, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.learning.gain.PASSES", passes)
    monkeypatch.setattr(Gain, "worth", property(lambda gain: gain.error >= 0))
    told = Listening()
    recipe = RECIPE.updated({"strategy": "auto", "train.epochs": 1, "data.folds": folds})
    done = train(scenes, out=tmp_path / "run", recipe=recipe, progress=told)
    assert done.plan.strategy == done.model.strategy == strategy
    line = next(line for line in told.lines if line.startswith("Cross-validated error of the head"))
    assert "about 1 minute" in line and ("--best" in line) == (strategy == "features")
    assert line[1:-1] in done.plan.why
    assert Recipe.from_file(tmp_path / "run" / "recipe.toml").strategy == strategy


def test_auto_finds_the_same_gain_with_folds_and_without(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Listening()
    for folds in (None, 3):
        recipe = RECIPE.updated({"strategy": "auto", "data.folds": folds})
        train(scenes, out=tmp_path / str(folds), recipe=recipe, progress=told)
    found = [line for line in told.lines if line.startswith("Cross-validated error of the head")]
    assert len(found) == 2 and found[0] == found[1] and "too little to be worth it" in found[0]


def test_overfit_batch_is_not_used_with_a_fitted_head(scenes: Path, tmp_path: Path) -> None:
    told = Listening()
    recipe = RECIPE.updated({"train.epochs": 1, "train.overfit_batch": 4})
    train(scenes, out=tmp_path / "run", recipe=recipe, progress=told)
    assert "Set, but not used by the strategy finetune: train.overfit_batch" in told.lines
    assert not any(line.startswith(("Overfitted", "First loss")) for line in told.lines)


@pytest.mark.slow
def test_a_rate_is_found_for_fine_tuning(scenes: Path, tmp_path: Path) -> None:
    told = Listening()
    recipe = RECIPE.updated({"train.epochs": 1, "optimizer.lr": "auto"})
    run = train(scenes, out=tmp_path / "run", recipe=recipe, progress=told)
    assert any(line.startswith("Learning rate") for line in told.lines)
    written = Recipe.from_file(run.folder / "recipe.toml")
    assert 0 < written.optimizer.lr == run.model.training["optimizer.lr"] < 1


@pytest.mark.parametrize(
    ("net", "options", "strategy"),
    [("resnet8", {"add_auxiliary_heads": ["stage1"]}, "finetune"), ("nasnet_tiny", {}, "features")],
)
def test_auxiliary_heads_of_other_classes_are_left_out(
    net: str, options: dict[str, object], strategy: str, scenes: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    made = create(net, classes=3, options=options)
    tensors, aliases = arrays_of(made)
    assert any(name.startswith("auxiliary1.") for name in tensors)
    side = made.options["input_size"][0]  # type: ignore[index]
    pixels, task = Pixels(side, side, mean=(127.0,) * 3, std=(128.0,) * 3), Classification(("a", "b", "c"))
    file = tmp_path / "before.safetensors"
    write(file, Model(net, dict(made.options), task, pixels, tensors, head="head", aliases=aliases))
    chosen = {"strategy": strategy, "net.name": str(file), "train.epochs": 1, "finetune.unfreeze": 1}
    run = train(scenes, out=tmp_path / "run", recipe=RECIPE.updated(chosen))
    after = run.model
    assert len(after.classes) == 2 and not any(name.startswith("auxiliary") for name in after.tensors)
    assert "add_auxiliary_heads" not in after.options["options"]
    images = sorted((scenes / "val").rglob("*.png"))[:2]
    assert [one.probabilities.shape for one in load(run.folder, engine="torch").predict(images)] == [(2,), (2,)]
