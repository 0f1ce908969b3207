"""The studio in a folder of a stranger: nothing in it is run, and nothing in it leads out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from studio_app import PATIENCE, Running, encoded, make_folder, running

from striate.errors import RequestError
from striate.learning.run_folder import LOG
from striate.recipe import Recipe
from striate.studio import jobs
from striate.studio.index import Index
from striate.studio.jobs import NOT_OURS
from striate.studio.login import Logins
from striate.studio.runner import EXIT, JOB
from striate.studio.signing import Signer
from striate.web.guard import Site

ODD = "odd; touch x"  # a run, or a folder, whose name is a command in a shell


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    base = tmp_path_factory.mktemp("strangers")
    home, root = base / "home", base / "root"
    make_folder(root / "shades", 2)
    make_folder(root / ODD, 2)
    own = home / ".studio"
    waiting = ["train", "--out", str(base / "evil")], ["audit", "shades", "--fix-list=/evil"], ["nets"], "train", [1]
    for number, arguments in enumerate(waiting, 1):
        folder = own / "jobs" / str(number)
        folder.mkdir(parents=True)
        told = {"kind": "train", "arguments": arguments, "shown": "", "run": "../../evil", "data": "x"}
        (folder / JOB).write_text(json.dumps(told))
    (own / "jobs" / "9").mkdir()
    (own / "jobs" / "9" / JOB).write_text(json.dumps({"kind": "audit", "arguments": ["audit", "x"], "shown": ""}))
    (own / "jobs" / "9" / "stderr").write_text('{"event": "bar", "bar": []}\n{"event": "bar", "bar": {}}\n[[[[\n')
    for number, path, made in ((1, "--fix-list=/evil", False), (2, str(base), False), (3, "a\0b", True)):
        folder = own / "data" / str(number)
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps({"name": "evil", "path": path, "made": made}))
    lines = '{"n": 1, "time": "x"}\n{"n": 2, "undo": []}\n{"n": 3, "images": ["a"], "decision": ["drop"]}\n'
    (own / "data" / "1" / "decisions.jsonl").write_text(lines)
    run = home / "runs" / ODD
    run.mkdir(parents=True)
    large = "9" * 400  # no float is as large
    (run / LOG).write_text(
        f'{{"event": "epoch", "accuracy": {large}, "epoch": null, "loss": 0.5}}\n{{"event": "epoch", "loss": "x"}}\n'
        f'{{"event": "done", "accuracy": {large}}}\n'
    )
    with running(home, root) as found:
        yield found
        assert [line for line in found.said if "another browser" not in line] == []
        assert not (base / "evil").exists()


def test_modules_in_the_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("striate.py", "subprocess.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit(77)\n")
    (tmp_path / JOB).write_text('{"arguments": ["recipe", "keys", "--no-such-option"]}')
    command = [sys.executable, *jobs.RUNNER, str(tmp_path)]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert json.loads((tmp_path / EXIT).read_text())["code"] == 2  # of an unknown option, not 77


def test_jobs_that_the_studio_did_not_make_are_not_run(app: Running) -> None:
    app.until(lambda: all(app.api("GET", f"/api/jobs/{number}")["state"] == "failed" for number in range(1, 6)))
    told = app.api("GET", "/api/jobs/1")
    assert told["error"] == NOT_OURS and told["run"] == "" and told["data"] == 0
    assert app.get("/").status == 200


def test_an_interrupted_run_of_a_stranger_waits_for_a_person(tmp_path: Path) -> None:
    home, own = tmp_path / "home", Path(os.environ["XDG_STATE_HOME"]) / "striate" / "studio.key"
    make_folder(home / "shades", 2)
    make_folder(tmp_path / "private", 2)
    for name, data in (("run-1", "shades"), ("run-2", str(tmp_path / "private")), ("run-3", "shades")):
        (home / "runs" / name / "checkpoints").mkdir(parents=True)
        (home / "runs" / name / LOG).write_text('{"event": "plan"}\n')
        (home / "runs" / name / "recipe.toml").write_text(Recipe().updated({"data.path": data}).toml())
        (home / "runs" / name / "checkpoints" / "1.safetensors").write_bytes(b"")

    def job(number: int, facts: dict[str, Any]) -> None:
        folder = home / ".studio" / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / JOB).write_text(json.dumps(facts))
        (folder / "stderr").touch()

    resume = {"kind": "train", "arguments": ["train", "--resume", "runs/run-1"], "shown": "", "data": 0}
    ours = Signer(home).signed(3, resume | {"run": "run-3"}, {})
    forged = [resume | {"run": "run-1"}, resume | {"run": "run-2", "signature": "0" * 64, "files": {}},
              ours | {"run": "run-1"}]  # fmt: skip
    for number, facts in ((1, forged[0]), (2, forged[1]), (3, ours), (4, forged[2]), (5, ours | {"run": "run-2"})):
        job(number, facts)
    found = jobs.Jobs(home, Index(tmp_path / "index"), lambda facts: None, lambda run: True, lambda run: False)
    assert [(one.number, one.ours) for one in found.all()] == [(n, n == 3) for n in range(1, 6)]
    found.start()
    found.close()
    assert [(one.run, one.shown) for one in found.all()[5:]] == [("run-3", "striate train --resume runs/run-3")]
    assert own.stat().st_mode & 0o777 == 0o600 and not list(own.parent.glob(".*"))
    own.write_bytes(b"k" * 32)  # of another user, or another machine
    again = jobs.Jobs(home, Index(tmp_path / "index"), lambda facts: None, lambda run: True, lambda run: False)
    assert not any(one.ours for one in again.all()) and again.resume("run-1").ours  # a person asked for it
    shutil.rmtree(home / ".studio")
    for number, facts in ((1, forged[0]), (2, forged[1])):
        job(number, facts)
    with running(home, home) as stranger:
        for name in ("run-1", "run-2"):
            assert stranger.api("GET", f"/api/runs/{name}")["state"] == "interrupted"
            assert ">Resume<" in stranger.get(f"/runs/{name}").text
        refused = stranger.ask("POST", "/api/runs/run-2/resume", {})
        assert refused.status == 400 and "is not below the root of this studio" in refused.error
        (home / "runs" / "run-1" / "split.csv").symlink_to(tmp_path / "private" / "secrets")
        refused = stranger.ask("POST", "/api/runs/run-1/resume", {})
        assert refused.status == 400 and "split.csv' is a link" in refused.error
        assert len(stranger.studio.jobs.all()) == 2


def test_data_outside_the_root_are_told_of_and_not_opened(app: Running) -> None:
    for number in (1, 2, 3):
        assert "not below the root" in app.api("GET", f"/api/data/{number}")["error"], number
        assert app.get(f"/data/{number}").status == 200
        for call in ("audit", "train", "command"):
            assert app.ask("POST", f"/api/data/{number}/{call}", {}).status == 400
        assert app.upload(number, "dark", encoded(1)).status == 409


def test_a_link_in_the_place_of_opened_data_is_not_followed(app: Running, tmp_path: Path) -> None:
    folder = make_folder(app.studio.root / "swapped", 2)
    number = app.api("POST", "/api/data", {"path": "swapped"})["number"]
    make_folder(tmp_path / "outside" / "secret", 1)
    folder.rename(tmp_path / "gone")
    folder.symlink_to(tmp_path / "outside" / "secret")
    assert "not below the root" in app.api("GET", f"/api/data/{number}")["error"]
    assert "dark" not in app.get(f"/data/{number}").text


def test_links_among_the_studios_own_files_are_refused_and_nothing_is_written_through_them(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    outside.write_text("mine")
    folder = home / ".studio" / "jobs" / "1"
    folder.mkdir(parents=True)
    (folder / JOB).write_text(json.dumps({"kind": "audit", "arguments": ["audit", "x"], "shown": ""}))
    (folder / EXIT).symlink_to(outside)
    with pytest.raises(RequestError, match=r"exit.json' is a link: .*remove it"), running(home, home):
        pass
    assert outside.read_text() == "mine"
    (folder / EXIT).unlink()
    with running(home, home) as found:
        found.until(lambda: found.api("GET", "/api/jobs/1")["state"] == "failed")


def test_links_in_made_data_lead_no_upload_out(app: Running, tmp_path: Path) -> None:
    number = app.api("POST", "/api/data", {"name": "linked"})["number"]
    home = app.studio.data.get(number).home
    (home / "cup").symlink_to(tmp_path)
    (home / "train").symlink_to(tmp_path)
    for class_, part in (("cup", ""), ("new", "train")):
        assert app.ask("PUT", f"/api/data/{number}/files/{class_}?part={part}", encoded(1)).status == 403
    assert not list(tmp_path.iterdir())


def test_what_is_refused_makes_no_class_and_equal_uploads_are_one(app: Running) -> None:
    number = app.api("POST", "/api/data", {"name": "equal"})["number"]
    assert app.upload(number, "none", b"no image").status == 415
    senders = [threading.Thread(target=app.upload, args=(number, "cup", encoded(3), f"{n}.png")) for n in range(8)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    home = app.studio.data.get(number).home
    assert [one.name for one in home.iterdir()] == ["cup"] and len(list((home / "cup").iterdir())) == 1


def test_command_lines_that_are_shown_are_quoted(app: Running) -> None:
    number = app.api("POST", "/api/data", {"path": ODD})["number"]
    path = f"&#39;{app.studio.root}/{ODD}&#39;"
    for page in (f"/data/{number}?tab=decisions", f"/data/{number}/fix", f"/train?data={number}"):
        assert path in app.get(page).text, page
    assert app.api("GET", f"/api/runs/{quote(ODD)}")["shown"] == f"striate compare 'runs/{ODD}'"


def test_numbers_that_are_none_stop_no_page(app: Running) -> None:
    for page in ("/", f"/runs/{quote(ODD)}", f"/runs/{quote(ODD)}/curves"):
        assert app.get(page).status == 200, page
    assert app.ask("PUT", "/api/queue", {"jobs": [10**30, 1, 1, -5]}).status == 200


def test_labels_can_be_written(app: Running) -> None:
    number = app.api("POST", "/api/data", {"path": "shades"})["number"]
    word = app.studio.data.get(number).listed().word
    for label in ("+" + "x" * 300, "+\ud800", "+a\nb"):
        wanted = {"word": word, "images": [0], "decision": "relabel", "to": label}
        assert app.ask("POST", f"/api/data/{number}/decisions", wanted).status == 400, label
    assert app.ask("GET", f"/data/{number}/decisions.csv").status == 200
    assert app.ask("GET", f"/data/{number}/pictures/{word}/0?side={10**30}").status == 400


def test_a_log_in_is_short(app: Running) -> None:
    assert app.ask("POST", "/login", b"token=" + b"x" * 20_000, {"Cookie": ""}).status == 413
    assert app.ask("POST", "/login", b"token=x", {"Cookie": ""}).status == 401


def test_a_connection_queues_few_requests(app: Running) -> None:
    one = f"GET /static/page.js HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\n\r\n".encode()
    for count, answered in ((30, True), (3000, False)):
        with socket.create_connection(("127.0.0.1", app.port), PATIENCE) as connection:
            found = b""
            with contextlib.suppress(ConnectionError):
                connection.sendall(one * count)
                while found.count(b"HTTP/1.1 200") < count and (more := connection.recv(2**16)):
                    found += more
            assert (found.count(b"HTTP/1.1 200") == count) == answered


def test_cookies_of_others_log_nobody_out() -> None:
    logins = Logins(Site(frozenset({"localhost"})), 80)
    session = logins.exchange(logins.token)
    for cookies in ('a={"b": "c d"}; striate-80={}; c="\\', "striate-80=evil; striate-80={}", "\x01;;=;striate-80={}"):
        assert logins._has_session(cookies.replace("striate-80={}", f"striate-80={session}")), cookies
    for cookies in ("", "striate-80=", f"striate-81={session}", f"x=striate-80={session}"):
        assert not logins._has_session(cookies)
