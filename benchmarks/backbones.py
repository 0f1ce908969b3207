"""The pretrained networks that come in packages, beside each other: accuracy and seconds of `striate train --quick`.

    python benchmarks/backbones.py [FOLDER ...]

By default hymenoptera and flowers17. Each run has an empty cache but for the weights; the networks alternate.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from recording import DATA, ROOT, write_record

NETS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
RUNS = 3


def run(folder: Path, net: str, weights: str) -> tuple[float, float]:
    """Accuracy in percent, and seconds."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "cache").mkdir()
        (Path(place) / "cache" / "weights").symlink_to(weights)
        environment = {**os.environ, "STRIATE_CACHE": f"{place}/cache", "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "striate",
            "train",
            str(folder),
            "--quick",
            "--net",
            net,
            "--out",
            f"{place}/run",
        ]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        done = json.loads((Path(place) / "run" / "log.jsonl").read_text().splitlines()[-1])
        return 100 * done["accuracy"], done["seconds"]


def main() -> None:
    """Measure and write the record."""
    folders = [Path(name) for name in sys.argv[1:]] or [DATA / "hymenoptera", DATA / "flowers17"]
    rows = []
    with tempfile.TemporaryDirectory() as weights:
        for folder in folders:
            found: dict[str, list[tuple[float, float]]] = {net: [] for net in NETS}
            for _ in range(RUNS):
                for net in NETS:
                    found[net].append(run(folder, net, weights))
            for net, runs in found.items():
                rows.append(
                    {
                        "what": f"{net} on {folder.name}",
                        "command": f"python benchmarks/backbones.py {folder.name}",
                        "n": RUNS,
                        "accuracy": round(runs[0][0], 2),
                        "seconds": round(statistics.median(seconds for _, seconds in runs), 2),
                        "load_average": round(os.getloadavg()[0], 1),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    write_record("backbones", rows, ("striate", "openvino", "pillow"))


if __name__ == "__main__":
    main()
