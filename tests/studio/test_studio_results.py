"""A finished run in the studio: tried, shipped, compared, looked into; and the nets, the API, the limits."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from studio_app import LIGHT, Running, encoded, trained

import striate
from striate.model.file import read, write
from striate.studio import predicting
from striate.studio.held_out import held_out


def block(page: str, name: str) -> str:
    """The text of a command line, or of lines of code, on a page."""
    return unescape(page.partition(f'<pre id="{name}" tabindex="0">')[2].partition("</pre>")[0])


def stripes(number: int) -> bytes:
    """A PNG unlike all others."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, number % 4 :: 4] = 255
    pixels[0, 0] = number
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def predicted(app: Running, run: str, content: bytes) -> dict[str, object]:
    answer = app.ask("POST", f"/api/runs/{run}/predict", content)
    assert answer.status == 200, answer.body
    return dict(answer.json)


def ended(app: Running, address: str) -> dict[str, object]:
    """The facts of a job, or of what it made, when it has ended."""

    def look() -> dict[str, object] | None:
        found = dict(app.api("GET", address))
        return None if found["state"] in ("waiting", "running") else found

    return dict(app.until(look))


@pytest.fixture
def app(finished: Running) -> Running:
    return finished


@pytest.fixture
def home(finished_home: Path) -> Path:
    return finished_home


# Try


def test_a_picture_is_answered_as_by_predict_with_what_the_net_sees(app: Running, home: Path, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(encoded(7, shade=130))
    for run in ("first", "labels", "numbers"):
        found = predicted(app, run, encoded(7, shade=130))
        (reference,) = striate.load(home / "runs" / run).predict(tmp_path / "new.png")
        assert found["answer"] == reference.label and found["milliseconds"]["net"] > 0  # type: ignore[index]
        shares = dict(zip(striate.load(home / "runs" / run).classes, reference.probabilities.tolist(), strict=False))
        assert dict(found["bars"]) == pytest.approx(shares, abs=1e-6)  # type: ignore[call-overload]
        kind, _, content = str(found["seen"]).partition(";base64,")
        seen = Image.open(io.BytesIO(base64.b64decode(content)))
        assert kind == "data:image/png" and seen.size == (32, 32)
    assert found["value"] == pytest.approx(reference.value, rel=1e-6) and found["bars"] == []


def test_what_is_unlike_the_training_images_is_said_to_be_out_of_distribution(app: Running, home: Path) -> None:
    (home / "odd").mkdir()
    for number in range(12):
        (home / "odd" / f"{number}.png").write_bytes(stripes(number))
    recipe = {"data": {"ood": str(home / "odd")}}
    trained(home, home / "data" / "shades", "guarded", epochs=2, recipe=recipe)
    model = striate.load(home / "runs" / "guarded")
    for content in (stripes(99), encoded(7, shade=130)):
        found = predicted(app, "guarded", content)
        (reference,) = model.predict([np.asarray(Image.open(io.BytesIO(content)))])
        assert found["in_distribution"] is reference.in_distribution and found["threshold"] == model.ood_threshold
        assert found["distance"] == pytest.approx(reference.distance, rel=1e-4)
        assert found["answer"] == reference.answer.label


def test_a_wrong_answer_goes_into_the_data_as_an_upload(app: Running, home: Path) -> None:
    page = app.get("/try/first").text
    target = json.loads(unescape(page.partition('data-classes="')[2].partition('"')[0]))
    assert target == ["dark", LIGHT] and 'data-part="train"' in page and "striate predict runs/first" in page
    number = app.api("GET", "/api/home")["data"][0]["number"]
    before = app.api("GET", f"/api/data/{number}")["images"]
    assert app.ask("PUT", f"/api/data/{number}/files/dark?name=camera.jpg&part=train", encoded(999)).status == 200
    assert app.api("GET", f"/api/data/{number}")["images"] == before + 1
    told = app.get("/try/labels").text
    assert "corrected in the annotations" in told and 'id="adding"' not in told


def test_pictures_to_try_are_bounded(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {
        b"no image": 422,
        b"<svg onload=alert(1)>": 422,
        b"": 422,
    }
    for content, status in refused.items():
        assert app.ask("POST", "/api/runs/first/predict", content).status == status
    large = io.BytesIO()
    Image.fromarray(np.zeros((8000, 8000), bool)).save(large, "PNG")
    bomb = app.ask("POST", "/api/runs/first/predict", large.getvalue())
    assert bomb.status == 413 and "at most 50,000,000 pixels are taken here" in bomb.json["error"]
    head = {"Content-Length": str(10**9)}
    assert app.ask("POST", "/api/runs/first/predict", iter([b""]), head).status == 413
    for name in ("none", "..", "../first", "first/..", "/etc"):
        assert app.ask("POST", f"/api/runs/{quote(name, safe='')}/predict", encoded(1)).status in (404, 405)
    cross = {"Origin": "http://evil.example"}
    assert app.ask("POST", "/api/runs/first/predict", encoded(1), cross).status == 403
    monkeypatch.setattr(predicting, "WAITING", 0)
    full = app.ask("POST", "/api/runs/first/predict", encoded(1))
    assert full.status == 503 and full.headers["retry-after"] == "1"


def test_a_model_that_cannot_be_opened_is_said(app: Running, home: Path) -> None:
    run = home / "runs" / "broken"
    run.mkdir()
    (run / "log.jsonl").write_text("{}\n")
    (run / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    answer = app.ask("POST", "/api/runs/broken/predict", encoded(1))
    assert answer.status == 400 and "could run code" in answer.json["error"]
    for page in ("/try/broken", "/runs/broken/ship", "/runs/broken/inside"):
        assert "could run code" in app.get(page).text
    (run / "model.safetensors").unlink()
    for page in ("/try/broken", "/runs/broken/ship", "/runs/broken/inside"):
        assert "has no model yet" in app.get(page).text
    (run / "model.safetensors").symlink_to(home / "runs" / "first" / "model.safetensors")
    for path in ("model.safetensors", "model.onnx"):
        assert app.ask("GET", f"/runs/broken/{path}").status == 404
    (run / "model.safetensors").unlink()


def test_no_torch_where_openvino_runs_the_model(app: Running, home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from striate.studio.predicting import Predictors\n"
        "import striate.studio.app\n"
        "from striate.web.limits import Limits\n"
        f"found = Predictors(Limits()).predict(Path({str(home / 'runs' / 'first' / 'model.safetensors')!r}), "
        f"Path({str(next((home / 'data' / 'shades' / 'train' / 'dark').iterdir()))!r}).read_bytes())\n"
        "print(found['engine'], 'torch' in sys.modules)"
    )
    predicted(app, "first", encoded(1))  # the graph is in the cache
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["openvino", "False"]


@pytest.mark.slow
def test_masks_are_laid_over_what_the_net_sees(app: Running, home: Path) -> None:
    for folder in ("images", "masks"):
        (home / "discs" / folder).mkdir(parents=True)
    for number in range(14):
        pixels = np.random.default_rng(number).integers(0, 80, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[8:40, 10 + number : 40 + number] = 255
        pixels[mask > 0] = (230, 60, 60)
        Image.fromarray(pixels).save(home / "discs" / "images" / f"{number}.png")
        Image.fromarray(mask).save(home / "discs" / "masks" / f"{number}.png")
    trained(home, home / "discs", "masks", net="enet_tiny", epochs=1)
    found = predicted(app, "masks", (home / "discs" / "images" / "0.png").read_bytes())
    assert found["task"] == "segmentation" and sum(share for _, share in found["bars"]) == pytest.approx(1, abs=1e-4)  # type: ignore[attr-defined]
    assert str(found["seen"]).startswith("data:image/")
    assert "Export to ONNX" in app.get("/runs/masks/ship").text
    app.api("POST", "/api/data", {"path": "discs"})
    shares = [one.score for one in held_out(app.studio, "masks")]
    assert shares == sorted(shares) and app.get("/runs/masks/inside").text.count("<figure>") == len(shares) > 0


# Ship


def test_the_model_file_is_shipped_with_lines_that_run(
    app: Running, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = app.get("/runs/first/ship").text
    (tmp_path / "first.safetensors").write_bytes(app.ask("GET", "/runs/first/model.safetensors").body)
    (tmp_path / "photo.jpg").write_bytes(encoded(7, shade=130))
    monkeypatch.chdir(tmp_path)
    exec(compile(block(page, "with-striate"), "with-striate", "exec"), {})
    assert capsys.readouterr().out.startswith(f"{LIGHT} ")
    served = block(page, "serve").splitlines()
    assert served[0] == "striate serve first=runs/first" and served[1].startswith("curl --data-binary @photo.jpg ")
    assert "striate export runs/first --to onnx" in page
    assert app.ask("GET", "/runs/second/model.onnx").status == 404


@pytest.mark.slow
def test_the_exported_graph_and_its_lines_give_the_same_answer(
    app: Running, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app.api("POST", "/api/runs/first/export")
    exported = ended(app, "/api/runs/first/export")
    assert exported["state"] == "done", exported
    assert "100.0 % of its predictions are those of striate predict" in str(exported["parity"])
    page = app.get("/runs/first/ship").text
    assert str(exported["parity"]) in page and "striate export runs/first --to onnx" in page
    for ending in ("safetensors", "onnx"):
        found = app.ask("GET", f"/runs/first/model.{ending}")
        assert found.body == (home / "runs" / "first" / f"model.{ending}").read_bytes()
        assert found.headers["content-disposition"] == f'attachment; filename="first.{ending}"'
        (tmp_path / f"first.{ending}").write_bytes(found.body)
    Image.open(io.BytesIO(encoded(7, shade=130))).save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    answers = []
    for name in ("with-striate", "with-onnx"):
        exec(compile(block(page, name), name, "exec"), {})
        *label, share = capsys.readouterr().out.split()
        answers.append((" ".join(label), float(share)))
    assert answers[0][0] == answers[1][0] and answers[0][1] == pytest.approx(answers[1][1], abs=0.02)


# Compare


def test_runs_side_by_side_and_where_they_disagree(app: Running, home: Path) -> None:
    assert "Choose two or more" in app.get("/compare").text
    page = app.get("/compare?r=first,second").text
    assert page == app.get("/compare?r=first&r=second").text
    assert "train.epochs" in page and "<svg" in page and "striate compare runs/first runs/second" in page
    tables = [(home / "runs" / run / "evaluated.csv").read_text() for run in ("first", "second")]
    outcomes = [dict(line.rsplit(",", 1) for line in table.splitlines()[1:]) for table in tables]
    apart = [key for key in outcomes[0] if outcomes[0][key] != outcomes[1][key]]
    assert len(outcomes[0]) == 8 and apart, "the second run has learned nothing"
    assert page.count('<tr><td><img loading="lazy"') == len(apart) and page.count(">wrong</span>") >= len(apart)
    assert "different metrics" in app.get("/compare?r=first,numbers").text
    assert app.get("/compare?r=first,none").status == 404
    assert app.get("/compare?" + "&".join(f"r={n}" for n in range(13))).status == 400


# Inside


def choice(page: str) -> tuple[str, int]:
    """The word of the list of images, and the number of the first one."""
    return page.partition('data-word="')[2].partition('"')[0], int(page.partition('data-image="')[2].partition('"')[0])


def test_inside_has_the_measured_images_the_wrong_ones_first(app: Running, home: Path) -> None:
    for run in ("first", "second"):
        page = app.get(f"/runs/{run}/inside").text
        assert "striate show lenet5_plain --input-size 32 32 --classes 2 --html net.html" in page
        figures = page.split("<figure>")[1:]
        wrong = ["wrong" in one for one in figures]
        scores = [line.rpartition(",")[2] for line in (home / "runs" / run / "evaluated.csv").read_text().splitlines()]
        assert len(figures) == 8 and wrong == sorted(wrong, reverse=True) and sum(wrong) == scores.count("0")
    word, image = choice(page)
    asked = {"word": word, "image": image}
    assert app.ask("POST", "/api/runs/first/explain", asked | {"class": "--out=/x"}).status == 400
    assert app.ask("POST", "/api/runs/first/explain", asked | {"word": "00000000"}).status == 409
    assert app.ask("POST", "/api/runs/first/explain", asked | {"image": 9999}).status == 404
    assert app.ask("GET", "/jobs/99/page.html").status == 404
    assert "no images to choose from" in app.get("/runs/labels/inside").text
    errors = held_out(app.studio, "numbers")
    assert len(errors) > 2 and errors == sorted(errors, key=lambda one: -one.score) and "off by" in errors[0].said


@pytest.mark.slow
def test_the_net_is_drawn_and_an_answer_is_explained(app: Running) -> None:
    word, image = choice(app.get("/runs/first/inside").text)
    net = app.api("POST", "/api/runs/first/net")
    why = app.api("POST", "/api/runs/first/explain", {"word": word, "image": image})
    assert why["shown"].startswith("striate inspect runs/first ") and why["shown"].endswith(" --method cam")
    for job, words in ((net, "lenet5_plain"), (why, "Why this answer?")):
        number = job["job"]
        state = ended(app, f"/api/jobs/{number}")
        assert state["state"] == "done", state
        found = app.get(f"/jobs/{number}/page.html")
        assert words in found.text and found.headers["content-security-policy"].startswith("sandbox;")
    assert app.api("POST", "/api/runs/first/net")["job"] == net["job"], "drawn once"


# Nets, API, About


def test_nets_are_sorted_searched_and_lead_to_a_training(app: Running) -> None:
    page = app.get("/nets?sort=parameters&q=resnet").text
    found = [int(part.partition("</td>")[0].replace(",", "")) for part in page.split('<td class="num">')[1::3]]
    assert len(found) > 5 and found == sorted(found) and 'aria-sort="ascending"' in page
    assert "striate nets '*resnet*' --sort parameters" in unescape(page)
    assert re.search(r"train\?data=\d+&net=resnet18\b", unescape(page))
    assert 'value="resnet18"' in app.get("/train?data=1&net=resnet18").text
    assert 'value="--out' not in app.get("/train?data=1&net=--out").text
    assert "No net matches" in app.get("/nets?q=%3Cscript%3E").text
    assert {one["name"] for one in app.api("GET", "/api/nets")["nets"]} >= {"lenet5", "resnet18"}


def test_the_api_page_has_every_call_and_about_every_limit(app: Running) -> None:
    described = app.api("GET", "/api/openapi.json")
    page = unescape(app.get("/docs").text)
    for path, operations in described["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in page
    about = app.get("/about").text
    assert "50,000,000" in about and "Nothing leaves this machine" in about and striate.__version__ in about


# Attacks on these pages


def test_names_of_strangers_are_text_on_these_pages(app: Running, home: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    run = home / "runs" / evil
    run.mkdir()
    for file in ("model.safetensors", "recipe.toml", "log.jsonl", "evaluated.csv", "split.csv"):
        (run / file).write_bytes((home / "runs" / "first" / file).read_bytes())
    text = (run / "evaluated.csv").read_text().replace("dark", evil)
    (run / "evaluated.csv").write_text(text)
    coded = quote(evil, safe="")
    for path in (f"/try/{coded}", f"/runs/{coded}/ship", f"/runs/{coded}/inside", f"/compare?r=first&r={coded}",
                 "/compare", f"/nets?q={coded}", "/docs", "/about"):  # fmt: skip
        found = app.get(path)
        assert found.status == 200 and "<img src=x" not in found.text, path
        policy = found.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "<script>" not in found.text and " onclick" not in found.text, path
    assert app.ask("GET", f"/runs/{coded}/model.safetensors").headers["content-disposition"].count('"') == 2


def test_a_net_named_in_a_strangers_file_is_no_option(app: Running, home: Path) -> None:
    model = read(home / "runs" / "first" / "model.safetensors")
    run = home / "runs" / "stranger"
    run.mkdir()
    (run / "log.jsonl").write_text("{}\n")
    for net, options in (("--html=/tmp/x", model.options), ("lenet5_plain", model.options | {"options": {"a": ["b"]}})):
        write(run / "model.safetensors", dataclasses.replace(model, net=net, options=options))
        assert app.ask("POST", "/api/runs/stranger/net").status == 400, net
        assert "It cannot be drawn here" in app.get("/runs/stranger/inside").text
    assert json.loads(app.ask("POST", "/api/runs/stranger/net").body)["error"]
