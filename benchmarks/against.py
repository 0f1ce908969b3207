"""This checkout against another one: whole commands in turn, each with caches of its own, and the ratio of medians.

    python benchmarks/against.py --other CHECKOUT --data hymenoptera [--runs 5]

Both run in the same environment, from their own source. Start-up, the main job with three states of the caches, and the
speed of training steps of ResNet-20 as log.jsonl has it. Writes benchmarks/records/DATE-against.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import write_record

ROOT = Path(__file__).parents[1]
STEPS = ["digits", "--net", "resnet20", "--strategy", "scratch", "--epochs", "2", "--batch", "128"]


def striate(checkout: Path, cache: Path, *arguments: str) -> tuple[float, str]:
    """Seconds and standard output of one whole command of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "STRIATE_CACHE": str(cache)}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "striate", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - started, done.stdout


def main_job(checkout: Path, scratch: Path, data: str) -> dict[str, float]:
    """Seconds of first use, of a new folder (backbone compiled), of the same folder; and correct predictions."""
    found: dict[str, float] = {}
    for kind in ("first use", "new folder", "same folder"):
        if kind == "new folder":
            shutil.rmtree(scratch / "cache" / "features")
            shutil.rmtree(scratch / "cache" / "audit")
        seconds, said = striate(checkout, scratch / "cache", "train", data, "--out", str(scratch / kind), "--json")
        found[f"main job, {kind}"] = seconds
        found["correct"] = json.loads(said)["correct"]
    return found


def steps(checkout: Path, scratch: Path) -> float:
    """Training images a second of the second epoch of ResNet-20."""
    striate(checkout, scratch / "cache", "train", *STEPS, "--out", str(scratch / "steps"))
    events = [json.loads(line) for line in (scratch / "steps" / "log.jsonl").read_text().splitlines()]
    return float([event["images_per_second"] for event in events if event["event"] == "epoch"][-1])


def turn(checkout: Path, data: str) -> dict[str, float]:
    """Every figure of one checkout, once."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = {name: striate(checkout, scratch / "cache", name)[0] for name in ("--help", "nets")}
        return found | main_job(checkout, scratch, data) | {"images per second": steps(checkout, scratch)}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", type=Path, required=True, help="the checkout to compare with")
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    both: dict[str, list[dict[str, float]]] = {"this": [], "other": []}
    for number in range(chosen.runs + 1):  # the first turn warms the page cache and is not counted
        for name, checkout in (("this", ROOT), ("other", chosen.other.resolve())):
            found = turn(checkout, chosen.data)
            both[name] += [found] if number else []
            print(name, {key: round(value, 3) for key, value in found.items()}, flush=True)
    rows: list[dict[str, object]] = []
    for what in both["this"][0]:
        mine, theirs = ([found[what] for found in both[name]] for name in ("this", "other"))
        ratio = statistics.median(mine) / statistics.median(theirs)
        rows.append(
            {
                "what": what,
                "command": f"benchmarks/against.py --other CHECKOUT --data hymenoptera --runs {chosen.runs}",
                "n": chosen.runs,
                "this_median": round(statistics.median(mine), 3),
                "other_median": round(statistics.median(theirs), 3),
                "ratio_of_medians": round(ratio, 3),
                "this_all": [round(value, 3) for value in mine],
                "other_all": [round(value, 3) for value in theirs],
            }
        )
        print(f"{what}: {rows[-1]['this_median']} against {rows[-1]['other_median']}, ratio {ratio:.3f}")
    write_record("against", rows, ("striate", "torch", "openvino", "numpy", "pillow", "scipy"))


if __name__ == "__main__":
    main()
