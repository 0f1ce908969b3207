"""The predictor: engines agree, damaged caches are rebuilt, and every input type gives the same prediction."""

from __future__ import annotations

import dataclasses
import io
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import RequestError, WorkError
from striate.inference import choosing as engines
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.engine import BATCH, in_batches
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Classification

FAMILIES = ["lenet5", "lenet5_lecture", "lenet5_plain", "resnet8", "plain8", "efficientnet_lite_tiny"]


def model_of(name: str, seed: int = 0, classes: int = 3) -> Model:
    """A model of a small net with random weights whose predictions differ between images."""
    torch.manual_seed(seed)
    net = create(name, classes=classes)
    channels = net.in_channels
    tensors, aliases = arrays_of(net)
    pixels = Pixels(32, 32, channels, mean=(120.0,) * channels, std=(60.0,) * channels)
    head = "head" if isinstance(net.head, torch.nn.Linear) else ""
    names = tuple(f"class {n}" for n in range(classes))
    return Model(
        name,
        net.options,
        Classification(names),
        pixels,
        tensors,
        head,
        aliases=aliases,
        metrics={"precision": "float32"},
    )


def files(photos: Path, count: int = 10) -> list[Path]:
    return sorted(photos.rglob("*.jpg"))[:count]


def crops(model: Model, photos: Path) -> np.ndarray:
    return np.stack([model.pixels.apply(model.pixels.decode(path.read_bytes()).image) for path in files(photos)])


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, relative to the outputs' scale."""
    return float(np.abs(one - other).max() / np.abs(other).max())


# Engines


@pytest.mark.parametrize("name", FAMILIES)
def test_engines_agree_on_real_crops(name: str, photos: Path) -> None:
    model = model_of(name)
    images = crops(model, photos)
    predictions = {engine: Predictor(model, engine=engine).embed(images) for engine in ("torch", "openvino")}
    assert predictions["torch"].shape == predictions["openvino"].shape and predictions["torch"].dtype == np.float32
    assert apart(predictions["openvino"], predictions["torch"]) <= 1e-4
    scores = {engine: Predictor(model, engine=engine).logits(prediction) for engine, prediction in predictions.items()}
    assert apart(scores["openvino"], scores["torch"]) <= 1e-4


@pytest.mark.parametrize("name", ["resnet8", "lenet5_plain", "lenet5"])
def test_the_classifier_is_the_net(name: str, photos: Path) -> None:
    model = model_of(name)
    images = crops(model, photos)
    torch.manual_seed(0)
    net = create(name, classes=3).eval()
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 120) / 60
    with torch.inference_mode():
        right = torch.softmax(net(x), dim=1).numpy()
    for engine in ("torch", "openvino"):
        assert np.allclose(Predictor(model, engine=engine).predictions(images), right, atol=2e-5)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_is_close(engine: str, photos: Path) -> None:
    model = model_of("resnet8")
    images = crops(model, photos)
    exact = Predictor(model, engine=engine, precision="float32").embed(images)
    fast = Predictor(model, engine=engine, precision="bfloat16").embed(images)
    assert np.isfinite(fast).all() and apart(fast, exact) <= 0.05


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_prediction_does_not_depend_on_the_batch(engine: str, photos: Path) -> None:
    predictor = Predictor(model_of("resnet8"), engine=engine)
    images = crops(predictor.model, photos)
    alone = np.concatenate([predictor.embed(images[n : n + 1]) for n in range(len(images))])
    assert apart(predictor.embed(images), alone) <= 1e-5
    assert np.array_equal(predictor.embed(images), predictor.embed(images))
    assert predictor.embed(images[:0]).shape[0] == 0
    assert predictor.predictions(images[:0]).shape == (0, 3)


def test_the_backbone_is_shared_by_models_that_differ_in_the_head_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    first = model_of("resnet8")
    weight = np.ones((5, first.tensors["head.weight"].shape[1]), np.float32)
    second = dataclasses.replace(
        first, task=Classification(tuple("abcde")), options=first.options | {"classes": 5},
        strategy="other", metrics={},
        tensors=first.tensors | {"head.weight": weight, "head.bias": np.zeros(5, np.float32)},
    )  # fmt: skip
    assert first.backbone_key == second.backbone_key
    for model in (first, second):
        assert Predictor(model, engine="openvino").predictions(crops(model, photos)).shape[1] == len(model.classes)
    assert len(list((tmp_path / "graphs").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"net": "plain8"}, {"head": ""}, {"aliases": {"a": "stem"}}, {"options": {"classes": 3}},
        {"pixels": Pixels(32, 32, mean=(121.0, 120.0, 120.0), std=(60.0,) * 3)},
        {"pixels": Pixels(33, 32, mean=(120.0,) * 3, std=(60.0,) * 3)},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_determines_the_embedding_changes_the_backbone_key(change: dict) -> None:
    model = model_of("resnet8")
    assert dataclasses.replace(model, **change).backbone_key != model.backbone_key


def test_every_tensor_below_the_head_changes_the_backbone_key() -> None:
    model = model_of("lenet5_plain")
    for name, tensor in model.tensors.items():
        other = dataclasses.replace(model, tensors=model.tensors | {name: tensor + 1})
        assert (other.backbone_key == model.backbone_key) is name.startswith("head."), name


# The cache of graphs


def spoil_xml(folder: Path) -> None:
    (folder / "backbone.xml").write_text("<net")


def drop_weights(folder: Path) -> None:
    (folder / "backbone.bin").unlink()


def cut_weights(folder: Path) -> None:
    content = (folder / "backbone.bin").read_bytes()
    (folder / "backbone.bin").write_bytes(content[: len(content) // 2])


def spoil_blobs(folder: Path) -> None:
    for path in (folder / "compiled").rglob("*"):
        if path.is_file():
            path.write_bytes(b"no graph" * 100)


DAMAGES = [spoil_xml, drop_weights, cut_weights, spoil_blobs]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_graph_is_rebuilt(damage, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    model = model_of("lenet5_plain")
    images = crops(model, photos)
    first = Predictor(model, engine="openvino").predictions(images)
    folder = tmp_path / "graphs" / model.backbone_key
    if damage is not spoil_blobs:  # the compiled form is used if it exists
        shutil.rmtree(folder / "compiled", ignore_errors=True)
    damage(folder)
    for _ in range(2):
        assert np.array_equal(Predictor(model, engine="openvino").predictions(images), first)


# Choosing an engine


def test_an_engine_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "gpu_present", lambda: False)
    assert choose_engine() == ("openvino", "") and choose_engine("torch") == ("torch", "")
    monkeypatch.setattr(engines, "gpu_present", lambda: True)
    assert choose_engine() == ("torch", "")
    monkeypatch.setattr(engines, "gpu_present", lambda: False)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    name, line = choose_engine()
    assert name == "torch" and "OpenVINO is not installed" in line and "\n" not in line
    with pytest.raises(RequestError, match="not installed"):
        choose_engine("openvino")


def test_unknown_engines_and_precisions_get_suggestions() -> None:
    with pytest.raises(RequestError, match="did you mean 'openvino'"):
        Predictor(model_of("resnet8"), engine="open-vino")
    with pytest.raises(RequestError, match="did you mean 'bfloat16'"):
        open_engine(model_of("resnet8"), "torch", "float16")
    with pytest.raises(RequestError, match="unknown precision"):
        _ = Predictor(dataclasses.replace(model_of("resnet8"), metrics={"precision": ["x"]})).engine


# Input types


def test_path_image_and_array_give_the_same_prediction(photos: Path) -> None:
    predictor = Predictor(model_of("resnet8"))
    path = files(photos)[0]
    image = predictor.model.pixels.decode(path.read_bytes()).image
    predictions = predictor.predict([path, str(path), image, np.asarray(image)])
    assert [prediction.source for prediction in predictions] == [str(path), str(path), "image 2", "image 3"]
    assert all(np.array_equal(prediction.probabilities, predictions[0].probabilities) for prediction in predictions)
    top = predictions[0]
    assert top.label == predictor.classes[int(top.probabilities.argmax())]
    assert top.confidence == top.probabilities.max() and abs(float(top.probabilities.sum()) - 1) < 1e-5
    assert predictor.predict(path)[0].label == predictor.predict(str(path))[0].label == top.label


def test_many_images_keep_their_order(photos: Path) -> None:
    predictor = Predictor(model_of("lenet5_plain"))
    one, two = files(photos)[0], files(photos)[-1]
    many = predictor.predict([one, two] * 40)
    assert [prediction.source for prediction in many] == [str(one), str(two)] * 40
    assert np.allclose(many[0].probabilities, many[78].probabilities, atol=1e-6)
    assert predictor.predict([]) == []


def test_unreadable_images_are_named(photos: Path, tmp_path: Path) -> None:
    predictor = Predictor(model_of("lenet5_plain"))
    good = files(photos)[0]
    cases = {"empty.jpg": b"", "text.jpg": b"words", "cut.jpg": good.read_bytes()[:2000]}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    for name in [*cases, "missing.jpg", "."]:
        with pytest.raises(RequestError, match=r"cannot (use|read)") as caught:
            predictor.predict([good, tmp_path / name])
        assert repr(str(tmp_path / name)) in str(caught.value)
    with Image.open(io.BytesIO(good.read_bytes()[:-2000])) as lazy, pytest.raises(RequestError, match="image 0"):
        predictor.predict([lazy])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8), np.array(None),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)  # fmt: skip
def test_invalid_arrays_are_named(array: np.ndarray) -> None:
    with pytest.raises(RequestError, match="image 0: arrays must be uint8"):
        Predictor(model_of("lenet5_plain")).predict([array])


def test_a_grey_array_is_an_image() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    predictions = Predictor(model_of("resnet8")).predict([grey, np.stack([grey] * 3, axis=-1)])
    assert np.array_equal(predictions[0].probabilities, predictions[1].probabilities)


def test_batches_preserve_order_and_are_lazy() -> None:
    taken: list[int] = []
    sizes: list[int] = []

    def crops():  # type: ignore[no-untyped-def]
        for number in range(BATCH + 3):
            taken.append(number)
            yield f"image {number}", np.full((2, 2, 3), number, np.uint8)

    def run(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return images[:, 0, 0].astype(np.float32)

    found = in_batches(run, crops())
    assert next(found)[0] == "image 0" and len(taken) == BATCH
    assert [(name, row[0]) for name, row in found] == [(f"image {n}", n) for n in range(1, BATCH + 3)]
    assert sizes == [BATCH, 3]
    assert list(in_batches(run, [])) == []


# The torch module


@pytest.mark.parametrize("name", [*FAMILIES, "nin_tiny", "squeezenet_tiny", "densenet_tiny"])
def test_the_net_of_a_predictor_gives_its_logits(name: str, photos: Path) -> None:
    predictor = Predictor(model_of(name), engine="torch")
    paths = files(photos)
    x = predictor.transform(paths)
    assert x.dtype == torch.float32 and x.shape == (len(paths), predictor.net.in_channels, 32, 32)
    assert not predictor.net.training
    with torch.inference_mode():
        logits = predictor.net(x).numpy()
    expected = predictor.logits(predictor.embed(crops(predictor.model, photos)))
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_net_of_a_predictor_subtracts_its_mean_image(photos: Path) -> None:
    mean_image = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    predictor = Predictor(dataclasses.replace(model_of("resnet8"), extras={"mean_image": mean_image}))
    with torch.inference_mode():
        logits = predictor.net(predictor.transform(files(photos))).numpy()
    expected = predictor.logits(predictor.embed(crops(predictor.model, photos)))
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


def test_training_the_net_of_a_predictor_changes_no_prediction(photos: Path) -> None:
    predictor = Predictor(model_of("lenet5_plain"), engine="torch")
    before = predictor.predict(files(photos)[:2])
    with torch.no_grad():
        for weight in predictor.net.parameters():
            weight.zero_()
    after = predictor.predict(files(photos)[:2])
    assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(before, after, strict=True))
    assert predictor.transform([]).shape == (0, 1, 32, 32)


class _Held:
    """OpenVINO's request for one image at a time, which runs when it is let go."""

    def __init__(self, request: Any) -> None:
        self.request, self.entered, self.open = request, threading.Event(), threading.Event()

    def infer(self, images: list[np.ndarray]) -> None:
        self.entered.set()
        assert self.open.wait(60)
        self.request.infer(images)

    def get_output_tensor(self, place: int) -> Any:
        return self.request.get_output_tensor(place)


def test_several_threads_share_an_openvino_engine_that_has_forgotten_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    predictor = Predictor(model_of("lenet5_plain"), engine="openvino")
    shades = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8)
    expected = np.stack([row for row, _ in predictor.rows(shades)])
    predictor = Predictor(model_of("lenet5_plain"), engine="openvino")
    predictor.forget_weights()
    assert set(predictor.model.tensors) == {"head.weight", "head.bias"}
    alone = predictor.rows(shades[:1])[0][0]
    assert "_compiled_streams" not in vars(predictor.engine)  # the graph for many at a time takes memory of its own
    held = vars(predictor.engine)["_few"] = _Held(predictor.engine._few)  # type: ignore[attr-defined]
    found: dict[int, np.ndarray] = {}
    first = threading.Thread(target=lambda: found.update({0: predictor.rows(shades[:1])[0][0]}))
    first.start()
    assert held.entered.wait(60)
    others = [
        threading.Thread(target=lambda at=at: found.update({at: predictor.rows(shades[at : at + 1])[0][0]}))
        for at in range(1, 5)
    ]
    for one in others:
        one.start()
    for one in others:
        one.join()
    five = predictor.rows(np.repeat(shades[5:], 5, 0))  # more than a stream takes at a time
    held.open.set()
    first.join()
    assert np.abs(np.stack([found[at] for at in range(5)]) - expected[:5]).max() <= 1e-5
    assert np.array_equal(found[0], alone) and np.abs(five[4][0] - expected[5]).max() <= 1e-5
    shutil.rmtree(tmp_path)
    other = Predictor(model_of("lenet5_plain", seed=1), engine="openvino")
    other.forget_weights()
    shutil.rmtree(tmp_path)
    with pytest.raises(WorkError, match="removed or damaged while it was in use; open the model again"):
        other.rows(shades)
