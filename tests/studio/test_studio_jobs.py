"""Jobs, decisions, events and the index of the studio: told by what is on the disk, and not lost."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from studio_app import PATIENCE, Running, make_folder, running

from striate.data.audit.decisions import read_decisions
from striate.errors import RequestError
from striate.storage import state_root
from striate.studio.decisions import Journal
from striate.studio.files import locked_for_append
from striate.studio.index import Index
from striate.studio.jobs import Jobs
from striate.studio.signing import Signer


def test_the_state_of_a_job_is_what_is_on_the_disk(tmp_path: Path) -> None:
    held = []
    wanted = {
        1: ("waiting", {}, "", False),
        2: ("done", {"exit.json": '{"code": 0}', "stderr": ""}, "", False),
        3: ("failed", {"exit.json": '{"code": 2}', "stderr": ""}, "", False),
        4: ("stopped", {"exit.json": '{"code": 143}', "stderr": ""}, "half", False),
        5: ("interrupted", {"exit.json": '{"code": -9}', "stderr": ""}, "half", False),
        6: ("failed", {"exit.json": '{"code": -9}', "stderr": ""}, "", False),
        7: ("running", {"stderr": ""}, "half", True),
        8: ("interrupted", {"stderr": ""}, "half", False),
        9: ("stopped", {"stderr": "", "stopped": ""}, "half", False),
        10: ("done", {"stderr": ""}, "whole", False),
        11: ("lost", {"stderr": ""}, "", False),
        12: ("lost", {"stderr": "", "exit.json": '{"code": '}, "", False),
    }  # fmt: skip
    for number, (_, files, run, locked) in wanted.items():
        folder = tmp_path / ".studio" / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"kind": "train", "arguments": [], "shown": "", "run": run}))
        for name, text in files.items():
            (folder / name).write_text(text)
        if locked:
            held.append(locked_for_append(folder / "stderr"))
    jobs = Jobs(
        tmp_path, Index(tmp_path / "i"), lambda facts: None, lambda run: run == "half", lambda run: run == "whole"
    )
    assert {job.number: jobs.state(job) for job in jobs.all()} == {n: state for n, (state, *_) in wanted.items()}
    for file in held:
        file.close()
    assert jobs.state(jobs.get(7)) == "interrupted"  # its process is gone


def test_only_what_was_interrupted_last_is_resumed_when_the_studio_starts(tmp_path: Path) -> None:
    for number, run, marks in ((1, "a", ()), (2, "a", ("stopped",)), (3, "b", ()), (4, "b", ())):
        folder = tmp_path / ".studio" / "jobs" / str(number)
        folder.mkdir(parents=True)
        facts = {"kind": "train", "arguments": [], "shown": "", "run": run}
        (folder / "job.json").write_text(json.dumps(Signer(tmp_path).signed(number, facts, {})))
        for name in ("stderr", *marks):
            (folder / name).touch()
    jobs = Jobs(tmp_path, Index(tmp_path / "index"), lambda facts: None, lambda run: True, lambda run: False)
    jobs.start()
    jobs.close()
    assert [(job.run, job.shown) for job in jobs.all()[4:]] == [("b", "striate train --resume ./b")]


def test_trainings_wait_in_an_order_that_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.studio.jobs.devices", lambda: ("",))
    index, started = Index(tmp_path / "index"), []
    jobs = Jobs(tmp_path, index, started.append, lambda run: False, lambda run: False)
    first, second, third, _ = [
        jobs.add(kind, [*words], "shown", run=name)
        for kind, words, name in (("train", ["recipe", "seed"], "a"), ("train", ["nothing"], "b"),
                                  ("train", ["recipe", "seed"], "c"), ("audit", ["recipe", "seed"], "d"))
    ]  # fmt: skip
    jobs.order([third.number, first.number, second.number])
    jobs.stop(first)  # out of the queue
    assert [job.run for job in jobs.waiting()] == ["c", "b", "d"] and jobs.known_state(first) == "stopped"
    again = Jobs(tmp_path, index, started.append, lambda run: False, lambda run: False)  # as after a restart
    assert [job.run for job in again.waiting()] == ["c", "b", "d"]
    app = Running(None, 0)  # type: ignore[arg-type]
    again.start()
    app.until(lambda: not again.waiting() and all(again.known_state(job) != "running" for job in again.all()))
    again.close()
    begun = [facts["run"] for facts in started if facts.get("state") == "running"]
    assert [name for name in dict.fromkeys(begun) if name != "d"] == ["c", "b"] and "d" in begun
    states = {job.run: again.known_state(job) for job in again.all()}
    assert states == {"a": "stopped", "b": "failed", "c": "done", "d": "done"}
    assert "unknown verb 'nothing'" in again.get(second.number).following.error
    assert json.loads((third.folder / "stdout").read_text())["keys"]


def test_jobs_wait_while_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left, said = subprocess.Popen, [OSError(12, "Cannot allocate memory")] * 3, list[str]()

    def popen(*given: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return real(*given, **named)

    monkeypatch.setattr("striate.studio.jobs.subprocess.Popen", popen)
    nothing = (lambda facts: None), (lambda run: False), (lambda run: False)
    jobs = Jobs(tmp_path, Index(tmp_path / "index"), *nothing, failed=said.append)
    job = jobs.add("audit", ["recipe", "seed"], "shown", run="a")
    jobs.start()
    Running(None, 0).until(lambda: jobs.known_state(job) == "done")  # type: ignore[arg-type]
    jobs.close()
    assert said == ["jobs wait: Cannot allocate memory"] and not left


def test_a_damaged_key_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    key = state_root() / "studio.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"short")
    facts = Signer(tmp_path).signed(1, {"kind": "train"}, {})
    assert Signer(tmp_path).is_ours(1, facts, tmp_path) and len(key.read_bytes()) == 32


class Begun:
    """A process that a test ends: it holds the lock of the job, as a real one does."""

    def __init__(self, command: list[str], *, env: dict[str, str] | None, stderr: Any, **rest: Any) -> None:
        self.folder, self.device = Path(command[-1]), (env or {}).get("CUDA_VISIBLE_DEVICES", "")
        self.pid, self.returncode, self._held = 2**22 + 1, None, os.dup(stderr.fileno())

    def poll(self) -> int | None:
        return self.returncode

    def end(self) -> None:
        (self.folder / "exit.json").write_text('{"code": 0}')
        os.close(self._held)
        self.returncode = 0


@pytest.mark.parametrize(("visible", "gpus", "named"), [("", 0, [""]), ("", 2, ["0", "1"]), ("5,3", 2, ["5", "3"])])
def test_a_device_trains_one_at_a_time(
    visible: str, gpus: int, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("striate.studio.devices.gpu_count", lambda: gpus)
    begun: list[Begun] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **more: begun.append(Begun(*given, **more)) or begun[-1])

    def opened() -> Jobs:
        return Jobs(tmp_path, Index(tmp_path / "index"), lambda facts: None, lambda run: False, lambda run: False)

    jobs = opened()
    for kind in ("train", "audit", "train", "train", "audit"):
        jobs.add(kind, [kind], "shown")
    for _ in range(3):  # looks
        jobs._look()
    assert [(one.folder.name, one.device) for one in begun] == [("1", named[0]), ("2", ""), ("3", named[-1])][
        : 1 + len(named)
    ]
    for one in begun:  # as the runner writes it
        (one.folder / "running.json").write_text(json.dumps({"group": 0, "device": one.device}))
    jobs = opened()  # as after a restart: they run, and their devices are taken
    jobs._look()
    assert len(begun) == 1 + len(named)
    begun[0].end()
    jobs._look()
    assert begun[-1].device == named[0] and begun[-1].folder.name == str(2 + len(named))
    for one in begun[1:]:
        one.end()


def test_decisions_are_kept_undone_and_written_as_a_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "decisions.jsonl")
    journal.decide(["a.png", "b.png"], "drop")
    journal.decide(["a.png"], "relabel", "bees")
    journal.decide(["c.png"], "keep")
    for wrong in (("burn", ""), ("drop", "bees"), ("relabel", ""), ("move", "bees")):
        with pytest.raises(RequestError):
            journal.decide(["a.png"], *wrong)
    with open(journal.path, "ab") as file:
        file.write(b'{"n": 9, "images": ["lost.png"], "deci')  # torn by a power cut
    again = Journal(journal.path)
    assert {image: (one.decision, one.to) for image, one in again.current().items()} == {
        "c.png": ("keep", ""), "a.png": ("relabel", "bees"), "b.png": ("drop", "")}  # fmt: skip
    assert [again.undo().decision for _ in range(2)] == ["keep", "relabel"]  # type: ignore[union-attr]
    again.decide(["d.png"], "move", "val")
    assert Journal(journal.path).made() == again.made() and again.last == 6
    again.compact(tmp_path / "decisions.csv")
    found = read_decisions(tmp_path / "decisions.csv")
    assert {image: one.kind for image, one in found.items()} == {"a.png": "drop", "b.png": "drop", "d.png": "move"}
    assert [again.undo() is None for _ in range(3)] == [False, False, True]


class Listener:
    """A page that listens to events."""

    def __init__(self, app: Running, after: str = "", header: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=PATIENCE)
        headers = {"Cookie": app.cookie} | ({"Last-Event-ID": header} if header else {})
        self._connection.request("GET", f"/api/events?after={after}", headers=headers)
        self._answer = self._connection.getresponse()
        self.last = ""

    def next(self) -> dict[str, Any]:
        """The next event."""
        while True:
            line = self._answer.readline().decode().strip()
            if line.startswith("id: "):
                self.last = line[4:]
            if line.startswith("data: "):
                return dict(json.loads(line[6:]))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def test_two_tabs_agree_and_a_broken_stream_goes_on(tmp_path: Path) -> None:
    make_folder(tmp_path / "shades", 2)
    with running(tmp_path) as app:
        app.api("POST", "/api/data", {"path": "shades"})
        word = app.studio.data.get(1).listed().word
        one, other = Listener(app, app.studio.hub.last), Listener(app, app.studio.hub.last)
        decide = {"word": word, "images": [0, 2], "decision": "drop"}
        made = app.api("POST", "/api/data/1/decisions", decide)
        seen = [one.next(), other.next()]
        assert seen[0] == seen[1] and seen[0]["made"]["numbers"] == [0, 2] and seen[0]["journal"] == made["last"] == 1
        one.close()
        app.api("POST", "/api/data/1/undo")
        app.api("POST", "/api/data/1/decisions", decide | {"decision": "relabel", "to": "+grey"})
        assert app.ask("POST", "/api/data/1/decisions", decide | {"decision": "relabel", "to": "grey"}).status == 400
        back, stranger = Listener(app, header=one.last), Listener(app, after="00000000-4")  # of an earlier process
        assert [back.next()["made"]["undone"], back.next()["made"]["to"]] == [True, "+grey"]
        assert stranger.next() == {"reset": True}
        (tmp_path / "file.csv").write_bytes(app.get("/data/1/decisions.csv").body)
        found = {image: (one.kind, one.to) for image, one in read_decisions(tmp_path / "file.csv").items()}
        assert found == {"dark/0.png": ("relabel", "+grey"), "light/0.png": ("relabel", "+grey")}
        text = app.get("/data/1?tab=decisions").text
        assert "relabel +grey" in text and "undone" in text
        for listener in (other, back, stranger):
            listener.close()
    with running(tmp_path) as app:
        assert app.api("GET", "/api/data/1/decisions")["last"] == 3
        assert app.ask("POST", "/api/data/1/decisions", decide).status == 409  # the page of an earlier process


def test_the_index_is_made_anew_from_the_folders(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    lines = [{"time": 1.0, "event": "plan", "net": "lenet5", "strategy": "scratch"},
             *({"time": 2.0 + n, "event": "epoch", "epoch": n, "loss": 1.0 / n, "accuracy": 0.5} for n in (1, 2)),
             {"time": 9.0, "event": "done", "accuracy": 0.75, "seconds": 8.0}]  # fmt: skip
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "model.safetensors").write_bytes(b"")
    make_folder(tmp_path / "shades", 2)
    with running(tmp_path) as app:
        app.api("POST", "/api/data", {"path": "shades"})
        assert app.api("PUT", "/api/runs/mine/hidden", {"hidden": True})["hidden"]
        assert app.api("GET", "/api/home")["runs"] == []
    (tmp_path / ".studio" / "index.sqlite").write_bytes(b"no database" * 1000)
    with running(tmp_path) as app:
        found = app.api("GET", "/api/home")
    assert [(one["name"], one["state"], one["net"], one["result"]) for one in found["runs"]] == [
        ("mine", "done", "lenet5", "accuracy 75.0 %")
    ]
    assert [one["name"] for one in found["data"]] == ["shades"]


# The studio as a process

CODE = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError("the server called somebody")

sys.addaudithook(watch)
from striate.cli.main import main
code = main(sys.argv[1:])
print([name for name in ("torch", "onnx", "pandas", "matplotlib", "openvino") if name in sys.modules])
sys.exit(code)
"""


@contextmanager
def process_of(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Running]]:
    """`striate studio` in a process that may call nobody, and a client that is logged in."""
    command = [sys.executable, "-W", "error", "-c", CODE, "studio", str(folder), "--port", "0", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            assert "Open this address:" in process.stderr.readline()
            address = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))(/login\?token=\S+)", process.stderr.readline().strip())
            assert address
            app = Running(None, int(address[2]))  # type: ignore[arg-type]
            app.cookie = app.ask("GET", address[3]).headers["set-cookie"].partition(";")[0]
            yield process, app
        finally:
            if process.poll() is None:
                process.kill()


def test_jobs_and_decisions_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    make_folder(tmp_path / "shades", 4)
    with process_of(tmp_path) as (process, app):
        app.api("POST", "/api/data", {"path": "shades"})
        word = app.get("/data/1").text.partition('data-word="')[2].partition('"')[0]
        app.api("POST", "/api/data/1/decisions", {"word": word, "images": [1], "decision": "drop"})
        app.api("POST", "/api/data/1/audit", {})
        app.until(lambda: app.api("GET", "/api/data/1/audit")["state"] == "running")
        process.send_signal(signal.SIGKILL)
    with process_of(tmp_path) as (process, app):
        app.until(lambda: app.api("GET", "/api/data/1/audit")["state"] not in ("waiting", "running"))
        assert app.api("GET", "/api/data/1/audit")["state"] == "done"
        assert "dark/1.png,drop" in app.get("/data/1/decisions.csv").text
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and err.count("\n") == 1, err
    assert json.loads(out.splitlines()[0])["folder"] == str(tmp_path) and out.splitlines()[1] == "[]"  # nothing heavy
