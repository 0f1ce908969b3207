"""`striate inspect` for a model that captions images: where it looks for each word, and what a word depends on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from application_models import WORDS, caption_model, photograph
from PIL import Image

from striate import RequestError, inspect_images
from striate.inference.backbones import network_of, normalised
from striate.jobs.inspect_net import inspect_net
from striate.model import write
from striate.nets.kinds import Captioner
from striate.report.maps import ABOVE, STRONGEST

GREY = 128


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """64 x 64 pixels, grey around something."""
    image = np.full((64, 64, 3), GREY, np.uint8)
    image[12:52, 12:52] = photograph(0, (40, 40))
    Image.fromarray(image).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def opened(path: Path, photo: Path, name: str, strong: float) -> tuple[Captioner, torch.Tensor]:
    """A model's file, its network, and the photograph as it takes it."""
    model = caption_model(name, strong)
    write(path, model)
    net = network_of(model)
    assert isinstance(net, Captioner)
    with Image.open(photo) as image:
        return net, normalised(model.pixels.apply(image)[None], model)


def test_a_page_shows_where_the_network_looked_for_each_word(tmp_path: Path, photo: Path, cli: Any) -> None:
    net, image = opened(tmp_path / "m.safetensors", photo, "show_attend_tell_lite_tiny", 4)
    page, maps = tmp_path / "why.html", tmp_path / "maps"
    ask = ("inspect", tmp_path / "m.safetensors", photo, "--method", "cam", "--out", page, "--png", maps, "--json")
    code, text, err = cli(*ask)
    assert code == 0, err
    (found,) = json.loads(text)["images"]
    words = [row["word"] for row in found["words"]]
    assert " ".join(words) == found["answer"] and len(set(words)) > 1
    attention = np.array([row["attention"] for row in found["words"]])
    assert np.allclose(attention.sum((1, 2)), 1, atol=1e-6)
    assert np.ptp(attention, axis=0).max() > 0.05  # words differ in where they look
    # The paper's equations 4 to 6: softmax of the scores of the places, by the state after the words before.
    head, before, weights = net.head, 0, []
    with torch.no_grad():
        h, c, places, known = head.start(net.features(image))
        for word in words:
            scores = torch.tanh(known[0] + head.of_state.weight @ h[0] + head.of_state.bias) @ head.weight.weight[0]  # type: ignore[operator,union-attr,index]
            weights.append((scores.exp() / scores.exp().sum()).numpy().reshape(attention.shape[1:]))
            _, (h, c, places, known) = head.step(torch.tensor([before]), (h, c, places, known))
            before = WORDS.index(word)
    assert np.allclose(attention, weights, atol=1e-5)
    # The picture of a word, read back: over grey, the colour is the map's; its corners are those of the 2 x 2 map.
    files = sorted(maps.glob("01-attention-*.png"))
    assert [path.stem for path in files] == [f"01-attention-{place}-{word}" for place, word in enumerate(words, 1)]
    pale, limit = 64 + 0.75 * GREY, np.ceil(attention.max() * 100) / 100
    for path, values in zip(files, attention, strict=True):
        corners = np.asarray(Image.open(path), float)[np.ix_([0, -1], [0, -1])]
        shares = (corners[..., 2] - pale) / (ABOVE[2] - pale) / STRONGEST * limit
        assert np.allclose(shares, values, atol=0.02 * limit)
    html = page.read_text("utf-8")
    assert html.count("of the attention") == len(words) and "Where does it look for each word?" in html
    assert "each place would have 25" in html and "What does each word lose" not in html


def test_a_word_is_explained_where_there_is_no_attention(
    tmp_path: Path, photo: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    net, image = opened(path, photo, "nic_lite_tiny", 2)
    code, text, err = cli("inspect", path, photo, "--out", tmp_path / "why.html", "--json")
    assert code == 0, err
    (found,) = json.loads(text)["images"]
    said = [WORDS.index(row["word"]) for row in found["words"]]
    assert not any("attention" in row for row in found["words"])
    covered = torch.stack([image[0], image[0], torch.zeros_like(image[0])])
    (height, width), (down, right) = found["occlusion"]["patch"], found["occlusion"]["stride"]
    covered[1, :, 3 * down : 3 * down + height, 2 * right : 2 * right + width] = 0
    with torch.no_grad():
        logits = net.head(net.features(covered), torch.tensor([[0, *said[:-1]]] * 3))
    each = logits[:, torch.arange(len(said)), said]
    lost = [row["occlusion"][3][2] for row in found["words"]]
    assert lost == pytest.approx((each[0] - each[1]).tolist(), abs=1e-5)
    place = int((each[0] - each[2]).argmax())  # the word that depends most on the image
    assert found["explained_word"] == place + 1 and found["explained"][0] == WORDS[said[place]]
    assert found["outputs"][0] == pytest.approx(float(each[0, place]), abs=1e-5)
    assert found["occlusion"]["values"] == found["words"][place]["occlusion"]
    shares = logits[0].index_fill(1, torch.tensor([1]), -torch.inf).softmax(1)  # an unknown word is never said
    assert [row["probability"] for row in found["words"]] == pytest.approx(
        shares[torch.arange(len(said)), said].tolist(), abs=1e-5
    )
    assert {check["check"] for check in found["checks"]} == {"Shuffled weights", "Edges", "Deletion"}
    assert found["class_maps"]["kind"] == "hirescam" and not found["class_maps"]["exact"]
    for name, value in (("LEAST_FOR_CHECKS", 0), ("LEAST_FOR_MAPS", 0), ("has_bfloat16", lambda: True)):
        monkeypatch.setattr(f"striate.jobs.inspect.{name}", value)
    few = inspect_images(path, [photo], methods=["occlusion"], name=found["words"][0]["word"]).images[0]
    assert few.caption is not None and few.caption.place == 0  # where it is said first
    near = np.array([one.values for one in few.caption.occlusion or ()])
    assert np.abs(near - [row["occlusion"] for row in found["words"]]).max() < 0.05 * np.abs(near).max()


def test_words_that_are_not_said_are_refused(tmp_path: Path, photo: Path, cli: Any) -> None:
    path = tmp_path / "m.safetensors"
    opened(path, photo, "nic_lite_tiny", 2)
    code, _, err = cli("inspect", path, photo, "--class", "red", "--out", tmp_path / "a.html")
    assert code == 2 and "which does not have the word 'red'" in err and err.count("\n") == 1
    code, _, err = cli("inspect", path, photo, "--class", "gray", "--out", tmp_path / "a.html")
    assert code == 2 and "unknown word 'gray'; did you mean 'grey'?" in err
    opened(path, photo, "nic_lite_tiny", 4)
    code, _, err = cli("inspect", path, photo, "--out", tmp_path / "a.html")
    assert code == 2 and "a.png': the model says no words, so there is none to explain" in err


def test_the_network_of_a_captioner_is_inspected(tmp_path: Path, photo: Path) -> None:
    opened(tmp_path / "m.safetensors", photo, "show_attend_tell_lite_tiny", 1)
    (tmp_path / "captions.csv").write_text("file,caption\na.png,a red disc\n")
    ask = {"data": tmp_path / "captions.csv", "out": tmp_path / "page.html"}
    found = inspect_net(tmp_path / "m.safetensors", **ask)  # type: ignore[arg-type]
    assert found["images"] == 1 and {"filters", "patches", "responses"} <= set(found)
    assert not {"lesions", "paths", "gradients", "surface"} & set(found)
    assert found["filters"][0]["layer"] == "stage1.conv" and found["patches"][0]["patches"][0][0]["image"] == 0
    assert '<section id="patches"' in (tmp_path / "page.html").read_text("utf-8")
    with pytest.raises(RequestError, match="surface: of classifiers and segmenters, and show_attend_tell_lite_tiny is"):
        inspect_net(tmp_path / "m.safetensors", parts=["surface"], **ask)  # type: ignore[arg-type]
