"""Several processes behind one socket: started, watched, started again when one dies, stopped together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from striate.errors import StriateError, WorkError
from striate.serving.metrics import FOLDER
from striate.serving.server import ModelServer

Opening = Callable[[socket.socket, Callable[[str], None]], ModelServer]  # pickled: a function's partial
RESTARTS = 5  # processes in a row that die before they are ready, or at once


class Workers:
    """`count` processes, each with the models of its own, that accept on `listening`. `said`: lines for the user."""

    def __init__(self, count: int, opening: Opening, listening: socket.socket, said: Callable[[str], None]) -> None:
        self._count, self._opening, self._listening, self._said = count, opening, listening, said
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[Connection, BaseProcess] = {}
        self._ready: set[Connection] = set()
        self._stopping = False
        self.answered = 0

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal. Raises what a worker raises when it opens the models; WorkError if they keep dying."""
        folder = tempfile.mkdtemp(prefix="striate-metrics-")
        before, os.environ[FOLDER] = os.environ.get(FOLDER), folder
        reader, writer = self._context.Pipe(False)
        try:
            with _signals(lambda: writer.send(None)):
                for _ in range(self._count):
                    self._start()
                self._watch(reader, on_ready)
        finally:
            self._stop()
            if before is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = before
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._opening, self._listening, theirs))
        process.start()
        theirs.close()
        self._workers[ours] = process

    def _watch(self, stopped: Connection, on_ready: Callable[[], None]) -> None:
        told, failures = False, 0
        while True:
            for found in wait([stopped, *self._workers]):
                assert isinstance(found, Connection)
                if found is stopped:
                    return
                message = self._message(found)
                if message is None:  # it has died
                    failures = 0 if found in self._ready else failures + 1
                    if failures >= RESTARTS:
                        raise WorkError("the workers die before they are ready; the lines above say why")
                    self._replace(found)
                elif isinstance(message, StriateError):
                    raise message
                elif message == "ready":
                    self._ready.add(found)
                    if not told and len(self._ready) == self._count:
                        told, failures = True, 0
                        on_ready()
                elif isinstance(message, str):
                    self._said(message)

    def _message(self, found: Connection) -> object:
        try:
            return found.recv()
        except (EOFError, OSError):
            return None

    def _replace(self, dead: Connection) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        process = self._workers.pop(dead)
        process.join()
        self._ready.discard(dead)
        dead.close()
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        self._said(f"a worker ended unexpectedly (exit code {process.exitcode}); another one is started")
        self._start()

    def _stop(self) -> None:
        """Ask every worker to stop, wait for the requests in flight, and count what was answered."""
        for pipe in self._workers:
            with contextlib.suppress(OSError):
                pipe.send("stop")
        for pipe, process in self._workers.items():
            with contextlib.suppress(EOFError, OSError):
                message = ""
                while not isinstance(message, int):
                    message = pipe.recv()
                self.answered += message
            process.join()


def _work(opening: Opening, listening: socket.socket, pipe: Connection) -> None:
    """A worker: says "ready", serves until it is told to stop or its parent is gone, and says how many it answered."""
    lock = threading.Lock()

    def tell(message: object) -> None:
        with lock, contextlib.suppress(OSError):
            pipe.send(message)

    for kind in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all; the parent says when to stop
        signal.signal(kind, signal.SIG_IGN)
    try:
        server = opening(listening, tell)
    except StriateError as error:
        tell(error)
        return
    except Exception as error:  # one line whatever happens, as on the command line
        tell(WorkError(f"a worker cannot open the models: {type(error).__name__}: {error}"))
        return

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        server.stop()

    threading.Thread(target=listen, daemon=True).start()
    tell("ready")
    server.run()
    tell(server.metrics.answered)


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM call `stop` the first time, and end the process the second time."""
    kinds = (signal.SIGINT, signal.SIGTERM)

    def ask(number: int, frame: object) -> None:
        for kind in kinds:
            signal.signal(kind, before[kind])
        stop()

    before = {kind: signal.signal(kind, ask) for kind in kinds}
    try:
        yield
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])
