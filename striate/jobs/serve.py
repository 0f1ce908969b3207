"""Serve: the predictions of models over HTTP."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import RequestError
from striate.jobs.serve_models import Given, named_models, opened
from striate.progress import Progress
from striate.reading import TEXT, read_given

if TYPE_CHECKING:
    from striate.serving.server import ModelServer, Settings
    from striate.web.guard import Site

TOKEN = "STRIATE_TOKEN"
SHORTEST_TOKEN = 32  # characters: 128 bits even in hexadecimal
NEEDED = ("fastapi", "httptools", "prometheus_client", "uvicorn")


@dataclass(frozen=True)
class Served:
    """What a server did until it was stopped. url: where it was. models: their names. requests: answered."""

    url: str
    models: tuple[str, ...]
    requests: int


def serve(
    models: Sequence[Given],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    token_file: str | os.PathLike[str] | None = None,
    tls: tuple[str, str] | None = None,
    names: Sequence[str] = (),
    progress: Progress | None = None,
) -> Served:
    """Answer predictions over HTTP until SIGINT or SIGTERM; requests in flight are answered first.

    models: model files, run folders or nets with published weights, which predict; indexes of photographs, which are
    searched; weights of fast style nets, which paint; `Lines`, which are read. "NAME=MODEL" gives one a
    name of its own.
    host: on another address than loopback, a token and a certificate are required. port: 0 for any free one.
    workers: processes behind the port. token_file: a file with the token that requests must have; else the
    environment variable STRIATE_TOKEN. tls: the paths of a certificate and its key, PEM.
    names: by which clients may call the server, besides its address. See docs/serving.md.
    Raises RequestError for an invalid request, and without the extra `serve`.
    """
    progress = progress or Progress()
    _require_extra()
    from striate.web.process import listen

    if not 1 <= workers <= 256:
        raise RequestError(f"workers is from 1 to 256, not {workers}")
    named = named_models(models)
    settings = settings_of(host, token_file, tls, names)
    listening = listen(host, port)
    url = url_of(host, listening.getsockname()[1], secure=tls is not None)
    opening = partial(open_server, named, settings)

    def ready() -> None:
        served = f"model {next(iter(named))}" if len(named) == 1 else f"{len(named)} models: {', '.join(named)}"
        progress.say(f"Serving {served} at {url}; the API is at {url}/docs; Ctrl-C stops")

    progress.stage("open the models")
    try:
        requests = _served(workers, opening, listening, progress.say, ready)
    finally:
        listening.close()
    return Served(url, tuple(named), requests)


@contextmanager
def in_background(models: Sequence[Given]) -> Iterator[str]:
    """Serve models on a free port of this machine within the `with` block, on a thread; gives the server's address.

    Raises what `serve` raises.
    """
    _require_extra()
    from striate.web.process import listen

    listening = listen("127.0.0.1", 0)
    try:
        named, settings = named_models(models), settings_of("127.0.0.1", None, None, ())
        with open_server(named, settings, listening, lambda line: None).in_background():
            yield url_of("127.0.0.1", listening.getsockname()[1], secure=False)
    finally:
        listening.close()


def _require_extra() -> None:
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RequestError(f"serving needs {', '.join(missing)}; install it: pip install 'striate[serve]'")


def _served(
    workers: int,
    opening: Callable[[socket.socket, Callable[[str], None]], ModelServer],
    listening: socket.socket,
    said: Callable[[str], None],
    ready: Callable[[], None],
) -> int:
    """Serve until stopped; returns how many requests were answered."""
    if workers > 1:
        from striate.serving.workers import Workers

        pool = Workers(workers, opening, listening, said)
        pool.run(ready)
        return pool.answered
    server = opening(listening, said)
    ready()
    server.run()
    return server.metrics.answered


def open_server(
    named: dict[str, Given], settings: Settings, listening: socket.socket, failed: Callable[[str], None]
) -> ModelServer:
    """The models opened, behind a listening socket; in each process of a server."""
    from striate.serving.server import ModelServer

    return ModelServer({name: opened(one) for name, one in named.items()}, listening, settings, failed)


def settings_of(
    host: str, token_file: str | os.PathLike[str] | None, tls: tuple[str, str] | None, names: Sequence[str]
) -> Settings:
    """Who is answered, and how. Raises RequestError for an address that others reach, without token or certificate."""
    from striate.serving.server import Settings
    from striate.web.guard import Access

    site, token = site_of(host, token_file, tls, names)
    certificate, key = tls or ("", "")
    return Settings(Access(site, token), version("striate"), certificate, key)


def site_of(
    host: str, token_file: str | os.PathLike[str] | None, tls: tuple[str, str] | None, names: Sequence[str]
) -> tuple[Site, str]:
    """By which names a server is called, and the token that its clients need. Raises RequestError as `settings_of`."""
    from striate.web.guard import LOOPBACK, Site

    token = _token(token_file)
    local = host == "localhost" or _is_loopback(host)
    missing = [
        what for what, there in (("a token (--token-file)", token), ("a certificate (--certfile)", tls)) if not there
    ]
    if not local and missing:
        raise RequestError(
            f"{host!r} can be reached from other machines, which takes {' and '.join(missing)}; or serve on 127.0.0.1, "
            "and let a tunnel (ssh -L) lead there"
        )
    hosts = frozenset({*LOOPBACK, host.lower(), *(name.lower() for name in names)})
    return Site(hosts, any_address=not local), token


def _token(file: str | os.PathLike[str] | None) -> str:
    """The token of a file or of the environment; "" without. Raises RequestError for one that can be guessed."""
    where = f"the file {os.fspath(file)!r}" if file is not None else TOKEN
    text = read_given(Path(file), "the token", TEXT).decode("utf-8", "replace") if file is not None else None
    token = (os.environ.get(TOKEN, "") if text is None else text).strip()
    if (token or file is not None) and len(token) < SHORTEST_TOKEN:
        raise RequestError(
            f"the token in {where} has {len(token)} characters, and could be guessed; take {SHORTEST_TOKEN} or more: "
            "openssl rand -hex 32"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise RequestError(f"the token in {where} has characters that no header can have; take letters and digits")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int, *, secure: bool) -> str:
    """Where a server is."""
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
