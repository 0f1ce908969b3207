"""The studio as a process: its address with the token, its stop, after which jobs go on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import RequestError
from striate.jobs.serve import site_of, url_of
from striate.progress import Progress
from striate.reading import given_path

if TYPE_CHECKING:
    from striate.studio.studio import Studio
    from striate.web.process import Server

NEEDED = ("fastapi", "httptools", "jinja2", "uvicorn")


@dataclass(frozen=True)
class Address:
    """Where a studio listens. port: 0 for any free one. names: by which it may be called besides its address.

    token_file: a file with the token of programs; tls: a certificate and its key. As of `striate serve`.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    names: Sequence[str] = ()
    token_file: str | os.PathLike[str] | None = None
    tls: tuple[str, str] | None = None


@dataclass(frozen=True)
class Closed:
    """What a studio was: its folder, and where it listened."""

    folder: str
    url: str


def studio(
    folder: str | os.PathLike[str] = ".",
    *,
    root: str | os.PathLike[str] | None = None,
    address: Address | None = None,
    progress: Progress | None = None,
) -> Closed:
    """Serve the studio of a folder until SIGINT or SIGTERM; its jobs go on.

    root: below which existing folders may be opened as data, by default the folder.
    Raises RequestError for an invalid request, and without the extra `studio`.
    """
    progress = progress or Progress()
    address = address or Address()
    with opened(folder, root, address, progress.say) as running:
        progress.stage("serve")
        progress.say("Ctrl-C stops the studio, and its jobs go on. Open this address:")
        progress.say(running.login)  # alone, so that a terminal links the whole of it and no more
        running.server.run()
    return Closed(str(running.folder), running.url)


class Running:
    """An opened studio. url: where it is. folder: its folder."""

    def __init__(self, folder: Path, url: str, opened_studio: Studio, server: Server) -> None:
        self.folder, self.url, self.studio, self.server = folder, url, opened_studio, server

    @property
    def login(self) -> str:
        """The address that logs a browser in, once."""
        return f"{self.url}/login?token={self.studio.logins.token}"


@contextmanager
def opened(
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    address: Address | None = None,
    said: Callable[[str], None] = lambda line: None,
) -> Iterator[Running]:
    """A studio with its jobs within the `with` block; `server.run` answers. Raises as `studio` does."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RequestError(f"the studio needs {', '.join(missing)}; install it: pip install 'striate[studio]'")
    if os.name != "posix":
        raise RequestError("the studio needs Linux or macOS: its jobs outlive it by means that other systems lack")
    from striate.studio.app import create_app
    from striate.studio.login import Logins
    from striate.studio.studio import Studio
    from striate.web.limits import Limits
    from striate.web.process import Server, listen

    address = address or Address()
    home = given_path(folder, "the folder").resolve()
    if home.exists() and not home.is_dir():
        raise RequestError(f"{str(folder)!r} is a file; the studio takes a folder")
    within = given_path(root, "--root").resolve() if root is not None else home
    if root is not None and not within.is_dir():
        raise RequestError(f"the root {str(root)!r} is no folder")
    site, bearer = site_of(address.host, address.token_file, address.tls, address.names)
    listening = listen(address.host, address.port)
    try:
        port = listening.getsockname()[1]
        url = url_of(address.host, port, secure=address.tls is not None)
        logins = Logins(site, port, bearer, lambda token: said(f"For another browser: {url}/login?token={token}"))
        limits = Limits(body=2**20, held=64 * 2**20, grace_seconds=5)
        made = Studio(home, within, logins, version("striate"), limits, said)
        try:
            server = Server(create_app(made), listening, limits, address.tls or ("", ""), stopping=made.hub.close)
            made.start()
            yield Running(home, url, made, server)
        finally:
            made.close()
    finally:
        listening.close()
