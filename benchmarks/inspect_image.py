"""Measure the page for one image, as a process of its own: python benchmarks/inspect_image.py

`striate inspect MODEL PHOTO --out PAGE` with all default methods and checks, from the start of Python to the page, for
EfficientNet-Lite0 with published weights and for a ResNet-50 with random ones, which costs the same as a trained one.
Each also as a multiple of one forward pass in a process that has warmed up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import DATA, ROOT, write_record

GOALS = {"efficientnet_lite0": 3.5, "resnet50": 5.0}  # seconds


def random_model(name: str, path: Path) -> Path:
    """A model file of 1,000 classes with random weights."""
    import torch

    from striate.model import Model, write
    from striate.nets.build import create
    from striate.nets.state import arrays_of
    from striate.pixels import Pixels
    from striate.tasks import Classification

    torch.manual_seed(0)
    net = create(name, classes=1000)
    pixels = Pixels(224, 224, mean=(124.0, 116.0, 104.0), std=(58.0, 57.0, 57.0))
    tensors, aliases = arrays_of(net)
    task = Classification(tuple(f"class {place}" for place in range(1000)))
    write(path, Model(name, net.options, task, pixels, tensors, "head", aliases=aliases))
    return path


def one_pass(name: str, runs: int = 15) -> float:
    """Seconds of a forward pass of one image in float32, the median; channels last, as they are inspected."""
    import torch

    from striate.nets.build import create

    net = create(name, classes=1000).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(1, 3, 224, 224)
    taken = []
    with torch.inference_mode():
        for _ in range(runs + 5):
            started = time.perf_counter()
            net(image)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken[5:])


def cold(model: str | Path, photo: Path, page: Path) -> float:
    """Seconds of the command, as a process."""
    command = [sys.executable, "-m", "striate", "inspect", str(model), str(photo), "--out", str(page)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": path})
    return time.perf_counter() - started


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    photo = sorted((DATA / "hymenoptera").rglob("*.jpg"))[0]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        models = {
            "efficientnet_lite0": "efficientnet_lite0",
            "resnet50": random_model("resnet50", root / "resnet50.safetensors"),
        }
        for name, model in models.items():
            cold(model, photo, root / "page.html")  # bytecode and the system's file cache
            taken = [cold(model, photo, root / "page.html") for _ in range(given.runs)]
            forward, seconds = one_pass(name), statistics.median(taken)
            row: dict[str, object] = {
                "what": f"page of one image, {name}",
                "command": "python benchmarks/inspect_image.py",
                "n": len(taken),
                "seconds": round(seconds, 2),
                "runs": [round(each, 2) for each in taken],
                "goal": GOALS[name],
                "forward pass, ms": round(1000 * forward, 1),
                "in forward passes": round(seconds / forward, 1),
                "page, kB": round((root / "page.html").stat().st_size / 1000),
            }
            print(row, flush=True)
            rows.append(row)
    if not given.no_record:
        write_record("inspect-image", rows, ("striate", "torch", "numpy"))


if __name__ == "__main__":
    main()
