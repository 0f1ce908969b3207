"""`striate serve` asked what its own description allows, and more: no error of the server's, answers as described."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from application_models import line_model, line_picture, photograph, style_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_requests import calls, require_described
from PIL import Image
from serve_clients import encoded, model_of, running

import striate
from striate.inference.predictor import Predictor
from striate.jobs.serve_models import Lines, opened
from striate.model import write

NAMES = ["insects", "photos", "zips", "candy"]
KNOWN = {"model": NAMES, "top": [1, 2], "size": [16, 40], "shape": [[1]], "data": [["AAAA"]]}


@pytest.mark.parametrize("count", [60, pytest.param(900, marks=pytest.mark.slow)])
def test_any_request_is_answered_as_it_is_described(count: int, tmp_path: Path) -> None:
    write(tmp_path / "zips.safetensors", line_model())
    Image.fromarray(photograph(1)).save(tmp_path / "1.png")
    striate.index(tmp_path / "1.png", out=tmp_path / "photos.index", net=tmp_path / "zips.safetensors")
    others = (
        tmp_path / "photos.index",
        Lines(tmp_path / "zips.safetensors"),
        style_weights(tmp_path / "c.safetensors"),
    )
    served = dict(zip(NAMES, [Predictor(model_of(), engine="torch"), *map(opened, others)], strict=True))
    with running(served) as server:
        file = io.BytesIO()
        Image.fromarray(line_picture()).save(file, "PNG")
        line = file.getvalue()
        described = server.ask("GET", "/openapi.json").json

        @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            call = data.draw(calls(described, KNOWN, [encoded(1), line, b"\x89PNG\r\n\x1a\n"]))
            found = server.ask(call.method, call.path, call.body, call.headers)
            require_described(call, found.status, found.headers, found.body)

        ask()
        assert server.said == [] and server.predict(encoded(1)).status == 200
