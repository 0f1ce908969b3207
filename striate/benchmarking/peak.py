"""Prints the peak memory of this process, in bytes, for a model on a batch: python -m striate.benchmarking.peak."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from striate.inference.torch_engine import TorchEngine
from striate.model import read
from striate.nets.catalog import is_import_path
from striate.nets.own import import_net
from striate.reading import TEXT, read_file

STATUS = Path("/proc/self/status")


def main(model: str, batch: int) -> int:
    """The peak, less what the process had when everything was imported. Raises OSError where the system tells none."""
    before = _status("VmRSS")
    found = read(Path(model))
    if is_import_path(found.net):
        import_net(found.net)
    pixels = found.pixels
    TorchEngine(found, "float32").run(np.zeros((batch, pixels.height, pixels.width, pixels.channels), np.uint8))
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """Bytes of this process. VmHWM is its own peak; ru_maxrss begins with that of the process that started it."""
    read = re.search(rf"^{name}:\s*(\d+) kB$", read_file(STATUS, TEXT).decode(), re.MULTILINE)
    if read is None:
        raise OSError(f"{STATUS} has no {name}")
    return 1024 * int(read[1])


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
