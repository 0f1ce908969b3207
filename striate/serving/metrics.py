"""What the server counts, in Prometheus' text format."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from striate.reading import TEXT, read_file

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # with several processes, where each leaves its numbers
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The counts of this process; with several processes, `text` adds up those of all."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "striate_requests", "Requests answered, by path and status.", ("path", "code"), registry=registry
        )
        self._latency = Histogram(
            "striate_request_seconds", "Seconds from a request's headers to its answer.", ("path",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._queue = Gauge(
            "striate_queue_images", "Images waiting or being predicted.", ("model",),
            multiprocess_mode="livesum", registry=registry,
        )  # fmt: skip
        self._steps = Histogram(
            "striate_step_seconds", "Seconds of an image's decoding and wait, and of a batch's inference.",
            ("model", "step"), buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._sizes = Histogram(
            "striate_batch_images", "Images that were run together.", ("model",), buckets=_SIZES, registry=registry
        )
        self._images = Counter("striate_images", "Images predicted.", ("model",), registry=registry)
        self._memory = Gauge("striate_memory_bytes", "Resident memory.", multiprocess_mode="livesum", registry=registry)
        self.answered = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered. path: of the route, so that strangers cannot make new ones."""
        self.answered += 1
        self._requests.labels(path, str(status)).inc()
        self._latency.labels(path).observe(seconds)

    def queue(self, model: str, images: int) -> None:
        """So many images are waiting or being predicted."""
        self._queue.labels(model).set(images)

    def seconds(self, model: str, step: str, seconds: float) -> None:
        """An image's "decode" or "wait" took so long."""
        self._steps.labels(model, step).observe(seconds)

    def batch(self, model: str, images: int, seconds: float) -> None:
        """A batch was run."""
        self._steps.labels(model, "infer").observe(seconds)
        self._sizes.labels(model).observe(images)
        self._images.labels(model).inc(images)

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        self._memory.set(resident())
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)


def resident() -> int:
    """Resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        return int(read_file(Path("/proc/self/statm"), TEXT).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
