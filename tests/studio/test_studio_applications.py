"""The studio's Try page for models of boxes, masks and captions: what is found is drawn over the picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from application_models import NAMES, box_model, caption_model, mask_model, photograph
from PIL import Image
from studio_app import Running, running
from test_studio_browser import Page, browser  # noqa: F401

import striate
from striate.jobs.predict_boxes import predict_boxes
from striate.model import write
from striate.studio.predicting import Predictors
from striate.web.limits import Limits

MODELS = {"boxes": box_model, "masks": mask_model, "captions": caption_model}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("applications")
    for name, made in MODELS.items():
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "log.jsonl").write_text("")
        write(home / "runs" / name / "model.safetensors", made())
    Image.fromarray(photograph(1)).save(home / "a.png")
    with running(home) as found:
        yield found


def home_of(app: Running) -> Path:
    return Path(app.studio.home)


def test_answers_have_what_a_page_draws(app: Running) -> None:
    home = home_of(app)
    content = (home / "a.png").read_bytes()
    found: dict[str, Any] = {name: app.api("POST", f"/api/runs/{name}/predict", content) for name in MODELS}
    boxes = found["boxes"]
    reference = predict_boxes(home / "runs" / "boxes", [home / "a.png"], score=0.1).images[0]
    assert boxes["size"] == list(reference.size) == [120, 80] and boxes["bars"] == [] and boxes["score"] == 0.4
    assert [one["label"] for one in boxes["objects"]] == [one.label for one in reference.objects]
    sides = np.array([one["box"] for one in boxes["objects"]])
    assert np.abs(sides - np.array([one.box for one in reference.objects])).max() < 0.02
    colours = {one["label"]: one["colour"] for one in boxes["objects"]}
    assert set(colours) <= set(NAMES) and len(set(colours.values())) == len(colours) > 1
    masks = found["masks"]
    (answer,) = striate.load(home / "runs" / "masks").predict(home / "a.png")
    layer = np.array(Image.open(io.BytesIO(base64.b64decode(masks["overlay"].partition(";base64,")[2]))))
    assert np.array_equal(layer[..., 3] > 0, answer.value > 0) and layer.shape[2] == 4
    assert dict(masks["bars"]) == answer.answer.facts["shares"] and set(masks["colours"]) == {
        "background",
        "ant",
        "bee",
    }
    captions = found["captions"]
    (answer,) = striate.load(home / "runs" / "captions").predict(home / "a.png")
    assert len(captions["bars"]) == 2 and captions["answer"] == answer.label
    assert captions["bars"][0][0] == (answer.label or "(no words)") and captions["bars"][0][1] >= captions["bars"][1][1]
    assert sum(share for _, share in captions["bars"]) == pytest.approx(1)


def test_captions_are_searched_once_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.nets import kinds

    write(tmp_path / "m.safetensors", caption_model())
    Image.fromarray(photograph(0)).save(tmp_path / "a.png")
    searches, search = [], kinds.beam_candidates
    monkeypatch.setattr(kinds, "beam_candidates", lambda *given, **keys: searches.append(1) or search(*given, **keys))
    predictors = Predictors(Limits())
    first = predictors.predict(tmp_path / "m.safetensors", (tmp_path / "a.png").read_bytes())
    searches.clear()  # the first picture opens the model, too
    again = predictors.predict(tmp_path / "m.safetensors", (tmp_path / "a.png").read_bytes())
    assert len(searches) == 1 and again["bars"] == first["bars"] and again["answer"] == first["answer"]
    assert again["value"] is None or again["label"] == again["answer"]


@pytest.mark.slow
def test_boxes_and_masks_lie_over_the_picture(app: Running, browser: Any) -> None:  # noqa: F811
    from playwright.sync_api import expect

    home = home_of(app)
    reference = predict_boxes(home / "runs" / "boxes", [home / "a.png"]).images[0]
    for width in (1280, 390):
        mine = Page(browser, app, width)
        page = mine.go("/try/boxes")
        page.set_input_files("#file", str(home / "a.png"))
        expect(page.locator("#boxes > div")).to_have_count(len(reference.objects))
        picture, first = (page.locator(what).first.bounding_box() for what in ("#picture", "#boxes > div"))
        x1, y1, x2, y2 = reference.objects[0].box
        wanted = np.array([x1 / 120, y1 / 80, (x2 - x1) / 120, (y2 - y1) / 80])
        drawn = np.array([first["x"] - picture["x"], first["y"] - picture["y"], first["width"], first["height"]])
        shares = drawn / (np.array([picture["width"], picture["height"]] * 2))
        assert np.abs(shares - wanted).max() < 0.02
        page.locator("#score").fill("0.95")
        few = sum(one.score >= 0.95 for one in reference.objects)
        expect(page.locator("#boxes > div")).to_have_count(few)
        assert few < len(reference.objects) and page.locator("#answers > div").count() == few
        page = mine.go("/try/masks")
        page.set_input_files("#file", str(home / "a.png"))
        expect(page.locator("#mask")).to_be_visible()
        assert page.locator("#mask").bounding_box() == page.locator("#picture").bounding_box()
        page.get_by_label("Lay the mask over the picture").uncheck()
        expect(page.locator("#mask")).to_be_hidden()
        page = mine.go("/try/captions")
        page.set_input_files("#file", str(home / "a.png"))
        expect(page.locator("#answers meter")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and mine.wrong == []
        mine.context.close()
