"""`striate serve` on the command line: what it refuses, and a process from its start to its stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serve_clients import PATIENCE, encoded, model_of

from striate import index
from striate.inference.predictor import Predictor
from striate.model import write

# The command line with every way out of the machine shut; at the end it tells what was imported.
CODE = """
import json, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError("the server called somebody")

sys.addaudithook(watch)
from striate.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([name for name in ("torch", "onnx", "pandas", "matplotlib") if name in sys.modules]))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose graph is in the cache, as after its first use."""
    path = tmp_path_factory.mktemp("served") / "insects.safetensors"
    write(path, model_of())
    assert Predictor(model_of()).engine.name == "openvino"
    return path


def test_what_strangers_could_reach_is_refused(model: Path, tmp_path: Path, cli, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("STRIATE_TOKEN", raising=False)
    short, odd = tmp_path / "short", tmp_path / "odd"
    short.write_text("0123456789")
    odd.write_text("é" * 40)
    for words, why in (
        (("--host", "0.0.0.0"), "which takes a token (--token-file) and a certificate (--certfile)"),
        (("--host", "::"), "can be reached from other machines"),
        (("--host", "0.0.0.0", "--certfile", "c.pem"), "which takes a token (--token-file)"),
        (("--token-file", short), "has 10 characters, and could be guessed; take 32 or more"),
        (("--token-file", odd), "characters that no header can have"),
        (("--token-file", tmp_path / "none"), "cannot read the token"),
        (("--keyfile", "k.pem"), "--keyfile is the key of a certificate"),
        (("--certfile", short), "cannot be used"),
        (("--workers", 0), "workers is from 1 to 256, not 0"),
        (("--port", 70000), "cannot listen on '127.0.0.1', port 70000"),
        ((model,), "two models are named 'insects'; give one another name: NAME="),
        ((f"a={model}", f"a={model}"), "two models are named 'a'"),
        ((tmp_path / "my model.safetensors",), "is no name for an address; give the model one: NAME="),
        (("unknown_net",), "unknown_net"),
    ):
        code, out, err = cli("serve", model, *words, *(() if "--port" in words else ("--port", 0)))
        assert code == 2 and out == "" and err.count("striate: ") == 1 and why in err, (words, err)


def test_without_the_extra_it_is_named(model: Path, cli, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    code, _, err = cli("serve", model)
    assert (code, err) == (2, "striate: serving needs uvicorn; install it: pip install 'striate[serve]'\n")


@contextmanager
def served(*words: object) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A server's process, its address, and the lines on standard error so far."""
    command = [sys.executable, "-W", "error", "-c", CODE, "serve", *map(str, words), "--port", "0", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        lines: list[str] = []
        try:
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line)
                if address := re.search(r"at (http://127\.0\.0\.1:\d+);", line):
                    yield process, address[1], lines
                    return
            raise AssertionError(f"it did not start: {lines}")
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str], by: int) -> tuple[int, list[str], str]:
    """Exit code, lines of standard output and the rest of standard error, after a signal."""
    process.send_signal(by)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out.splitlines(), err


def ask(address: str, body: bytes | None = None) -> dict[str, object]:
    with urllib.request.urlopen(urllib.request.Request(address, body), timeout=PATIENCE) as answer:
        return dict(json.loads(answer.read()))


def test_a_process_imports_no_torch_calls_nobody_and_stops_gently(model: Path, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(encoded(1))
    index(tmp_path / "1.jpg", out=tmp_path / "photos.index", net=model)
    things = (model, f"other={model}", tmp_path / "photos.index")
    with served(*things, "--progress", "jsonl") as (process, address, lines):
        assert [json.loads(line)["event"] for line in lines] == ["stage", "message"]
        assert ask(f"{address}/predict?model=other", encoded(1))["model"] == "other"
        assert ask(f"{address}/predict?model=photos", encoded(1))["label"] == "1.jpg"
        assert ask(f"{address}/v2/health/ready") == {"ready": True}
        code, out, err = stopped(process, signal.SIGTERM)
    assert code == 0 and err == ""
    told = json.loads(out[0])
    assert told == {"url": address, "models": ["insects", "other", "photos"], "requests": 3}
    assert json.loads(out[1]) == []  # no torch, and nothing else that is heavy


@pytest.mark.slow
def test_workers_of_the_command_line(model: Path) -> None:
    with served(model, "--workers", "2") as (process, address, _):
        workers = children(process.pid)
        assert len(workers) == 2
        assert not any("libtorch" in Path(f"/proc/{worker}/maps").read_text() for worker in workers)
        os.kill(workers[0], signal.SIGKILL)
        assert process.stderr is not None
        assert "a worker ended unexpectedly (exit code -9); another one is started" in process.stderr.readline()
        labels = {ask(f"{address}/predict", encoded(1))["label"] for _ in range(4)}
        assert len(labels) == 1
        code, out, err = stopped(process, signal.SIGINT)
    assert code == 0 and err == "" and json.loads(out[0])["requests"] == 4


def children(pid: int) -> list[int]:
    """The processes that `multiprocessing` started as workers."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in listed if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]
