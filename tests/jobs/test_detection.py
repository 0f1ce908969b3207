"""Detection from a folder with boxes to drawn boxes: trained, resumed, evaluated, predicted, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import Recipe, RequestError, evaluate, export, load, train
from striate.jobs.predict_boxes import predict_boxes
from striate.jobs.run import Run

PLAIN = {"train": {"precision": "float32", "compile": "no"}, "inference": {"engine": "torch"}}
SEEN = {"nothing", "1 red", "1 green", "1 red, 1 green", "2 red", "2 green"}
COLOURS = {"red": (230, 40, 40), "green": (40, 220, 60)}
SMALL = {"anchor": 16.0, "hidden": 128, "regions": 32}  # Faster R-CNN for images of 64 pixels


def picture(generator: np.random.Generator, size: tuple[int, int] = (64, 64)) -> tuple[np.ndarray, list[str]]:  # type: ignore[type-arg]
    """A noise image with up to two rectangles, and their lines in YOLO's form."""
    height, width = size
    image = generator.integers(0, 70, (height, width, 3)).astype(np.uint8)
    lines = []
    for half in (0, width // 2):
        if generator.random() < 0.3:
            continue
        w, h = generator.integers(width // 4, width // 2 - 2), generator.integers(height // 3, height // 2)
        x, y = half + generator.integers(0, width // 2 - w), generator.integers(0, height - h)
        name = int(generator.integers(0, 2))
        image[y : y + h, x : x + w] = list(COLOURS.values())[name]
        lines.append(f"{name} {(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} {w / width:.6f} {h / height:.6f}")
    return image, lines


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of rectangles of two classes, some without any."""
    root, generator = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("red\ngreen\n")
    for number in range(40):
        image, lines = picture(generator)
        Image.fromarray(image).save(root / "images" / f"i{number:02}.png")
        (root / "labels" / f"i{number:02}.txt").write_text("\n".join(lines))
    return root


def recipe(**keys: object) -> Recipe:
    return Recipe().updated(PLAIN).updated({name.replace("__", "."): value for name, value in keys.items()})


@pytest.fixture(scope="module")
def head(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(shapes, out=tmp_path_factory.mktemp("features") / "run", recipe=recipe(train__epochs=14))


def test_a_head_is_trained_on_the_maps_of_a_pretrained_network(head: Run) -> None:
    assert (head.plan.strategy, head.model.net) == ("features", "fcos_lite0")
    assert head.metrics["ap50"] > 0.8 and head.metrics["ap"] > 0.4
    assert head.metrics["coco"]["AP50"] == pytest.approx(head.metrics["ap50"])
    assert set(head.metrics["class_ap"]) == {"red", "green"}
    frozen = load("efficientnet_lite0").model.tensors  # type: ignore[union-attr]
    assert (head.model.tensors["stage8.0.project.conv.weight"] == frozen["stage8.0.project.conv.weight"]).all()
    epochs = [json.loads(line) for line in (head.folder / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in epochs if row["event"] == "epoch"]
    assert losses[-1] < losses[0] / 2 and any("ap" in row for row in epochs if row["event"] == "epoch")
    rows = list(csv.DictReader((head.folder / "evaluated.csv").read_text("utf-8").splitlines()))
    assert len(rows) == head.evaluation.total and {row["target"] for row in rows} <= SEEN
    page = (head.folder / "report.html").read_text("utf-8")
    for words in ("Average precision", "Worst images", "maxDets=100", "objects found"):
        assert words in page


def test_evaluate_gives_what_train_gave(head: Run, shapes: Path, cli) -> None:  # type: ignore[no-untyped-def]
    from striate.data.opening import open_source
    from striate.data.splits import apply_split

    source, _ = apply_split(open_source(shapes), head.folder / "split.csv")
    again = evaluate(head.folder, source, part="val", engine="torch").evaluation
    assert again.details() == head.evaluation.details()
    code, out, _ = cli("evaluate", head.folder, shapes, "--engine", "torch")
    assert code == 0 and " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0." in out


def test_boxes_are_predicted_in_pixels_and_drawn(head: Run, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    image = np.random.default_rng(5).integers(0, 70, (64, 160, 3)).astype(np.uint8)
    image[16:44, 100:150] = COLOURS["green"]
    Image.fromarray(image).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: upright it is the same picture
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "no.png").write_bytes(b"no image")
    files = [tmp_path / "a.png", tmp_path / "turned.png", tmp_path / "no.png"]
    code, out, _ = cli(
        "predict",
        head.folder,
        *files,
        "--json",
        "--engine",
        "torch",
        "--out",
        tmp_path / "drawn",
        "--csv",
        tmp_path / "boxes.csv",
    )
    found = json.loads(out)
    assert code == 1 and found["classes"] == ["red", "green"] and "no.png" in found["failed"][0]["file"]
    for one in found["images"]:
        (best, *_) = one["objects"]
        assert (one["width"], one["height"]) == (160, 64) and best["label"] == "green" and best["score"] > 0.4
        assert best["box"] == pytest.approx([100, 16, 150, 44], abs=12)
        with Image.open(one["picture"]) as drawn:
            assert drawn.size == (160, 64)
    rows = list(csv.DictReader((tmp_path / "boxes.csv").read_text("utf-8").splitlines()))
    assert rows[0]["label"] == "green" and float(rows[0]["x1"]) == pytest.approx(100, abs=12) and rows[-1]["error"]
    code, out, _ = cli("predict", head.folder, tmp_path / "a.png", "--score", "0.99", "--engine", "torch")
    assert code == 0 and out.strip().endswith("a.png: nothing")
    for more, told in ((("--score", "2"), "from 0 to 1, not 2"), (("--overlays",), "--overlays does not go with it"),
                       (("--out", str(tmp_path / "drawn")), "a new or empty folder")):  # fmt: skip
        code, _, err = cli("predict", head.folder, tmp_path / "a.png", *more)
        assert code == 2 and told in err
    (answer,) = load(head.folder, engine="torch").predict(tmp_path / "a.png")
    best = found["images"][0]["objects"][0]
    shares = np.array(best["box"]) / (160, 64, 160, 64)
    assert (
        answer.value[0, 2:] == pytest.approx(shares, abs=1e-3) and answer.answer.facts["objects"][0]["label"] == "green"
    )


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_an_exported_graph_finds_the_objects_in_pixels(head: Run, shapes: Path, tmp_path: Path, to: str) -> None:
    path = tmp_path / ("model.onnx" if to == "onnx" else "model.xml")
    done = export(head.folder, to=to, out=path)
    assert done.agreement >= 0.995 and done.images >= 100
    assert done.outputs == ("boxes [N, 100, 4]", "scores [N, 100]", "labels [N, 100]")
    image = np.asarray(Image.open(shapes / "images" / "i01.png").resize((160, 96)))
    Image.fromarray(image).save(tmp_path / "a.png")
    images = np.stack([image, image[:, ::-1]])
    if to == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        boxes, scores, labels = session.run(["boxes", "scores", "labels"], {"images": images})
        assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["red", "green"]
    else:
        import openvino

        boxes, scores, labels = openvino.Core().compile_model(str(path), "CPU")([images]).values()
    assert boxes.shape == (2, 100, 4) and scores.shape == labels.shape == (2, 100)
    assert (np.diff(scores, axis=1) <= 0).all() and ((labels == -1) == (scores == 0)).all() and (labels == -1).any()
    predicted = predict_boxes(head.folder, [tmp_path / "a.png"], engine="torch").images[0].objects
    found = scores[0] >= 0.4
    assert [("red", "green")[place] for place in labels[0][found]] == [one.label for one in predicted] != []
    assert boxes[0][found] == pytest.approx(np.array([one.box for one in predicted]), abs=2)
    assert scores[0][found] == pytest.approx(np.array([one.score for one in predicted]), abs=0.02)


@pytest.mark.slow
def test_a_net_of_two_stages_is_trained_by_the_same_recipe(shapes: Path, tmp_path: Path) -> None:
    """Faster R-CNN: trained on cached maps, evaluated in the report, predicted by the engine of servers."""
    chosen = recipe(net__name="faster_rcnn_lite0", net__options=SMALL, train__epochs=14)
    done = train(shapes, out=tmp_path / "run", recipe=chosen)
    assert (done.plan.strategy, done.model.net) == ("features", "faster_rcnn_lite0")
    assert done.metrics["ap50"] > 0.6, done.metrics
    assert "Worst images" in (done.folder / "report.html").read_text("utf-8")
    found = predict_boxes(done.folder, [shapes / "images"], score=0.5)
    assert sum(len(one.objects) for one in found.images) > 20


@pytest.mark.slow
def test_the_upper_stages_are_fine_tuned(head: Run, shapes: Path, tmp_path: Path) -> None:
    tuned = train(shapes, out=tmp_path / "run", recipe=recipe(strategy="finetune", train__epochs=1))
    assert tuned.result.facts["unfrozen"] == ["stage8", "stage7"] and tuned.metrics["ap50"] > 0.5
    assert tuned.result.recipe.augment.crop == (0.5, 1.0)


@pytest.mark.parametrize("net", [pytest.param("fcos_lite_tiny", marks=pytest.mark.slow), "faster_rcnn_lite_tiny"])
def test_a_net_is_trained_from_scratch_and_goes_on_after_a_stop(net: str, shapes: Path, tmp_path: Path) -> None:
    from striate.errors import Stopped
    from striate.training.hooks import Hook

    class Stop(Hook):
        at = 1

        def epoch_done(self, loop) -> None:  # type: ignore[no-untyped-def]
            if loop.epoch == self.at:
                raise KeyboardInterrupt

    chosen = recipe(strategy="scratch", net__name=net, train__epochs=2, optimizer__lr=0.002, checkpoint__steps=1)
    whole = train(shapes, out=tmp_path / "whole", recipe=chosen)
    with pytest.raises(Stopped):
        train(shapes, out=tmp_path / "run", recipe=chosen, hooks=[Stop()])
    Stop.at = 0
    done = train(resume=tmp_path / "run", hooks=[Stop()])
    assert all((done.model.tensors[name] == value).all() for name, value in whole.model.tensors.items())
    assert done.metrics["coco"] == whole.metrics["coco"] and (done.folder / "report.html").stat().st_size > 10_000
    assert len(predict_boxes(done.folder, [shapes / "images" / "i01.png"], engine="torch", score=0.0).images) == 1


def test_what_boxes_do_not_have_is_refused_in_one_line(head: Run, shapes: Path, tmp_path: Path) -> None:
    for keys, told in (
        ({"data.folds": 3}, "boxes have no cross-validation"),
        ({"net.name": "enet_19", "strategy": "scratch"}, "enet_19 is a net of the kind segmenter"),
        ({"net.name": "fcos_lite_tiny", "strategy": "features"}, "needs a detector on a pretrained network"),
        ({"loss.label_smoothing": 0.1}, "no label smoothing"),
        ({"augment.elastic": 3.0, "strategy": "finetune"}, "augment.elastic"),
    ):
        with pytest.raises(RequestError, match=told):
            train(shapes, out=tmp_path / "no", recipe=recipe().updated(keys))
    with pytest.raises(RequestError, match="no views to average over"):
        evaluate(head.folder, shapes, views="flip", engine="torch")
    with pytest.raises(RequestError, match="masks and boxes are exported to onnx or openvino, not to tflite"):
        export(head.folder, to="tflite", out=tmp_path / "a.tflite")
    with pytest.raises(RequestError, match="masks and boxes are exported in float32, not int8"):
        export(head.folder, to="onnx", out=tmp_path / "a.onnx", precision="int8")
    with pytest.raises(RequestError, match="it predicts no boxes"):
        predict_boxes("efficientnet_lite0", [shapes / "images"])
