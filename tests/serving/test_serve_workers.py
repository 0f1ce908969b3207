"""Several processes behind one port: they answer, one that dies is replaced, and a signal stops them all."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import signal
import threading
import urllib.request

import pytest
from PIL import Image
from plain_worker import dying, failing, opening

from striate.errors import WorkError
from striate.serving import workers as workers_room
from striate.serving.workers import Workers
from striate.web.process import listen

PATIENCE = 20.0


def image(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


def test_workers_share_a_port_and_one_that_dies_is_replaced() -> None:
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    said: list[str] = []
    replaced, found = threading.Event(), []

    def say(line: str) -> None:
        said.append(line)
        replaced.set()

    def visit() -> None:
        try:
            first = multiprocessing.active_children()
            assert len(first) == 2 and first[0].pid is not None
            os.kill(first[0].pid, signal.SIGKILL)
            assert replaced.wait(PATIENCE)
            for shade in (0, 255, 0):
                with urllib.request.urlopen(f"{address}/predict", image(shade), timeout=PATIENCE) as answer:
                    found.append(json.load(answer)["label"])
            with urllib.request.urlopen(f"{address}/metrics", timeout=PATIENCE) as answer:
                found.append(re.search(r"^striate_images_total\S* (\S+)$", answer.read().decode(), re.MULTILINE)[1])  # type: ignore[index]
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    visitor = threading.Thread(target=visit)
    pool = Workers(2, opening, listening, say)
    pool.run(visitor.start)
    visitor.join(PATIENCE)
    listening.close()
    assert found == ["dark", "light", "dark", "3.0"]
    assert said == ["a worker ended unexpectedly (exit code -9); another one is started"]
    assert pool.answered == 4 and multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_that_cannot_start_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_room, "RESTARTS", 2)
    listening = listen("127.0.0.1", 0)
    with pytest.raises(WorkError, match="the workers die before they are ready"):
        Workers(1, dying, listening, lambda line: None).run(lambda: None)
    with pytest.raises(WorkError, match="a worker cannot open the models: KeyError: 'odd'"):
        Workers(1, failing, listening, lambda line: None).run(lambda: None)
    listening.close()
