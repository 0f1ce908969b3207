"""Energy of the processor, from its counters, where the system lets a user read them (Linux, powercap)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from striate.reading import TEXT, read_file

COUNTERS = Path("/sys/class/powercap")
ABSENT = "energy is not measured: this machine has no energy counters that can be read (/sys/class/powercap)"


class EnergyMeter:
    """Counts from when it is made. folder: where the counters are, one folder a processor package."""

    def __init__(self, folder: Path = COUNTERS) -> None:
        self.folder = folder
        self.started = self._read()

    def joules(self) -> float | None:
        """Since the start, of all packages; None where they cannot be read."""
        now = self._read()
        if not self.started or now.keys() != self.started.keys():
            return None
        return sum(self._since(package, now[package]) for package in now) / 1e6

    def _since(self, package: str, now: int) -> int:
        gone = now - self.started[package]
        return gone if gone >= 0 else gone + _number(self.folder / package / "max_energy_range_uj")

    def _read(self) -> Mapping[str, int]:
        """Microjoules by package; empty where one cannot be read."""
        try:
            packages = sorted(path.name for path in self.folder.glob("intel-rapl:*") if path.name.count(":") == 1)
            return {package: _number(self.folder / package / "energy_uj") for package in packages}
        except (OSError, ValueError):
            return {}


def _number(path: Path) -> int:
    return int(read_file(path, TEXT))
