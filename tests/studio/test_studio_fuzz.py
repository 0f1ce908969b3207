"""The studio asked whatever its own description allows, and more; uploads cut anywhere; kills at any moment."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_requests import calls, require_described
from studio_app import PATIENCE, encoded, make_folder, running
from test_studio_jobs import process_of

import striate
from striate.model import read
from striate.studio.files import is_locked, read_json

WITHOUT = ("/api/events",)  # it ends when the client leaves


class _Ends:
    """A process of a job that has failed at once: made-up choices train nothing."""

    pid, returncode = 2**22 + 1, 2

    def __init__(self, command: list[str], **more: Any) -> None:
        (Path(command[-1]) / "exit.json").write_text('{"code": 2}')

    def poll(self) -> int:
        return 2


@pytest.mark.parametrize("count", [80, pytest.param(900, marks=pytest.mark.slow)])
def test_any_request_is_answered_as_it_is_described(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", _Ends)
    make_folder(tmp_path / "shades", 2)
    with running(tmp_path) as app:
        app.api("POST", "/api/data", {"path": "shades"})
        number = app.api("POST", "/api/data", {"name": "mine"})["number"]
        described = app.api("GET", "/api/openapi.json")
        word = app.studio.data.get(1).listed().word
        known: dict[str, list[Any]] = {
            "number": [1, number], "name": ["first", "mine"], "word": [word], "image": [0, 1], "images": [[0, 2]],
            "decision": ["drop", "relabel", "keep"], "to": ["dark", ""], "path": ["shades"], "class_": ["cup"],
            "class": ["cup"], "part": ["train", ""], "choices": [{"strategy": "features"}, {"seed": "x"}],
        }  # fmt: skip

        @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            call = data.draw(calls(described, known, [encoded(1), b"\x89PNG\r\n\x1a\n"], WITHOUT))
            found = app.ask(call.method, call.path, call.body, call.headers)
            require_described(call, found.status, found.headers, found.body)

        ask()
        assert [line for line in app.said if "another browser" not in line] == []
        assert app.get("/").status == 200
    assert {one.name for one in tmp_path.iterdir()} <= {"shades", "data", "runs", ".studio"}
