"""The studio for tests: started in this process on a free port, with a client that is logged in."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image
from web_clients import Answer

import striate
from striate.studio.server import Address, opened
from striate.studio.server import Running as Opened
from striate.web.process import on_a_thread

PATIENCE = 300.0  # seconds, after which a test fails that waits
LIGHT = "light & 'bright'"  # the name of a class that is text everywhere


@dataclass
class Running:
    """A running studio. cookie: of the client that is logged in; "" logs out."""

    opened: Opened
    port: int
    cookie: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def studio(self) -> Any:
        return self.opened.studio

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own, as a page of the studio makes it. body: bytes, or a dict as JSON."""
        sent = {"Cookie": self.cookie, "Sec-Fetch-Site": "same-origin", "Origin": f"http://127.0.0.1:{self.port}"}
        if isinstance(body, dict):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        sent |= dict(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(method, path, skip_host="Host" in sent)
            content = body if isinstance(body, bytes) else b""
            for name, value in ({"Content-Length": str(len(content))} | sent).items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before all is sent
                connection.send(content)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """A page, as a browser asks for it."""
        return self.ask("GET", path, headers={"Accept": "text/html"})

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        answer = self.ask(method, path, body)
        assert answer.status == 200, answer.body
        return answer.json

    def upload(self, number: int, class_: str, content: bytes, name: str = "image.png") -> Answer:
        """Upload an image into a class."""
        return self.ask("PUT", f"/api/data/{number}/files/{quote(class_, safe='')}?name={quote(name)}", content)

    def until(self, reached: Callable[[], Any]) -> Any:
        """Wait until something is so; it changes in other processes."""
        turn = threading.Event()
        for _ in range(int(PATIENCE / 0.05)):
            if found := reached():
                return found
            turn.wait(0.05)
        raise AssertionError("it never came to that")

    def ended(self, run: str) -> dict[str, Any]:
        """The facts of a run when it has ended."""

        def look() -> dict[str, Any] | None:
            found = dict(self.api("GET", f"/api/runs/{run}"))
            return None if found["state"] in ("waiting", "running") else found

        return dict(self.until(look))


@contextmanager
def running(folder: Path, root: Path | None = None, address: Address | None = None) -> Iterator[Running]:
    """A studio of a folder, and a client that is logged in."""
    said: list[str] = []
    place = address or Address(port=0)
    with opened(folder, root, place, said.append) as made, on_a_thread(made.server.run, made.server.stop):
        found = Running(made, urlsplit(made.url).port or 0, said=said)
        answer = found.ask("GET", made.login.removeprefix(made.url))
        found.cookie = answer.headers["set-cookie"].partition(";")[0]
        yield found


def encoded(number: int, side: int = 32, shade: int = 0) -> bytes:
    """A PNG file; equal numbers give equal bytes."""
    pixels = np.random.default_rng(number).integers(0, 120, (side, side, 3), dtype=np.uint8) + np.uint8(shade)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_folder(path: Path, each: int = 12) -> Path:
    """A folder of two classes that a small net learns: dark and light noise."""
    for place, name in enumerate(("dark", "light")):
        (path / name).mkdir(parents=True)
        for number in range(each):
            (path / name / f"{number}.png").write_bytes(encoded(100 * place + number, shade=130 * place))
    return path


def trained(home: Path, data: Path, run: str, **options: object) -> None:
    """A finished run, as `striate train` in the studio's folder makes it."""
    chosen: dict[str, object] = {"strategy": "scratch", "net": "lenet5_plain", "epochs": 3, "seed": 1} | options
    striate.train(str(data), out=home / "runs" / run, **chosen)  # type: ignore[arg-type]
