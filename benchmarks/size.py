"""Seconds and memory of `striate train --quick` against the number of images and of classes, stage by stage.

    python benchmarks/size.py FOLDER [IMAGES ...]

FOLDER: class folders, such as CIFAR-10-JPEG's train. Of each class the same number of images is taken, by links, for
each of the numbers of IMAGES (default: 400, 4000, 13000). With IMAGES:CLASSES the images of a class are dealt out to
as many classes of random members: the time and memory are those of so many classes, the accuracy means nothing. Each
runs in a process of its own, with an empty cache.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from recording import ROOT, write_record


def linked(folder: Path, images: int, classes: int, to: Path) -> None:
    """Class folders of links to `images` files of the folder, dealt out to `classes` of them; 0: as they are."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    for place, name in enumerate(names):
        files = sorted((folder / name).iterdir())[: images // len(names)]
        shares = max(1, classes // len(names))
        for number, file in enumerate(files):
            target = to / (name if not classes else f"{place * shares + number % shares:04d}")
            target.mkdir(parents=True, exist_ok=True)
            (target / file.name).symlink_to(file.resolve())


def measured(folder: Path, images: int, classes: int) -> dict[str, object]:
    """One run."""
    with tempfile.TemporaryDirectory() as place:
        linked(folder, images, classes, Path(place) / "data")
        environment = {**os.environ, "STRIATE_CACHE": f"{place}/cache", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "striate", "train", f"{place}/data", "--quick", "--out", f"{place}/run"]
        # In a process of its own, whose only child the run is, so that the largest memory is the run's.
        pid = os.fork()
        if pid == 0:
            code = subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ).returncode
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            (Path(place) / "peak").write_text(str(peak))
            os._exit(code)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit(f"the run on {images} images failed")
        done = json.loads((Path(place) / "run" / "log.jsonl").read_text().splitlines()[-1])
        report = (Path(place) / "run" / "report.html").stat().st_size
        return {
            "what": f"{images:,} images, {len(list((Path(place) / 'data').iterdir()))} classes",
            "command": f"python benchmarks/size.py {folder.name} {images}" + (f":{classes}" if classes else ""),
            "n": 1,
            "seconds": done["seconds"],
            "stages": done["stages"],
            "peak_megabytes": round(int((Path(place) / "peak").read_text()) / 1024),
            "report_megabytes": round(report / 1e6, 2),
            "load_average": round(os.getloadavg()[0], 1),
        }


def main() -> None:
    """Measure and write the record."""
    folder, *sizes = sys.argv[1:]
    rows = []
    for size in sizes or ("400", "4000", "13000"):
        images, _, classes = size.partition(":")
        rows.append(measured(Path(folder), int(images), int(classes or 0)))
        print(json.dumps(rows[-1]), flush=True)
    write_record("size", rows, ("striate", "numpy", "openvino", "pillow"))


if __name__ == "__main__":
    main()
