"""Exact lines: zip codes composed from MNIST's test images, read by LeNet-5 slid over them.

    python benchmarks/read.py [LINES] [EPOCHS]

The classifier is `lenet5_plain` with an eleventh class for windows without a digit in their middle, trained on
windows of LINES lines of MNIST's training images. Read are 1,000 lines of five test images each: as composed (gaps of 0
to 8 pixels, slant up to 0.3, noise of up to 10 %), and with each kind of variation made harder, alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from recording import DATA, write_record

LINES = 1000  # that are read of each kind


def main() -> None:
    """Compose, train, read and write the record."""
    given = [int(word) for word in sys.argv[1:]]
    lines, epochs = (*given, *(5000, 6)[len(given) :])
    os.environ["STRIATE_CACHE"] = tempfile.mkdtemp()
    command = f"python benchmarks/read.py {lines} {epochs}"
    with np.load(DATA / "mnist.npz") as file:
        train, test = ((file[f"x{part}"], file[f"y{part}"].astype(np.int64)) for part in ("tr", "te"))
    rows = _read(_trained(*train, lines, epochs), *test, command)
    for row in rows:
        print(row)
    write_record("read", rows, ("striate", "torch", "numpy", "pillow"))


def _trained(images: np.ndarray, labels: np.ndarray, lines: int, epochs: int) -> Path:
    """The run folder of the reader."""
    import striate
    from striate.lines.composing import NONE, training_windows

    names = np.array([*map(str, range(10)), NONE])
    windows, found = training_windows(images, labels, lines, none=10)
    folder = Path(tempfile.mkdtemp())
    np.savez(folder / "windows.npz", images=windows, labels=names[found])
    how = {"net": "lenet5_plain", "strategy": "scratch", "epochs": epochs, "augment": "none"}
    return striate.train(folder / "windows.npz", out=folder / "run", **how).folder


def _read(run: Path, images: np.ndarray, labels: np.ndarray, command: str) -> list[dict[str, object]]:
    """A row for each kind of lines."""
    from striate.lines.composing import Style, compose_lines
    from striate.lines.sliding import LineReader
    from striate.weights.models import open_model

    reader = LineReader(open_model(run))
    rows: list[dict[str, object]] = []
    for name, style in (
        ("as composed", Style()),
        ("touching, gaps of -3 to 0", Style(gap=(-3, 0))),
        ("slant up to 0.5", Style(slant=0.5)),
        ("noise of 15 %", Style(noise=(0.15, 0.15))),
    ):
        read = compose_lines(images, labels, LINES, seed=1, style=style)
        started = time.perf_counter()
        texts = [[int(reader.classes[one.label]) for one in reader.read(line.image)[0]] for line in read]
        seconds = time.perf_counter() - started
        exact = sum(tuple(text) == line.labels for text, line in zip(texts, read, strict=True))
        rows.append(
            {
                "what": f"zip codes read exactly, {name}",
                "command": command,
                "n": len(read),
                "exact": exact,
                "share": exact / len(read),
                "right_length": sum(len(text) == 5 for text in texts),
                "milliseconds_a_line": round(1000 * seconds / len(read), 2),
            }
        )
    return rows


if __name__ == "__main__":
    main()
