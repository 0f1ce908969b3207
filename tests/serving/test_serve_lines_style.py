"""`striate serve` for lines of digits and for style: what `striate read` and `striate style` give, over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from application_models import line_model, line_picture, photograph, style_weights
from PIL import Image
from serve_clients import Running, running

import striate
from striate.jobs.serve_models import Lines, opened
from striate.model import write


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two lines, a photograph, a model that reads and weights that paint."""
    root = tmp_path_factory.mktemp("applied")
    Image.fromarray(line_picture(4)).save(root / "long.png")
    Image.fromarray(line_picture(2)).save(root / "short.png")
    Image.fromarray(photograph(1, (600, 40))).save(root / "photo.png")  # of two tiles
    write(root / "zips.safetensors", line_model())
    style_weights(root / "candy.safetensors")
    return root


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[Running]:
    models = {"zips": opened(Lines(files / "zips.safetensors")), "candy": opened(files / "candy.safetensors")}
    with running(models) as found:
        yield found


def infer(server: Running, name: str, *paths: Path) -> Any:
    """The protocol's answer."""
    data = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [len(paths)], "data": data}]
    answer = server.ask("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": inputs}))
    return {one["name"]: one for one in answer.json["outputs"]} if answer.status == 200 else answer


def test_lines_are_read_as_by_read(server: Running, files: Path) -> None:
    paths = [files / "long.png", files / "short.png"]
    wanted = striate.read(files / "zips.safetensors", paths).as_dict()["readings"]
    assert len(wanted[0]["text"]) > len(wanted[1]["text"]) > 0
    told = infer(server, "zips", *paths)
    for place, (path, one) in enumerate(zip(paths, wanted, strict=True)):
        single = server.predict(path.read_bytes(), "?model=zips").json
        assert single == {"model": "zips", "label": one["text"]} | {key: one[key] for key in one if key != "file"}
        count = len(one["characters"])
        rows = {name: np.array(told[name]["data"]).reshape(told[name]["shape"])[place] for name in told}
        assert rows["label"] == one["text"] and rows["probability"] == pytest.approx(one["probability"])
        assert rows["columns"][:count] == pytest.approx([each["x"] for each in one["characters"]])
        assert rows["probabilities"][:count] == pytest.approx([each["probability"] for each in one["characters"]])
        assert (rows["columns"][count:] == -1).all() and (rows["probabilities"][count:] == 0).all()


def test_pictures_are_painted_as_by_style(server: Running, files: Path, tmp_path: Path) -> None:
    content = (files / "photo.png").read_bytes()
    for query, options in (
        ("", {}),
        ("&size=300&keep_colours=true", {"size": 300, "keep_colours": True}),
    ):
        done = striate.style(
            files / "photo.png", out=tmp_path / "painted.png", fast=files / "candy.safetensors", **options
        )
        answer = server.predict(content, f"?model=candy{query}")
        assert answer.status == 200 and answer.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(answer.body)) as painted:
            assert np.array_equal(np.array(painted), done.picture)
    told = infer(server, "candy", files / "photo.png")["picture"]
    assert base64.b64decode(told["data"][0]) == server.predict(content, "?model=candy").body
    large = io.BytesIO()
    Image.fromarray(np.zeros((40, 1300), np.uint8)).save(large, "PNG")
    with Image.open(io.BytesIO(server.predict(large.getvalue(), "?model=candy").body)) as painted:
        assert painted.size == (1024, 32)  # not larger, whatever is sent


def test_what_they_do_not_take_is_refused_in_one_line(server: Running, files: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    def picture(width: int, height: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.zeros((height, width), np.uint8)).save(file, "PNG")
        return file.getvalue()

    line = (files / "short.png").read_bytes()
    for content, query, status, why in (
        (picture(50, 50), "?model=zips", 400, "the picture has no digits"),
        (picture(2001, 2000), "?model=zips", 413, "pixels"),
        (line, "?model=zips&size=50", 400, "size is of networks of style; the task of this one is lines"),
        (line, "?model=candy&size=1025", 400, "size is from 16 to 1,024, not '1025'"),
        (line, "?model=candy&keep_colours=perhaps", 400, "keep_colours is true or false"),
        (line, "?model=candy&mask=true", 400, "mask is of models of masks"),
        (picture(50, 5), "?model=candy", 400, "too small"),
        (picture(500, 20), "?model=candy&size=60", 400, "give a larger size"),
        (picture(9000, 9000), "?model=candy", 413, "pixels"),
    ):
        answer = server.predict(content, query)
        assert answer.status == status and why in answer.json["error"] and "\n" not in answer.json["error"], query
    assert infer(server, "candy", *[files / "short.png"] * 5).status == 413  # more than wait at a time
    other = tmp_path / "other.safetensors"
    write(other, line_model())
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((files / "candy.safetensors").read_bytes()[:-8])
    for words, why in (
        (("--read", files / "candy.safetensors"), "candy"),
        (("--read", "efficientnet_lite0"), "needs the class 'none'"),
        ((damaged,), "damaged"),
        ((), "no models were given"),
    ):
        code, out, err = cli("serve", *words, "--port", 0)
        assert code == 2 and out == "" and err.count("striate: ") == 1 and why in err, err
