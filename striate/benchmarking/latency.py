"""Latency of nets side by side: in turn, many times, on one thread, with a busy machine noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from striate.progress import Progress
from striate.training.threads import one_thread

BATCHES = (1, 16)
WARM_UPS, ROUNDS = 10, 30
BAND = (10, 90)  # percentiles
OWN = 0.9  # of the seconds that pass, the least that one thread computes for if nothing else runs
CONDITIONS = f"torch {torch.__version__}, float32, one thread of the CPU, without decoding and preprocessing"

Run = Callable[[], object]


class Timer:
    """Seconds that pass, and seconds that this process computes."""

    def wall(self) -> float:
        """Seconds that pass."""
        return time.perf_counter()

    def cpu(self) -> float:
        """Seconds that the processors computed for this process."""
        return time.process_time()


@dataclass(frozen=True)
class Latency:
    """Seconds of one call: the median, and the 10 % to 90 % band. busy: others computed on this machine meanwhile.

    own: the share of the seconds in which this process computed.
    """

    median: float
    low: float
    high: float
    own: float
    busy: bool


def net_latencies(
    nets: Mapping[str, tuple[nn.Module, tuple[int, int, int]]],
    *,
    batch: int,
    timer: Timer | None = None,
    progress: Progress | None = None,
) -> dict[str, Latency]:
    """The latency of each net by name, for `batch` images of its shape (channels, height, width) at once.

    The nets are put in eval mode, on the CPU, channels-last, and run on one thread: more would make a busy machine hard
    to notice, and small nets slow.
    """
    runs = {name: _run(net, shape, batch) for name, (net, shape) in nets.items()}
    with one_thread():
        return latencies(runs, timer=timer, progress=progress, what=f"Latency at batch {batch}")


def latencies(
    runs: Mapping[str, Run], *, timer: Timer | None = None, progress: Progress | None = None, what: str = "Latency"
) -> dict[str, Latency]:
    """The latency of each function by name: 10 warm-ups each, then 30 rounds in which all run once, in turn.

    If the machine was busy, all are measured once more, and the measurement during which more of the time was this
    process's own is taken.
    """
    timer = timer or Timer()
    first = _measured(runs, timer, progress or Progress(), what)
    if not any(one.busy for one in first.values()):
        return first
    again = _measured(runs, timer, progress or Progress(), f"{what}, again: the machine was busy")
    return max(first, again, key=lambda found: min(one.own for one in found.values()))


def _run(net: nn.Module, shape: tuple[int, int, int], batch: int) -> Run:
    # mypy cannot follow the overloads of Module.to with a memory format.
    still = net.cpu().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.zeros(batch, *shape).normal_(generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            still(images)

    return run


def _measured(runs: Mapping[str, Run], timer: Timer, progress: Progress, what: str) -> dict[str, Latency]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    computed = dict.fromkeys(runs, 0.0)
    for run in runs.values():
        for _ in range(WARM_UPS):
            run()
    with progress.bar(what, ROUNDS) as bar:
        for _ in range(ROUNDS):
            for name, run in runs.items():
                cpu, wall = timer.cpu(), timer.wall()
                run()
                seconds[name].append(timer.wall() - wall)
                computed[name] += timer.cpu() - cpu
            bar.advance()
    return {name: _latency(seconds[name], computed[name]) for name in runs}


def _latency(seconds: list[float], computed: float) -> Latency:
    low, median, high = np.percentile(seconds, (BAND[0], 50, BAND[1])).tolist()
    own = computed / sum(seconds) if sum(seconds) else 1.0
    return Latency(median, low, high, own, own < OWN)
