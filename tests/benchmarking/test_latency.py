"""Latency side by side, by a clock that the test moves."""

from __future__ import annotations

from itertools import count

from striate.benchmarking.latency import ROUNDS, WARM_UPS, Timer, latencies


class Moved(Timer):
    """A clock with a second processor's worth of other work from one round to another."""

    def __init__(self) -> None:
        self.passed = self.computed = 0.0

    def wall(self) -> float:
        return self.passed

    def cpu(self) -> float:
        return self.computed

    def work(self, seconds: float, share: float = 1.0) -> None:
        self.passed += seconds
        self.computed += seconds * share


def test_the_median_and_the_band_of_rounds_in_turn() -> None:
    timer, order, times = Moved(), list[str](), count(1)
    runs = {
        "steady": lambda: (order.append("steady"), timer.work(2.0)),
        "rising": lambda: (order.append("rising"), timer.work(next(times))),
    }
    found = latencies(runs, timer=timer)
    assert found["steady"].median == found["steady"].low == found["steady"].high == 2.0
    first = WARM_UPS + 1
    assert found["rising"].median == first + (ROUNDS - 1) / 2
    assert found["rising"].low < found["rising"].median < found["rising"].high
    assert order[2 * WARM_UPS :] == ["steady", "rising"] * ROUNDS
    assert not any(one.busy for one in found.values())


def test_a_busy_machine_is_noticed_and_measured_once_more() -> None:
    for calm_afterwards in (True, False):
        timer, calls = Moved(), count()

        def run(timer: Moved = timer, calls: count[int] = calls, calm: bool = calm_afterwards) -> None:
            again = next(calls) >= WARM_UPS + ROUNDS
            timer.work(1.0 if again and calm else 4.0, 1.0 if again and calm else 0.25)

        found = latencies({"net": run}, timer=timer)["net"]
        assert next(calls) == 2 * (WARM_UPS + ROUNDS)
        assert (found.median, found.busy) == ((1.0, False) if calm_afterwards else (4.0, True))
