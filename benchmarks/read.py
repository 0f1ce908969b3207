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


def main() -> None:
    """Compose, train, read and write the record."""
    given = [int(word) for word in sys.argv[1:]]
    lines, epochs = (*given, *(5000, 6)[len(given) :])
    os.environ["STRIATE_CACHE"] = tempfile.mkdtemp()
    import striate
    from striate.lines.composing import NONE, Style, compose_lines, training_windows
    from striate.lines.sliding import LineReader
    from striate.weights.models import open_model

    with np.load(DATA / "mnist.npz") as file:
        train, test = ((file[f"x{part}"], file[f"y{part}"].astype(np.int64)) for part in ("tr", "te"))
    names = np.array([*map(str, range(10)), NONE])
    windows, labels = training_windows(*train, lines, none=10)
    folder = Path(tempfile.mkdtemp())
    np.savez(folder / "windows.npz", images=windows, labels=names[labels])
    started = time.perf_counter()
    run = striate.train(
        folder / "windows.npz",
        out=folder / "run",
        net="lenet5_plain",
        strategy="scratch",
        epochs=epochs,
        augment="none",
    )
    seconds = time.perf_counter() - started
    reader = LineReader(open_model(run.folder))
    command = f"python benchmarks/read.py {lines} {epochs}"
    rows: list[dict[str, object]] = []
    for name, style in (
        ("as composed", Style()),
        ("touching, gaps of -3 to 0", Style(gap=(-3, 0))),
        ("slant up to 0.5", Style(slant=0.5)),
        ("noise of 15 %", Style(noise=(0.15, 0.15))),
    ):
        read = compose_lines(*test, 1000, seed=1, style=style)
        started = time.perf_counter()
        texts = [[int(reader.classes[one.label]) for one in reader.read(line.image)[0]] for line in read]
        exact = sum(tuple(text) == line.labels for text, line in zip(texts, read, strict=True))
        rows.append(
            {
                "what": f"zip codes read exactly, {name}",
                "command": command,
                "n": len(read),
                "exact": exact,
                "share": exact / len(read),
                "right_length": sum(len(text) == 5 for text in texts),
                "milliseconds_a_line": round(1000 * (time.perf_counter() - started) / len(read), 2),
            }
        )
    rows.append({"what": "training the reader", "command": command, "n": 1, "windows": len(windows),
                 "window_accuracy": round(float(run.evaluation.value), 4), "seconds": round(seconds, 1)})  # fmt: skip
    for row in rows:
        print(row)
    write_record("read", rows, ("striate", "torch", "numpy", "pillow"))


if __name__ == "__main__":
    main()
