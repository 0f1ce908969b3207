"""Segmentation from a folder with masks to predicted masks: trained, resumed, evaluated, predicted, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import Recipe, RequestError, evaluate, export, load, pack, train
from striate.errors import Stopped, WorkError
from striate.inference.image_predictor import decoded_file
from striate.inference.predictor import Predictor
from striate.jobs.predict_masks import full_mask, largest, predict_masks
from striate.jobs.run import Run
from striate.tasks.values import DENSE

PLAIN = {"train": {"precision": "float32", "compile": "no"}, "inference": {"engine": "torch"}}


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 images of a red disc on noise, 64 x 48, with masks of 0 and 255."""
    root, generator = tmp_path_factory.mktemp("discs"), np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :64]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(28):
        image = generator.integers(0, 80, (48, 64, 3)).astype(np.uint8)
        y, x, radius = generator.integers(12, 36), generator.integers(12, 52), generator.integers(7, 12)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        image[disc] = (230, 60, 60)
        Image.fromarray(image).save(root / "images" / f"i{number:02}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(root / "masks" / f"i{number:02}.png")
    return root


def recipe(**keys: object) -> Recipe:
    return Recipe().updated(PLAIN).updated({name.replace("__", "."): value for name, value in keys.items()})


@pytest.fixture(scope="module")
def scratch(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    chosen = recipe(strategy="scratch", net__name="enet_tiny", train__epochs=14, optimizer__name="adamw",
                    optimizer__lr=0.01, loss__name="weighted-cross-entropy")  # fmt: skip
    return train(discs, out=tmp_path_factory.mktemp("scratch") / "run", recipe=chosen)


@pytest.fixture(scope="module")
def decoder(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(discs, out=tmp_path_factory.mktemp("features") / "run", recipe=recipe(train__epochs=12))


def test_a_net_is_trained_from_scratch(scratch: Run) -> None:
    assert scratch.result.recipe.train.batch == 8
    found = scratch.metrics
    assert found["total"] == scratch.evaluation.total == 6
    assert found["iou"]["foreground"] > 0.6 and found["iou"]["background"] > 0.9
    assert found["pixel_accuracy"] > 0.93 and 0 < found["boundary_f1"] <= 1
    rows = list(csv.DictReader((scratch.folder / "evaluated.csv").read_text("utf-8").splitlines()))
    assert [row["target"] for row in rows] == ["background, foreground"] * 6
    assert all(0 < float(row["score"]) <= 1 for row in rows)
    epochs = [json.loads(line) for line in (scratch.folder / "log.jsonl").read_text().splitlines()]
    assert any("mean_iou" in row and "held_out_loss" in row for row in epochs if row["event"] == "epoch")


def test_a_decoder_is_trained_on_the_maps_of_a_pretrained_network(decoder: Run) -> None:
    assert (decoder.plan.strategy, decoder.model.net) == ("features", "fcn_lite0")
    assert decoder.metrics["iou"]["foreground"] > 0.7
    frozen = load("efficientnet_lite0").model.tensors  # type: ignore[union-attr]
    assert (decoder.model.tensors["stage8.0.project.conv.weight"] == frozen["stage8.0.project.conv.weight"]).all()
    assert (decoder.model.tensors["stage1.norm.running_mean"] == frozen["stage1.norm.running_mean"]).all()


@pytest.mark.slow
def test_the_upper_stages_are_fine_tuned(decoder: Run, discs: Path, tmp_path: Path) -> None:
    chosen = recipe(strategy="finetune", train__epochs=1, augment={"preset": "none"})
    tuned = train(discs, out=tmp_path / "run", recipe=chosen)
    assert tuned.result.facts["unfrozen"] == ["stage8", "stage7"]
    assert tuned.metrics["iou"]["foreground"] > 0.7
    changed = {name.partition(".")[0] for name, value in tuned.model.tensors.items()
               if (value != decoder.model.tensors[name]).any()}  # fmt: skip
    assert changed == {"stage7", "stage8", "head"}


def test_evaluate_gives_what_train_gave(decoder: Run, discs: Path) -> None:
    from striate.data.opening import open_source
    from striate.data.splits import apply_split

    source, _ = apply_split(open_source(discs), decoder.folder / "split.csv")
    again = evaluate(decoder.folder, source, part="val", engine="torch").evaluation
    assert again.details() == decoder.evaluation.details()
    assert (again.predictions == decoder.evaluation.predictions).all()


def test_masks_are_written_at_the_images_own_size(decoder: Run, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    rows, columns = np.mgrid[:150, :210]
    disc = (rows - 60) ** 2 + (columns - 140) ** 2 < 30**2
    image = np.random.default_rng(5).integers(0, 80, (150, 210, 3)).astype(np.uint8)
    image[disc] = (230, 60, 60)
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "more").mkdir()
    Image.fromarray(image[:, ::-1]).save(tmp_path / "more" / "a.png")
    code, out, _ = cli("predict", decoder.folder, tmp_path / "a.png", tmp_path / "more", "--out", tmp_path / "masks",
                       "--overlays")  # fmt: skip
    assert code == 0 and "a.png: background " in out and ", of background, foreground" in out
    for name, true in (("a.png", disc), ("a-2.png", disc[:, ::-1])):
        with Image.open(tmp_path / "masks" / name) as found:
            assert (found.mode, found.size) == ("P", (210, 150))
            predicted = np.asarray(found) == 1
        assert (predicted & true).sum() / (predicted | true).sum() > 0.6
    with Image.open(tmp_path / "masks" / "overlays" / "a.png") as over:
        assert over.size == (210, 150)
    code, out, _ = cli("predict", decoder.folder, tmp_path / "a.png", "--out", tmp_path / "json", "--json")
    assert set(json.loads(out)["masks"][0]["shares"]) == {"background", "foreground"}
    code, _, err = cli("predict", decoder.folder, tmp_path / "a.png", "--out", tmp_path / "masks")
    assert code == 2 and "a new or empty folder" in err


def test_masks_in_batches_are_those_of_one_image_after_another(decoder: Run, discs: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted((discs / "images").iterdir())[: DENSE + 3]:
        with Image.open(path) as image:  # as large as it is decoded at a reduced size
            image.resize((300, 230)).save(tmp_path / "photos" / f"{path.stem}.jpg", quality=95)
    (tmp_path / "photos" / "i05.jpg").write_bytes(b"no image")
    given = sorted((tmp_path / "photos").iterdir())
    found = predict_masks(decoder.folder, given, out=tmp_path / "masks", engine="torch")
    assert [path for path, _ in found.failed] == [str(tmp_path / "photos" / "i05.jpg")]
    assert [one.source for one in found.masks] == [str(path) for path in given if path.stem != "i05"]
    over = predict_masks(decoder.folder, given, out=tmp_path / "over", engine="torch", overlays=True)
    predictor = load(decoder.folder, engine="torch")
    assert isinstance(predictor, Predictor)
    for one, again in zip(found.masks, over.masks, strict=True):
        single = full_mask(predictor, decoded_file(Path(one.source), predictor.view.at_least))
        with Image.open(one.mask) as mask, Image.open(again.mask) as same:
            assert (np.asarray(mask) == single).all() and (np.asarray(same) == single).all()
        assert again.overlay is not None and again.overlay.is_file()


def test_logits_are_enlarged_before_they_are_compared() -> None:
    logits = np.array([[[1.0, 0.0]], [[0.0, 3.0]]], np.float32)
    assert largest(logits, (8, 2)).tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]] * 2  # nearest would give four of each


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_an_exported_graph_gives_each_pixels_probabilities(decoder: Run, discs: Path, tmp_path: Path, to: str) -> None:
    path = tmp_path / ("model.onnx" if to == "onnx" else "model.xml")
    done = export(decoder.folder, to=to, out=path)
    assert done.agreement >= 0.995 and done.images >= 100
    assert done.outputs == ("probabilities [N, 2, 64, 64]",)
    images = np.asarray(Image.open(discs / "images" / "i00.png"))[None]
    if to == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(["probabilities"], {"images": images})
    else:
        import openvino

        (found,) = openvino.Core().compile_model(str(path), "CPU")([images]).values()
    assert found.shape == (1, 2, 64, 64) and np.allclose(found.sum(axis=1), 1, atol=1e-5)
    (predicted,) = load(decoder.folder, engine="torch").predict(discs / "images" / "i00.png")
    assert (found[0].argmax(axis=0) == predicted.value).mean() > 0.99


@pytest.mark.slow
def test_a_net_with_unpooling_is_exported_to_onnx_alone(scratch: Run, tmp_path: Path) -> None:
    assert export(scratch.folder, to="onnx", out=tmp_path / "enet.onnx").agreement >= 0.995
    with pytest.raises(WorkError, match="OpenVINO cannot compute enet_tiny in float32; export it to onnx"):
        export(scratch.folder, to="openvino", out=tmp_path / "enet.xml")
    assert not (tmp_path / "enet.xml").exists()


def test_a_predictor_gives_masks(decoder: Run, discs: Path) -> None:
    (found,) = load(decoder.folder).predict(discs / "images" / "i00.png")
    assert found.value.shape == (64, 64) and set(np.unique(found.value)) == {0, 1}
    assert found.answer.facts["shares"]["foreground"] == pytest.approx((found.value == 1).mean(), abs=1e-6)


def test_the_report_has_masks_over_the_worst_images(scratch: Run) -> None:
    page = (scratch.folder / "report.html").read_text("utf-8")
    for words in ("Mean IoU", "Worst images", "true mask", "predicted, mean IoU", "Boundary F1"):
        assert words in page


def test_a_stopped_training_goes_on(discs: Path, decoder: Run, tmp_path: Path) -> None:
    from striate.training.hooks import Hook

    class Stop(Hook):
        at = 3

        def epoch_done(self, loop) -> None:  # type: ignore[no-untyped-def]
            if loop.epoch == self.at:
                raise KeyboardInterrupt

    chosen = recipe(train__epochs=12, checkpoint__steps=1)
    with pytest.raises(Stopped):
        train(discs, out=tmp_path / "run", recipe=chosen, hooks=[Stop()])
    Stop.at = 0
    done = train(resume=tmp_path / "run", hooks=[Stop()])
    assert all((done.model.tensors[name] == value).all() for name, value in decoder.model.tensors.items())


def test_what_masks_do_not_have_is_refused_in_one_line(decoder: Run, discs: Path, tmp_path: Path) -> None:
    for keys, told in (
        ({"data.folds": 3}, "masks and boxes have no cross-validation"),
        ({"net.name": "resnet20", "strategy": "scratch"}, "resnet20 is a net of the kind classifier"),
        ({"net.name": "enet_19", "strategy": "features"}, "needs a segmenter on a pretrained network"),
        ({"data.balance": "weights"}, "balance 'weights' needs single-label classification"),
        ({"head.kind": "svm"}, "--head svm needs single-label classification"),
        ({"head.learning_curve": True}, "not for masks and boxes"),
    ):
        with pytest.raises(RequestError, match=told):
            train(discs, out=tmp_path / "no", recipe=recipe().updated(keys))
    with pytest.raises(RequestError, match="enet_tiny is a net of the kind segmenter"):
        train("digits", out=tmp_path / "no", net="enet_tiny", strategy="scratch")
    with pytest.raises(RequestError, match="no views to average over"):
        evaluate(decoder.folder, discs, views="flip", engine="torch")
    with pytest.raises(RequestError, match="holds no masks"):
        pack(discs, out=tmp_path / "a.pack")
    with pytest.raises(RequestError, match="exported in float32, not int8"):
        export(decoder.folder, to="onnx", out=tmp_path / "a.onnx", precision="int8")
    with pytest.raises(RequestError, match="it predicts no masks"):
        predict_masks("efficientnet_lite0", [discs / "images"], out=tmp_path / "no")
