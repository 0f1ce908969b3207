"""Captioning from a table of captions to the page of grades: trained, resumed, evaluated, predicted, refused."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from striate import Recipe, RequestError, ensemble, evaluate, export, load, train
from striate.data.opening import open_source
from striate.errors import Stopped
from striate.jobs.grade import tally_grades
from striate.jobs.run import Run

COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}
SHAPES = ("disc", "bar")
OPTIONS = {"units": 64, "embedding": 64, "limit": 7, "dropout": 0.0}
KEYS = {"train.epochs": 30, "optimizer.lr": 0.01, "train.batch": 8, "net.options": OPTIONS, "checkpoint.steps": 5}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of a red or blue disc or bar, with two or three captions each, in images/ beside captions.txt."""
    root, generator = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    (root / "images").mkdir()
    lines = ["image,caption"]
    for number in range(24):
        colour, shape = list(COLOURS)[number % 2], SHAPES[number // 2 % 2]
        y, x = generator.integers(34, 62, 2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < 900 if shape == "disc" else abs(rows - y) < 9
        image = np.repeat(generator.integers(110, 150, (6, 6)), 3).reshape(6, 6, 3).repeat(16, 0).repeat(16, 1)
        image[inside] = COLOURS[colour]
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{number:02}.png")
        said = [f"A {colour} {shape} on grey .", f"There is a {colour} {shape} ."]
        said += ["One strange zeppelin"] if number == 7 else []
        lines += [f"{number:02}.png,{one}" for one in said]
    (root / "captions.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def recipe(**keys: object) -> Recipe:
    return Recipe().updated({**KEYS, **{name.replace("__", "."): value for name, value in keys.items()}})


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(shapes, out=tmp_path_factory.mktemp("captions") / "run", recipe=recipe())


def test_a_captioner_is_trained_and_says_what_is_there(run: Run) -> None:
    assert (run.plan.strategy, run.model.net) == ("features", "nic_lite0")
    found = run.metrics
    assert found["bleu4"] > 0.6 and found["cider_d"] > 1 and found["references"] == [2, 2]
    assert 3 <= found["distinct"] <= 8 and 0 < found["nearest_neighbour"]["bleu4"] <= 1
    assert "zeppelin" not in run.model.classes and set(COLOURS) < set(run.model.classes)  # said once only
    backbone = load("efficientnet_lite0").model.tensors  # type: ignore[union-attr]
    assert (run.model.tensors["stage9.conv.weight"] == backbone["stage9.conv.weight"]).all()
    epochs = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    curve = [row["word_accuracy"] for row in epochs if row["event"] == "epoch"]
    assert len(curve) == 30 and curve[-1] > curve[0]
    page = (run.folder / "report.html").read_text("utf-8")
    for words in ("BLEU-4", "Captions in figures", "nearest neighbours", "from worst to best", "2 references"):
        assert words in page
    assert "Set, but not used" not in page


def test_the_image_network_is_fine_tuned_after_the_decoder(run: Run, shapes: Path, tmp_path: Path) -> None:
    chosen = recipe(strategy="finetune", train__epochs=2, optimizer__lr=1e-3)
    tuned = train(shapes, out=tmp_path / "tuned", recipe=chosen)
    assert (tuned.plan.strategy, tuned.result.facts["unfrozen"]) == ("finetune", ["stage9", "stage8"])
    backbone, found = load("efficientnet_lite0").model.tensors, tuned.model.tensors  # type: ignore[union-attr]
    shared = [name for name in found if name in backbone and name.startswith("stage")]
    moved = {name.partition(".")[0] for name in shared if (found[name] != backbone[name]).any()}
    assert moved == {"stage8", "stage9"}
    again = load(tuned.folder).predict([shapes / "images" / "00.png"])  # the model file has what was trained
    assert again[0].label and tuned.metrics["bleu1"] > 0.4
    losses = [
        json.loads(line)["loss"] for line in (tuned.folder / "log.jsonl").read_text().splitlines() if '"loss"' in line
    ]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_images_of_one_picture_stay_on_one_side(run: Run) -> None:
    table = (run.folder / "split.csv").read_text("utf-8").splitlines()
    assert len(table) == 1 + 24  # a row for each image, not for each caption


def test_evaluate_gives_what_train_gave(run: Run, shapes: Path) -> None:
    from striate.data.splits import apply_split

    source, _ = apply_split(open_source(shapes), run.folder / "split.csv")
    again = evaluate(run.folder, source, part="val").evaluation
    assert (again.predictions == run.evaluation.predictions).all() and again.score == run.evaluation.score
    assert "nearest_neighbour" not in again.details()  # there are no training images to take captions from


def test_captions_from_the_command_line(run: Run, shapes: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("predict", run.folder, shapes / "images" / "00.png", shapes / "images" / "03.png")
    first, second = out.splitlines()
    assert code == 0 and "red disc" in first and "blue bar" in second
    code, out, _ = cli("predict", run.folder, shapes / "images" / "00.png", "--beam", 1, "--json")
    greedy = json.loads(out)["predictions"][0]
    assert code == 0 and greedy["caption"] == greedy["label"] and "red disc" in greedy["label"]
    code, out, _ = cli("evaluate", run.folder, shapes)
    assert code == 0 and "2 to 3 references each; tokeniser: lower case" in out
    code, _, err = cli("predict", run.folder, shapes / "images" / "00.png", "--beam", 0)
    assert code == 2 and "--beam must be 1 to 100, not 0" in err
    code, _, err = cli("predict", "efficientnet_lite0", shapes / "images" / "00.png", "--beam", 2)
    assert code == 2 and "gives no captions" in err


def test_a_person_grades_captions_on_a_page(run: Run, shapes: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "grade.html"
    code, out, _ = cli("grade", run.folder, shapes / "images" / "00.png", shapes / "images" / "01.png", "--out", page)
    text = page.read_text("utf-8")
    assert code == 0 and "2 captions to grade" in out and text.count("<figure data-image") == 2
    assert all(f'data-grade="{name}"' in text for name in ("no errors", "minor errors", "somewhat related"))
    assert "http" not in text.replace("http-equiv", "") and "default-src 'none'" in text
    table = tmp_path / "grades.csv"
    table.write_text('image,caption,grade\r\na.png,a disc,no errors\r\nb.png,"a, b",minor errors\r\nc.png,x,\r\n')
    found = tally_grades([table, table])
    assert found.counts == (2, 2, 0) and found.ungraded == 2
    code, out, _ = cli("grade", "--tally", table)
    assert code == 0 and "no errors             1 (50%;" in out and "2 captions are graded, 1 are not" in out
    table.write_text("image,caption,grade\na.png,x,perfect\n")
    code, _, err = cli("grade", "--tally", table)
    assert code == 2 and "perfect" in err and "no errors" in err
    code, _, err = cli("grade", run.folder)
    assert code == 2 and "--out" in err


def test_captions_are_served(run: Run, shapes: Path) -> None:
    pytest.importorskip("fastapi")
    from striate.jobs.serve import in_background

    image = (shapes / "images" / "00.png").read_bytes()
    with in_background([f"shapes={run.folder}"]) as url:
        with urlopen(Request(f"{url}/predict", image, {"Content-Type": "image/png"})) as answer:
            told = json.loads(answer.read())
        with urlopen(f"{url}/v2/models/shapes") as answer:
            outputs = json.loads(answer.read())["outputs"]
    assert "red disc" in told["caption"] and told["label"] == told["caption"]
    assert [one["name"] for one in outputs] == ["label"]


@pytest.mark.slow
def test_a_stopped_training_goes_on(run: Run, shapes: Path, tmp_path: Path) -> None:
    from striate.training.hooks import Hook

    class Stop(Hook):
        at = 5

        def epoch_done(self, loop) -> None:  # type: ignore[no-untyped-def]
            if loop.epoch == self.at:
                raise KeyboardInterrupt

    with pytest.raises(Stopped):
        train(shapes, out=tmp_path / "run", recipe=recipe(), hooks=[Stop()])
    Stop.at = -1
    done = train(resume=tmp_path / "run", hooks=[Stop()])
    assert all((done.model.tensors[name] == value).all() for name, value in run.model.tensors.items())


@pytest.mark.parametrize("word", ["left", pytest.param("grey", marks=pytest.mark.slow)])
def test_an_image_is_not_mirrored_for_a_caption_that_tells_a_side(shapes: Path, tmp_path: Path, word: str) -> None:
    rows = [f"{shapes / 'images' / f'{number:02}.png'},a disc on the {word},{'train' if number < 6 else 'val'}"
            for number in range(8)]  # fmt: skip
    (tmp_path / "captions.csv").write_text("\n".join(["file,caption,split", *rows]) + "\n", "utf-8")
    plain, mirrored = (
        train(tmp_path / "captions.csv", out=tmp_path / f"{flip}", recipe=recipe(train__epochs=1, augment__flip=flip))
        for flip in (0.0, 1.0)
    )
    same = all((mirrored.model.tensors[name] == value).all() for name, value in plain.model.tensors.items())
    assert same is (word == "left")


@pytest.mark.slow
def test_attention_learns_too(shapes: Path, tmp_path: Path) -> None:
    chosen = recipe(net__name="show_attend_tell_lite0", augment__flip=0.5)
    done = train(shapes, out=tmp_path / "run", recipe=chosen)
    assert done.metrics["bleu4"] > 0.6


def test_karpathys_and_cocos_files_are_read(shapes: Path, tmp_path: Path) -> None:
    for name in ("00", "01", "02", "03"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.png").write_bytes((shapes / "images" / f"{name}.png").read_bytes())
    splits = {"00": "train", "01": "restval", "02": "val", "03": "test"}
    karpathy = {"dataset": "x", "images": [
        {"filename": f"{name}.png", "split": part, "sentences": [{"raw": "A dog."}, {"tokens": ["a", "cat"]}]}
        for name, part in splits.items()]}  # fmt: skip
    coco = {"images": [{"id": 5, "file_name": "00.png"}, {"id": 6, "file_name": "01.png"}],
            "annotations": [{"image_id": 5, "caption": one} for one in ("A dog.", "A dog.", "a cat")]}  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(karpathy))
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    source = open_source(tmp_path / "dataset.json")
    assert [(item.key, item.part) for item in source.items] == [
        ("images/00.png", "train"), ("images/01.png", "train"), ("images/02.png", "val"), ("images/03.png", "test")
    ]  # fmt: skip
    assert {item.target for item in source.items} == {("A dog.", "a cat")}
    (only,) = open_source(tmp_path / "coco.json").items
    assert only.target == ("A dog.", "a cat")


def test_rows_that_cannot_be_captions_are_set_aside(shapes: Path, tmp_path: Path) -> None:
    for name in ("00", "01", "02"):
        (tmp_path / f"{name}.png").write_bytes((shapes / "images" / f"{name}.png").read_bytes())
    rows = ["file,caption,split", "00.png,A dog .,train", "00.png,a second,val", "01.png,...,train",
            "01.png,good one,train", "02.png,same,val", "02.png,same,val", "gone.png,x,val"]  # fmt: skip
    (tmp_path / "table.csv").write_text("\n".join(rows))
    source = open_source(tmp_path / "table.csv")
    assert [(item.key, item.target, item.part) for item in source.items] == [
        ("01.png", ("good one",), "train"), ("02.png", ("same",), "val")
    ]  # fmt: skip
    told = {oddity.path: oddity.why for oddity in source.oddities}
    assert "contradict each other in split" in told["00.png"] and "has no words" in told["01.png"]
    assert "gone.png" in told
    assert source.notes == ("1 captions repeat another one of their image, and are ignored",)  # type: ignore[attr-defined]
    (tmp_path / "classes.csv").write_text("file,label,caption\n00.png,dog,remark\n")
    assert open_source(tmp_path / "classes.csv").task.kind == "classification"


def test_what_captions_do_not_have_is_refused_in_one_line(run: Run, shapes: Path, tmp_path: Path) -> None:
    for keys, told in (
        ({"data.folds": 3}, "captions have no cross-validation"),
        ({"strategy": "scratch"}, "maps of a pretrained network"),
        ({"strategy": "finetune", "finetune.unfreeze": 9}, "finetune.unfreeze is 1 to 8 for nic_lite0, not 9"),
        ({"augment.rotate": 5.0}, "the only augmentation is --set augment.flip"),
        ({"optimizer.lr": "auto"}, "the learning rate of captions is not searched for"),
        ({"head.learning_curve": True}, "captions have a decoder instead"),
    ):
        with pytest.raises(RequestError, match=told):
            train(shapes, out=tmp_path / "no", recipe=recipe().updated(keys))
    with pytest.raises(RequestError, match="resnet20 is a net of the kind classifier"):
        train(shapes, out=tmp_path / "no", net="resnet20")
    with pytest.raises(RequestError, match="captions are not exported"):
        export(run.folder, to="onnx", out=tmp_path / "a.onnx")
    with pytest.raises(RequestError, match="captions, which have no average"):
        ensemble([run.folder, run.folder], out=tmp_path / "both.safetensors")
    with pytest.raises(RequestError, match="no views to average over"):
        evaluate(run.folder, shapes, views="flip")
    with pytest.raises(RequestError, match="which the engine 'torch' runs"):
        evaluate(run.folder, shapes, engine="openvino")
