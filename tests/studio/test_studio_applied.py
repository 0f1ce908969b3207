"""The studio's Try page for an index of photographs, a model that reads lines, and a network of style."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from application_models import line_model, line_picture, photograph, style_weights
from PIL import Image
from studio_app import Running, running
from test_studio_browser import Page, browser  # noqa: F401

import striate
from striate.model import write

ODD = "<i>bees & 'ants'"  # a folder's name that is text everywhere


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("applied")
    home, outside = root / "home", root / "outside"
    for folder in (home / ODD, outside, home / "runs" / "zips"):
        folder.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(photograph(number)).save(home / ODD / f"{number}.png")
        Image.fromarray(photograph(10 + number)).save(outside / f"{number}.png")
    (home / "runs" / "zips" / "log.jsonl").write_text("")
    model = home / "runs" / "zips" / "model.safetensors"
    write(model, line_model())
    striate.index([home / ODD, outside], out=home / "photos.index", net=model)
    (home / ODD / "3.png").unlink()
    (home / ODD / "2.png").unlink()
    (home / ODD / "2.png").symlink_to(outside / "2.png")  # leads out
    shutil.copy(model, outside / "model.safetensors")
    striate.index(home / ODD / "0.png", out=home / "stranger.index", net=outside / "model.safetensors")
    style_weights(home / "candy.safetensors")
    (home / "link.safetensors").symlink_to(home / "candy.safetensors")
    (home / "damaged.index").write_bytes((home / "photos.index").read_bytes()[:-1])
    Image.fromarray(line_picture()).save(home / "line.png")
    with running(home) as found:
        yield found


def home_of(app: Running) -> Path:
    return Path(app.studio.home)


def picture(address: str) -> Any:
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(";base64,")[2]))))


def test_neighbours_are_shown_from_the_studios_folders_alone(app: Running) -> None:
    query = (home_of(app) / ODD / "0.png").read_bytes()
    found = app.api("POST", "/api/applications/photos.index/predict?top=8", query)["neighbours"]
    rows = {one["name"]: one for one in found}
    assert len(rows) == 8 and found[0]["name"] == f"home/{ODD}/0.png" and found[0]["near_duplicate"]
    assert np.abs(picture(rows[f"home/{ODD}/1.png"]["picture"]).astype(int) - photograph(1)).mean() < 5
    for name, why in (
        ("outside/1.png", "not below the studio's folders"),
        (f"home/{ODD}/2.png", "not below the studio's folders"),
        (f"home/{ODD}/3.png", "gone or damaged"),
    ):
        assert rows[name]["picture"] == "" and why in rows[name]["why"]
    for name, status, why in (
        ("stranger.index", 400, "is not below the folders of this studio"),
        ("damaged.index", 400, "damaged"),
        ("link.safetensors", 404, "no index and no network of style"),
        ("..%2Fhome%2Fphotos.index", 404, ""),
        ("photos.index", 400, "size is of networks of style"),
    ):
        answer = app.ask("POST", f"/api/applications/{name}/predict?size=64", query)
        assert answer.status == status and why in answer.json["error"], name


def test_lines_are_read_and_pictures_painted(app: Running, tmp_path: Path) -> None:
    home = home_of(app)
    (wanted,) = striate.read(home / "runs" / "zips", [home / "line.png"]).as_dict()["readings"]
    told = app.api("POST", "/api/runs/zips/predict?line=true", (home / "line.png").read_bytes())
    assert told["task"] == "lines" and told["size"] == [134, 40]
    assert (told["text"], told["characters"]) == (wanted["text"], wanted["characters"])
    assert (
        "probabilities" not in told
        and app.api("POST", "/api/runs/zips/predict", (home / "line.png").read_bytes())["bars"]
    )
    blank = io.BytesIO()
    Image.new("L", (60, 40)).save(blank, "PNG")
    answer = app.ask("POST", "/api/runs/zips/predict?line=true", blank.getvalue())
    assert answer.status == 400 and "no digits" in answer.json["error"]
    photo = home / ODD / "0.png"
    done = striate.style(photo, out=tmp_path / "a.png", fast=home / "candy.safetensors", size=64, keep_colours=True)
    told = app.api("POST", "/api/applications/candy.safetensors/predict?size=64&keep_colours=true", photo.read_bytes())
    assert np.array_equal(picture(told["painted"]), done.picture)
    assert app.ask("POST", "/api/applications/candy.safetensors/predict?size=1025", photo.read_bytes()).status == 400


def test_home_and_the_pages_have_them(app: Running) -> None:
    names = [one["name"] for one in app.api("GET", "/api/home")["applications"]]
    assert names == ["candy.safetensors", "damaged.index", "photos.index", "stranger.index"]
    assert "try/photos.index" in app.get("/").text
    assert "striate search photos.index PICTURE" in app.get("/try/photos.index").text
    assert "Read a line of digits" in app.get("/try/zips").text
    assert app.get("/try/link.safetensors").status == 404


@pytest.mark.slow
def test_what_they_answer_is_on_the_page(app: Running, browser: Any) -> None:  # noqa: F811
    from playwright.sync_api import expect

    home = home_of(app)
    for width in (1280, 360):
        mine = Page(browser, app, width)
        page = mine.go("/try/photos.index")
        page.set_input_files("#file", str(home / ODD / "0.png"))
        expect(page.locator("#neighbours figure")).to_have_count(6)
        expect(page.locator("#label")).to_have_text("A copy of it: 0.png")
        assert page.locator("#neighbours figcaption").first.text_content() == f"0.00 home/{ODD}/0.png near-duplicate"
        page.locator("#top").select_option("12")
        expect(page.locator("#neighbours figure")).to_have_count(8)
        assert page.locator("#neighbours img").count() == 2
        page = mine.go("/try/candy.safetensors")
        page.set_input_files("#file", str(home / ODD / "0.png"))
        expect(page.locator("#painted")).to_be_visible()
        page = mine.go("/try/zips")
        page.get_by_label("Read a line of digits").check()
        page.set_input_files("#file", str(home / "line.png"))
        expect(page.locator("#boxes .at").first).to_be_visible()
        count = page.locator("#boxes .at").count()
        assert page.locator("#answers meter").count() == count > 0
        page.get_by_label("Read a line of digits").uncheck()
        expect(page.locator("#boxes .at")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and mine.wrong == []
        mine.context.close()
