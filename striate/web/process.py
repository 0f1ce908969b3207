"""A server in this process: its socket and certificate, uvicorn within our limits, a stop that answers what is open."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from striate.errors import RequestError
from striate.web.connections import bounded
from striate.web.limits import Limits

BACKLOG = 2048  # connections that the system holds until they are accepted


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises RequestError for an address that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", "") or error
        raise RequestError(f"cannot listen on {host!r}, port {port}: {why}") from error
    listening.setblocking(False)
    return listening


class Server:
    """An application behind a listening socket. certfile, keyfile: of TLS; "" for plain HTTP.

    stopping: called, on any thread, when a stop was asked for; requests in flight are answered after that.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        limits: Limits,
        certificate: tuple[str, str] = ("", ""),
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        self._listening = listening
        config = uvicorn.Config(
            app, http=bounded(limits), ws="none", lifespan="off", log_config=None, log_level="critical",
            access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.grace_seconds, backlog=BACKLOG,
        )  # fmt: skip
        config.load()
        config.ssl = _tls(*certificate)
        self._server = _Uvicorn(config, stopping)

    def run(self) -> None:
        """Serve until `stop`, or, on the main thread, a signal; then answer the requests in flight."""
        self._server.run([self._listening])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        """Let `run` end; from any thread."""
        self._server.stop()


@contextlib.contextmanager
def on_a_thread(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Let a server run on a thread within the `with` block."""
    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, whose process goes on after a signal has stopped it: there is an answer to print."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    def stop(self) -> None:
        self._stopping()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        # An ignored signal, as under nohup and in a worker, stays ignored; None is a handler not set from Python.
        before = {kind: handler for kind, handler in before.items() if handler not in (signal.SIG_IGN, None)}
        for kind in before:
            signal.signal(kind, self.handle_exit)
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops gently; a second one does not wait."""
        self.force_exit = self.should_exit
        self.stop()


def _tls(certfile: str, keyfile: str) -> ssl.SSLContext | None:
    if not certfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certfile, keyfile or None, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise RequestError(
            f"the certificate {certfile!r} with the key {keyfile or certfile!r} cannot be "
            f"used: {reason}; they are PEM files, the key without a password"
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")
