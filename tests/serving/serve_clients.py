"""Clients for the tests of `striate serve`, a predictor that waits to be let go, and servers in this process."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scenes import scene
from web_clients import Answer

from striate.inference.image_predictor import ImagePredictor, Row
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Images, Pixels
from striate.serving.answers import Answers
from striate.serving.predicted import Predicted
from striate.serving.server import ModelServer, Settings
from striate.tasks import Classification
from striate.web.guard import LOOPBACK, Access, Site
from striate.web.limits import Limits
from striate.web.process import listen

PATIENCE = 20.0  # seconds, after which a test fails that waits
LOCAL = Access(Site(frozenset(LOOPBACK)))


def model_of(seed: int = 0) -> Model:
    """lenet5_plain with random weights, for 3 classes."""
    torch.manual_seed(seed)
    net = create("lenet5_plain", classes=3)
    tensors, aliases = arrays_of(net)
    pixels = Pixels(32, 32, 1, mean=(120.0,), std=(60.0,))
    task = Classification(("ants", "bees", "<script>alert(1)</script>"))
    return Model("lenet5_plain", net.options, task, pixels, tensors, "head", aliases=aliases,
                 metrics={"precision": "float32"})  # fmt: skip


def encoded(number: int, form: str = "JPEG") -> bytes:
    """An image file."""
    file = io.BytesIO()
    scene(number % 2, number).save(file, form)
    return file.getvalue()


@dataclass
class Running:
    """A server in this process."""

    server: ModelServer
    port: int
    said: list[str] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}), **more)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def predict(self, image: bytes, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """POST /predict."""
        return self.ask("POST", f"/predict{query}", image, headers)

    def raw(self, content: bytes) -> socket.socket:
        """A connection on which bytes were sent, as they are."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        connection.sendall(content)
        return connection

    def until(self, reached: Any) -> None:
        """Wait until something about the server is so; it changes on another thread."""
        turn = threading.Event()
        for _ in range(int(PATIENCE / 0.01)):
            if reached():
                return
            turn.wait(0.01)
        raise AssertionError("it never came to that")


@contextmanager
def running(
    models: Mapping[str, ImagePredictor | Answers], limits: Limits | None = None, access: Access = LOCAL
) -> Iterator[Running]:
    """A server of models on a free port, on a thread; predictors predict."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    said: list[str] = []
    served = {name: one if isinstance(one, Answers) else Predicted(one) for name, one in models.items()}
    server = ModelServer(served, listening, Settings(access, "0", limits=limits or Limits()), said.append)
    with server.in_background():
        yield Running(server, port, said)


class Gated(Predictor):
    """A predictor whose engine, once closed, runs when it is let go. ran: images."""

    def __init__(self) -> None:
        super().__init__(model_of(), engine="torch")
        self.entered, self.open, self.ran = threading.Event(), threading.Event(), 0
        self.open.set()

    def close(self) -> None:
        self.open.clear()
        self.entered.clear()
        self.ran = 0

    def rows(self, crops: Images) -> list[Row]:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        self.ran += len(crops)
        return super().rows(crops)


def later(work: Any) -> tuple[threading.Thread, list[Any]]:
    """Work on a thread: it, and where its result will be."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def probabilities(told: Mapping[str, float]) -> np.ndarray:
    """The probabilities of an answer of /predict."""
    return np.array(list(told.values()), np.float32)
