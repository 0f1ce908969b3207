"""A process that serves models on a socket: opens them, runs uvicorn, stops when requests in flight are answered."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from striate.errors import RequestError
from striate.inference.image_predictor import ImagePredictor
from striate.serving.app import Service, create_app
from striate.serving.batching import Batcher, measured_batch
from striate.serving.bodies import Bodies
from striate.serving.connections import bounded
from striate.serving.guard import Access, Guard
from striate.serving.limits import Limits
from striate.serving.metrics import Metrics

BACKLOG = 2048  # connections that the system holds until they are accepted


@dataclass(frozen=True)
class Settings:
    """What a server is besides its models. certfile, keyfile: of TLS; "" for plain HTTP. version: of this program."""

    access: Access
    version: str
    certfile: str = ""
    keyfile: str = ""
    limits: Limits = field(default_factory=Limits)


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


class ModelServer:
    """Models behind a socket, in this process. Opening the engines and measuring the batches happens here.

    failed: called with a line about a request that failed for a reason of the server's.
    """

    def __init__(
        self,
        predictors: Mapping[str, ImagePredictor],
        listening: socket.socket,
        settings: Settings,
        failed: Callable[[str], None] = lambda line: None,
    ) -> None:
        limits, self._listening = settings.limits, listening
        self.metrics = Metrics()
        self._decoders = ThreadPoolExecutor(limits.decoders, "decoder")
        batchers = [
            Batcher(name, one, measured_batch(one), self._decoders, limits, self.metrics)
            for name, one in predictors.items()
        ]
        self.service = Service(batchers, Bodies(limits), self.metrics, settings.version)
        app = Guard(create_app(self.service), settings.access, self.metrics, failed)
        config = uvicorn.Config(
            app, http=bounded(limits), ws="none", lifespan="off", log_config=None, log_level="critical",
            access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.grace_seconds, backlog=BACKLOG,
        )  # fmt: skip
        config.load()
        config.ssl = _tls(settings)
        self._server = _Server(config)

    def run(self) -> None:
        """Serve until `stop`, or, on the main thread, a signal; then answer the requests in flight."""
        with threadpool_limits(1, user_api="blas"):  # the head's products are small
            self._server.run([self._listening])
        self._decoders.shutdown(wait=False, cancel_futures=True)
        for batcher in self.service.batchers:
            batcher.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        """Let `run` end; from any thread."""
        self.service.ready = False
        self._server.should_exit = True

    @contextlib.contextmanager
    def in_background(self) -> Iterator[None]:
        """Serve on a thread within the `with` block."""
        thread = threading.Thread(target=self.run, name="server")
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()


class _Server(uvicorn.Server):
    """uvicorn's server, whose process goes on after a signal has stopped it: there is an answer to print."""

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
        self.force_exit, self.should_exit = self.should_exit, True


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.certfile:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile or None, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise RequestError(
            f"the certificate {settings.certfile!r} with the key {settings.keyfile or settings.certfile!r} cannot be "
            f"used: {reason}; they are PEM files, the key without a password"
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")
