"""The studio asked whatever its own description allows, and more; uploads cut anywhere; kills at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_requests import calls, require_described
from studio_app import PATIENCE, Running, encoded, make_folder, running
from test_studio_jobs import process_of

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


def test_uploads_cut_anywhere_leave_nothing_and_arrive_whole_at_last(tmp_path: Path) -> None:
    chance = random.Random(0)
    images = [encoded(number, side=40 + 20 * number) for number in range(6)]
    with running(tmp_path) as app:
        number = app.api("POST", "/api/data", {"name": "cut"})["number"]
        home = app.studio.data.get(number).home
        head = (f"PUT /api/data/{number}/files/cup?name=%d.png HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n"
                f"Cookie: {app.cookie}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: %d\r\n\r\n")  # fmt: skip
        for place, image in enumerate(images):
            whole = (head % (place, len(image))).encode() + image
            for _ in range(5):
                cut = chance.choice((chance.randrange(1, len(whole)), len(whole) - 1, len(whole) - len(image)))
                with socket.create_connection(("127.0.0.1", app.port), PATIENCE) as connection:
                    connection.sendall(whole[:cut])
                    if chance.random() < 0.5:  # reset, as by a network that breaks
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            app.until(lambda: app.studio.uploads._open == 0)
            assert not [one for one in home.rglob("*") if one.is_file() and str(place) in one.name.split("-")[0]]
            assert not list(tmp_path.rglob("*.part"))
            assert app.upload(number, "cup", image, f"{place}.png").status == 200
            repeated = app.upload(number, "cup", image, f"{place}.png")
            assert repeated.status == 200 and repeated.json["known"]
        found = {hashlib.sha256(one.read_bytes()).digest() for one in (home / "cup").iterdir()}
        assert found == {hashlib.sha256(one).digest() for one in images} and len(list((home / "cup").iterdir())) == 6


CHOICES = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": "30", "train.batch": "4", "seed": "3",
           "checkpoint.steps": "1", "checkpoint.seconds": "none"}  # fmt: skip


class _Killing:
    """A training that is killed again and again, and decisions that are made meanwhile. run: its name."""

    def __init__(self, home: Path, run: str, chance: random.Random) -> None:
        self.home, self.run, self.chance, self.kills, self.decided = home, run, chance, 0, 0
        self.path = home / "runs" / run

    def train(self, moments: list[int]) -> None:
        """Train to the end. moments: epochs, in order, after which a kill comes, sooner or later."""
        begun = False
        while not (self.path / "model.safetensors").is_file():
            with process_of(self.home) as (server, app):
                if not begun:
                    for name in ("shades", "others"):
                        app.api("POST", "/api/data", {"path": name})
                    app.api("POST", "/api/data/1/train", {"name": self.run, "choices": CHOICES})
                begun = True
                assert app.get("/data/2/decisions.csv").text.count(",keep") == self.decided
                while moments and not self._done_by(app, moments.pop(0)) and not self._killed(server, app):
                    app.api("POST", f"/api/runs/{self.run}/resume", {})
                if server.poll() is None and not moments:
                    assert app.ended(self.run)["state"] == "done"

    def _done_by(self, app: Running, moment: int) -> bool:
        """Whether the training ended before the moment came."""
        log = self.path / "log.jsonl"
        done = self.path / "model.safetensors"
        app.until(lambda: done.is_file() or (log.is_file() and log.read_text().count('"event": "epoch"') >= moment))
        return done.is_file()

    def _killed(self, server: subprocess.Popen[str], app: Running) -> bool:
        """Kill the server, the job, or both; returns whether the server was."""
        word = app.get("/data/2").text.partition('data-word="')[2].partition('"')[0]
        app.api("POST", "/api/data/2/decisions", {"word": word, "images": [self.decided], "decision": "keep"})
        self.decided += 1
        folder = self.home / ".studio" / "jobs" / str(app.api("GET", f"/api/runs/{self.run}")["job"])
        victims = self.chance.choice(("server", "job", "both"))
        app.until(lambda: (folder / "running.json").is_file())
        if victims != "job":
            server.send_signal(signal.SIGKILL)
            server.wait()
        if victims != "server":
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.killpg(read_json(folder / "running.json")["group"], signal.SIGKILL)
            app.until(lambda: not is_locked(folder / "stderr"))
        self.kills += 1 + (victims == "both")
        return victims != "job"


@pytest.mark.slow
def test_a_kill_of_the_server_or_of_a_job_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    chance, kills, found = random.Random(0), 0, []
    for number in range(100):
        home = tmp_path / str(number)
        make_folder(home / "shades", 12)
        make_folder(home / "others", 12)
        killing = _Killing(home, "run", chance)
        killing.train(sorted(chance.sample(range(1, 28), 6)) if number else [])
        kills += killing.kills
        found.append(read(home / "runs" / "run" / "model.safetensors").tensors)
        if kills >= 30:
            break
    assert kills >= 30
    for tensors in found:
        assert tensors.keys() == found[0].keys() and all((tensors[name] == found[0][name]).all() for name in tensors)
