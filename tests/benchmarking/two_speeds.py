"""Two networks with the same weights for the same seed: one of them takes longer, by a clock that tests read."""

from __future__ import annotations

from torch import Tensor, nn

from striate.benchmarking.latency import Timer

SECONDS = {"passed": 0.0, "computed": 0.0}


class Quick(nn.Module):
    """A small network that takes a millisecond by the clock."""

    takes = 0.001

    def __init__(self, classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, 4, 5, stride=3), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Linear(4 * 64, classes)

    def forward(self, x: Tensor) -> Tensor:
        SECONDS["passed"] += self.takes
        SECONDS["computed"] += self.takes
        found: Tensor = self.classifier(self.layers(x))
        return found


class Sleepy(Quick):
    """The same, but it takes a tenth of a second."""

    takes = 0.1


class Counted(Timer):
    """The clock that the networks move on."""

    def wall(self) -> float:
        return SECONDS["passed"]

    def cpu(self) -> float:
        return SECONDS["computed"]
