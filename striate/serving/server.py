"""A process that serves models on a socket: opens them, and stops when requests in flight are answered."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from striate.serving.admission import Admission
from striate.serving.answers import Answers
from striate.serving.app import Service, create_app
from striate.serving.batching import Batcher
from striate.serving.metrics import Metrics
from striate.web.bodies import Bodies
from striate.web.guard import Access, Guard
from striate.web.limits import Limits
from striate.web.process import Server, on_a_thread


@dataclass(frozen=True)
class Settings:
    """What a server is besides its models. certfile, keyfile: of TLS; "" for plain HTTP. version: of this program."""

    access: Access
    version: str
    certfile: str = ""
    keyfile: str = ""
    limits: Limits = field(default_factory=Limits)


class ModelServer:
    """Models behind a socket, in this process. Opening the engines and measuring the batches happens here.

    failed: called with a line about a request that failed for a reason of the server's.
    """

    def __init__(
        self,
        models: Mapping[str, Answers],
        listening: socket.socket,
        settings: Settings,
        failed: Callable[[str], None] = lambda line: None,
    ) -> None:
        limits = settings.limits
        self.metrics = Metrics()
        self._decoders = ThreadPoolExecutor(limits.decoders, "decoder")
        batchers = [Batcher(name, one, self._decoders, limits, self.metrics) for name, one in models.items()]
        for one in models.values():
            one.forget_weights()
        self.service = Service(batchers, Bodies(limits), self.metrics, settings.version)
        app = Guard(Admission(create_app(self.service), batchers), settings.access, self.metrics.request, failed)
        certificate = (settings.certfile, settings.keyfile)
        self._server = Server(app, listening, limits, certificate, stopping=self._not_ready)

    def run(self) -> None:
        """Serve until `stop`, or, on the main thread, a signal; then answer the requests in flight."""
        with threadpool_limits(1, user_api="blas"):  # the head's products are small
            self._server.run()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        for batcher in self.service.batchers:
            batcher.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._server.connections

    def stop(self) -> None:
        """Let `run` end; from any thread."""
        self._server.stop()

    def in_background(self) -> contextlib.AbstractContextManager[None]:
        """Serve on a thread within the `with` block."""
        return on_a_thread(self.run, self.stop)

    def _not_ready(self) -> None:
        self.service.ready = False
