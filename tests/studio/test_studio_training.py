"""From images to a model by the API of the studio: stopped, resumed, and the same as by the command line it shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from studio_app import encoded, running

from striate.cli.main import main, parser
from striate.cli.verbs.train import _given
from striate.model import read
from striate.recipe import Recipe


def test_what_a_page_chooses_is_the_recipe_of_the_command_line_that_it_shows(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.api("POST", "/api/data", {"path": "digits"})
        choices = {
            "strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "3", "seed": "7",
            "optimizer.name": "adamw", "optimizer.lr": "0.002", "schedule.name": "step",
            "augment.rotate": "10", "train.ema_decay": "0.99",
            "data.balance": "weights", "augment.preset": "none", "loss.label_smoothing": "0.1",
        }  # fmt: skip
        for some in ({}, {"strategy": "quick"}, choices):
            told = app.api("POST", "/api/data/1/command", {"name": "mine", "choices": some})
            chosen = parser(["train"]).parse_args(shlex.split(told["command"])[1:])
            by_command = Recipe().updated(_given(chosen))
            assert by_command == Recipe().updated(some), told
            assert (chosen.data, chosen.out) == ("digits", "runs/mine")
        page = app.get("/train?data=1").text
        assert 'name="optimizer.lr"' in page and 'value="lenet5_plain"' in page and "data.path" not in page


def test_made_audited_decided_and_trained(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        made = app.api("POST", "/api/data", {"name": "shades of grey"})
        number = made["number"]
        assert made["images"] == 0 and "drop a folder" in app.get(f"/data/{number}").text.lower()
        for place, name in enumerate(("dark", "light")):
            for image in range(10):
                assert app.upload(number, name, encoded(100 * place + image, shade=130 * place)).status == 200
        assert app.upload(number, "light", encoded(3)).status == 200  # a dark one
        word, numbers = (getattr(app.studio.data.get(number).listed(), name) for name in ("word", "numbers"))
        app.api("POST", f"/api/data/{number}/audit", {})
        app.until(lambda: app.api("GET", f"/api/data/{number}/audit")["state"] not in ("waiting", "running"))
        found = app.api("GET", f"/api/data/{number}/audit")["findings"]
        assert found[0]["kind"] == "contradiction" and found[0]["count"] == 2
        assert "contradict" in app.get(f"/data/{number}/fix").text
        doubtful = {image["number"] for image in found[0]["images"]}
        (wrong,) = [numbers[key] for key in numbers if key.startswith("light/") and numbers[key] in doubtful]
        app.api("POST", f"/api/data/{number}/decisions", {"word": word, "images": [wrong], "decision": "drop"})
        choices = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "2"}
        job = app.api("POST", f"/api/data/{number}/train", {"name": "first", "choices": choices})
        done = app.ended("first")
        assert done["state"] == "done" and done["result"].startswith("accuracy ") and done["epoch"] == 2, done
        assert done["lines"][0] == "shades-of-grey: 20 images in 2 classes" and " --decisions " in job["shown"]
        assert app.get("/runs/first/curves").text.count("<svg") >= 2 and "sandbox" in app.get("/runs/first").text
        assert app.get("/runs/first/report.html").status == 200 and "<polyline" in app.get("/").text


@pytest.mark.slow
def test_a_training_that_is_stopped_and_resumed_equals_the_command_line_shown(tmp_path: Path) -> None:
    choices = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "6", "seed": "3"}
    with running(tmp_path) as app:
        app.api("POST", "/api/data", {"path": "digits"})
        job = app.api("POST", "/api/data/1/train", {"name": "first", "choices": choices})
        app.until(lambda: "polyline" in app.get("/runs/first/curves").text)
        app.api("POST", f"/api/jobs/{job['job']}/stop")
        stopped = app.ended("first")
        assert stopped["state"] == "stopped" and stopped["resumable"], stopped
        assert "Resume" in app.get("/runs/first").text
        app.api("POST", "/api/runs/first/resume")
        assert app.ended("first")["state"] == "done"
    assert main([*shlex.split(job["shown"])[1:-1], str(tmp_path / "again")]) == 0
    first, again = (read(tmp_path / run / "model.safetensors") for run in ("runs/first", "again"))
    assert first.tensors.keys() == again.tensors.keys()
    assert all((first.tensors[name] == again.tensors[name]).all() for name in first.tensors)
