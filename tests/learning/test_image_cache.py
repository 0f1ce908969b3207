"""Decoded once: photographs are packed for many epochs and runs, and every engine gets exactly the training pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawings import Listening
from scenes import scene

from striate import Recipe, WorkError, evaluate, load, train
from striate.data.audit.looking import look
from striate.data.pack import writing as packing
from striate.data.pack.source import open_pack
from striate.data.pack.writing import pack_pixels
from striate.data.sources import base as sources
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.inference.predictor import Predictor
from striate.jobs.reporting import pictures
from striate.learning import image_cache, trainer
from striate.learning.image_cache import cache_images
from striate.pixels import Pixels
from striate.progress import Progress
from striate.training.examples import Examples

SCRATCH = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 2,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)
GREY = Pixels(32, 32, 1, mean=(127.5,), std=(127.5,))


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ (2 x 16) and val/ (2 x 6) of small photographs."""
    root = tmp_path_factory.mktemp("jpegs") / "set"
    for part, count in (("train", 16), ("val", 6)):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                seed = number + (500 if part == "val" else 0)
                scene(kind, seed).save(root / part / name / f"{number:02d}.jpg", quality=90)
    return root


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache for this test, and file times trusted at once."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "TICK", -(10**15))
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files of class folders are read and decoded, and how many pictures the report requests."""
    calls: Counter[str] = Counter()
    read, decode = FileSource.read, FileSource.decode

    def counted_read(source: FileSource, item: Any) -> bytes:
        calls["read"] += 1
        return read(source, item)

    def counted_decode(source: FileSource, content: bytes, at_least: int) -> Any:
        calls["decode"] += 1
        return decode(source, content, at_least)

    def counted_look(source: FileSource, pixels: Pixels, **more: Any) -> Iterator[Any]:
        for one in look(source, pixels, **more):
            calls["pictured"] += 1
            yield one

    monkeypatch.setattr(FileSource, "read", counted_read)
    monkeypatch.setattr(FileSource, "decode", counted_decode)
    monkeypatch.setattr(pictures, "look", counted_look)
    return calls


def test_a_second_run_opens_no_jpeg(jpegs: Path, own_cache: Path, tmp_path: Path, counted: Counter[str]) -> None:
    first = train(jpegs, out=tmp_path / "one", recipe=SCRATCH)
    assert counted["decode"] == 44 + counted["pictured"]
    (path,) = (own_cache / "packs").glob("*.pack")
    assert open_pack(path).images.shape == (44, 32, 32, 1)
    made = path.stat().st_ino
    counted.clear()
    second = train(jpegs, out=tmp_path / "two", recipe=SCRATCH)
    assert counted["decode"] == counted["read"] == counted["pictured"] < 44  # only the report's thumbnails
    assert path.stat().st_ino == made
    assert np.array_equal(second.evaluation.predictions, first.evaluation.predictions)


def test_more_epochs_decode_no_more(jpegs: Path, own_cache: Path, tmp_path: Path, counted: Counter[str]) -> None:
    train(jpegs, out=tmp_path / "run", recipe=SCRATCH.updated({"train.epochs": 7, "data.folds": 2}))
    assert counted["decode"] == 44 + counted["pictured"]


def test_a_changed_image_is_packed_again(jpegs: Path, own_cache: Path, tmp_path: Path, counted: Counter[str]) -> None:
    import shutil

    root = tmp_path / "set"
    shutil.copytree(jpegs, root)
    before = cache_images(open_folder(root), GREY, larger=False, progress=Progress())
    scene(0, 999).save(root / "train" / "bars" / "03.jpg")
    counted.clear()
    after = cache_images(open_folder(root), GREY, larger=False, progress=Progress())
    assert counted["decode"] == 1
    differ = [n for n in range(44) if not np.array_equal(before.exact[n], after.exact[n])]
    assert [after.pairs[n][0].key for n in differ] == ["train/bars/03.jpg"]


# A cache that cannot be written


def refusing(*arguments: object, **more: object) -> None:
    raise OSError(28, "No space left on device")


def test_without_a_pack_the_images_are_held_in_memory(
    jpegs: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(jpegs, out=tmp_path / "plain", recipe=SCRATCH)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "other cache"))
    monkeypatch.setattr(packing, "publish", refusing)
    progress = Listening()
    run = train(jpegs, out=tmp_path / "run", recipe=SCRATCH, progress=progress)
    lines = [line for line in progress.lines if "this run holds its images in memory" in line]
    assert len(lines) == 1 and "No space left on device" in lines[0]
    assert np.array_equal(run.evaluation.predictions, plain.evaluation.predictions)


def test_a_cache_that_is_a_file(jpegs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the cache folder should be")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    progress = Listening()
    run = train(jpegs, out=tmp_path / "run", recipe=SCRATCH, progress=progress)
    assert run.evaluation.total == 12
    assert sum("holds its images in memory" in line for line in progress.lines) == 1
    assert sum("repeats that work" in line for line in progress.lines) == 1  # the records


def test_images_that_do_not_fit_into_memory_either_are_an_error(
    jpegs: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "publish", refusing)
    monkeypatch.setattr(image_cache, "LARGEST", 44 * 32 * 32 - 1)
    with pytest.raises(WorkError, match="No space left on device"):
        train(jpegs, out=tmp_path / "run", recipe=SCRATCH)
    assert not (tmp_path / "run").exists()


# The same pixels everywhere


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The images and indices given to the loop."""
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    honest = trainer.fit

    def watched(net: Any, examples: Examples, *rest: Any, **more: Any) -> Any:
        assert examples.among is not None
        given.append((examples.images, examples.among))
        return honest(net, examples, *rest, **more)

    monkeypatch.setattr(trainer, "fit", watched)
    return given


@pytest.mark.parametrize("net", ["lenet5_plain", "resnet20"])
def test_the_training_crop_is_the_prediction_crop_byte_for_byte(
    net: str, jpegs: Path, own_cache: Path, tmp_path: Path, fitted: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    run = train(jpegs, out=tmp_path / "run", recipe=SCRATCH.updated({"net.name": net, "train.epochs": 1}))
    ((images, among),) = fitted
    learnt = images[among].permute(0, 2, 3, 1).numpy()
    keys = [entry.item.key for entry in run.audit.usable if entry.item.part == "train"]
    assert learnt.dtype == np.uint8 and len(learnt) == len(keys) == 32
    predictor = load(run.folder)
    for key, crop in zip(keys, learnt, strict=True):
        assert predictor.crop(jpegs / key, key).tobytes() == crop.tobytes()


def test_augmentation_that_zooms_has_larger_images(
    jpegs: Path, own_cache: Path, tmp_path: Path, fitted: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    run = train(
        jpegs, out=tmp_path / "run", recipe=SCRATCH.updated({"augment": {"preset": "none", "crop": [0.3, 1.0]}})
    )
    ((images, among),) = fitted
    assert tuple(images.shape[1:]) == (1, 37, 37) and len(among) == 32  # 8/7 of 32
    sizes = sorted(open_pack(path).images.shape[1] for path in (own_cache / "packs").glob("*.pack"))
    assert sizes == [32, 37]
    wide = pack_pixels(GREY)
    looked = [one.crop for one in look(open_folder(jpegs), wide)]
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), np.stack([one for one in looked if one is not None]))
    assert run.evaluation.total == 12 and run.model.pixels.height == 32
    again = evaluate(run.folder, jpegs, engine="torch").evaluation
    assert np.allclose(again.predictions, run.evaluation.predictions, atol=1e-5)


def test_augmentation_that_does_not_zoom_has_one_pack(jpegs: Path, own_cache: Path, tmp_path: Path) -> None:
    train(
        jpegs,
        out=tmp_path / "run",
        recipe=SCRATCH.updated({"augment": {"preset": "none", "flip": 0.5, "shift": 2}, "train.epochs": 1}),
    )
    assert len(list((own_cache / "packs").glob("*.pack"))) == 1


def test_cached_images_are_right_whatever_was_excluded(jpegs: Path, own_cache: Path, tmp_path: Path) -> None:
    from striate.data.audit.audit import audit

    (jpegs / "train" / "bars" / "broken.jpg").write_bytes(b"\xff\xd8")
    try:
        source = open_folder(jpegs)
        held = cache_images(source, GREY, larger=True, progress=Progress())
    finally:
        (jpegs / "train" / "bars" / "broken.jpg").unlink()
    found = audit(source, held.pairs)
    assert len(found.usable) == 44 and len(held.pairs) == 45
    cached = held.of(found.usable[10:20])
    assert cached.exact([3, 0]).tobytes() == held.exact[[13, 10]].tobytes()
    assert cached.indices([3, 0]).tolist() == [13, 10]
    assert cached.evaluation_tensor().shape == (44, 1, 32, 32) and cached.training_tensor().shape == (44, 1, 37, 37)


# Normalisation


@pytest.mark.parametrize("normalise", ["mean-image", "mean-pixel", "gcn", "zca"])
def test_engines_and_evaluate_agree_on_any_normalisation(normalise: str, jpegs: Path, tmp_path: Path) -> None:
    recipe = SCRATCH.updated({"input.normalise": normalise, "train.epochs": 4})
    run = train(jpegs, out=tmp_path / "run", recipe=recipe)
    model = load(run.folder).model
    crops = np.stack([run.predictor.crop(path, path.name) for path in sorted((jpegs / "train").rglob("*.jpg"))])
    if normalise == "mean-image":
        assert model.mean_image is not None and model.mean_image.shape == (32, 32, 1)
        assert np.allclose(model.mean_image, crops.mean(0), atol=1e-3)
    else:
        assert model.mean_image is None
    shapes = {name: tensor.shape for name, tensor in model.input_tensors.items() if name != "mean_image"}
    assert shapes == ({"zca.weight": (1024, 1024), "zca.bias": (1024,)} if normalise == "zca" else {})
    assert model.pixels.contrast == (55.0 if normalise in ("gcn", "zca") else 0.0)
    assert model.pixels.mean[0] == pytest.approx(crops.mean(), abs=1e-3)
    scores = [
        one.logits(one.embed(crops))
        for one in (Predictor(model, engine=engine, precision="float32") for engine in ("torch", "openvino"))
    ]
    assert np.abs(scores[0] - scores[1]).max() <= 1e-4 * np.abs(scores[0]).max()
    for engine in ("torch", "openvino"):
        answers = evaluate(run.folder, jpegs, engine=engine).evaluation.predictions
        assert np.abs(answers - run.evaluation.predictions).max() <= 1e-4
