"""`striate predict` on 1,000 photographs from disk, beside a PyTorch script and raw OpenVINO: whole processes.

    python benchmarks/predict.py [--runs 5]

A model of flowers17 (EfficientNet-Lite0, `train --quick`) and 1,000 of its photographs. Alternating:
- ours: `striate predict MODEL PHOTOS --csv FILE`, with the graph in the cache, as on every day but the first;
- torch: a script as in PyTorch's tutorials: Pillow, batches of 32, the network in eval mode without gradients;
- openvino: a script that decodes as we do on two threads, with the graph of our cache and the same precision, in
  batches of 4 on OpenVINO's own queue, and does not write a table.
This file runs itself as these scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import DATA, ROOT, write_record

IMAGES = 1000


def by_torch(model: Path, photographs: list[Path]) -> int:
    """The script of a tutorial; the number of predictions."""
    import numpy as np
    import torch
    from PIL import Image

    from striate.inference.backbones import net_of
    from striate.model import read

    known = read(model)
    net, pixels, found = net_of(known), known.pixels, []
    mean, std = torch.tensor(pixels.mean), torch.tensor(pixels.std)
    with torch.no_grad():
        for start in range(0, len(photographs), 32):
            batch = []
            for path in photographs[start : start + 32]:
                image = pixels.apply(Image.open(path).convert("RGB"))  # the crop and resize of torchvision's transforms
                batch.append(((torch.from_numpy(np.array(image)) - mean) / std).permute(2, 0, 1))
            found += net(torch.stack(batch)).softmax(1).argmax(1).tolist()
    return len(found)


def by_openvino(model: Path, photographs: list[Path]) -> int:
    """OpenVINO with our decoding; the number of predictions."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from striate.inference.runtimes import import_openvino
    from striate.model import read
    from striate.storage import cache_root

    known, openvino = read(model), import_openvino()
    folder = cache_root() / "graphs" / known.backbone_key
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "THROUGHPUT",
        "CACHE_DIR": str(folder / "compiled"),
    }
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(str(folder / "backbone.xml"), "CPU", settings))
    weight, bias = known.tensors["head.weight"], known.tensors["head.bias"]
    found: dict[int, list[int]] = {}

    def keep(request: object, place: int) -> None:
        found[place] = (request.get_output_tensor(0).data @ weight.T + bias).argmax(1).tolist()

    def crop(path: Path) -> np.ndarray:
        return known.pixels.apply(known.pixels.decode(path.read_bytes()).image)

    queue.set_callback(keep)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = list(pool.map(crop, photographs))
    for start in range(0, len(crops), 4):
        queue.start_async([np.stack(crops[start : start + 4])], start)
    queue.wait_all()
    return sum(map(len, found.values()))


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--script", nargs=3, metavar=("KIND", "MODEL", "FOLDER"), help="run as one of the scripts")
    given = parser.parse_args()
    if given.script:
        kind, model, folder = given.script
        photographs = sorted(Path(folder).glob("*.jpg"))
        print(len(photographs), (by_torch if kind == "torch" else by_openvino)(Path(model), photographs))
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        environment = {**os.environ, "STRIATE_CACHE": f"{place}/cache", "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as for users, bytecode is kept
        (root / "photographs").mkdir()
        for number, path in enumerate(sorted((DATA / "flowers17").rglob("*.jpg"))[:IMAGES]):
            (root / "photographs" / f"{number:04d}.jpg").symlink_to(path)
        striate, model = [sys.executable, "-m", "striate"], f"{place}/run/model.safetensors"

        def timed(command: list[str]) -> float:
            started = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            return time.perf_counter() - started

        timed([*striate, "train", str(DATA / "flowers17"), "--quick", "--out", f"{place}/run"])
        ours = [
            *striate,
            "predict",
            model,
            f"{place}/photographs",
            "--precision",
            "float32",
            "--csv",
            f"{place}/all.csv",
        ]
        scripts = [
            [sys.executable, __file__, "--script", kind, model, f"{place}/photographs"]
            for kind in ("torch", "openvino")
        ]
        commands = dict(zip(("striate", "torch", "openvino"), [ours, *scripts], strict=True))
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(given.runs + 1):
            for name, command in commands.items():
                seconds = timed(command)
                if turn:  # the first warms up
                    taken[name].append(seconds)
    middle = {name: statistics.median(seconds) for name, seconds in taken.items()}
    row: dict[str, object] = {
        "what": f"predict {IMAGES:,} photographs of flowers17 from disk, float32",
        "command": "python benchmarks/predict.py",
        "n": given.runs,
        "seconds": {name: round(seconds, 2) for name, seconds in middle.items()},
        "times the speed of torch": round(middle["torch"] / middle["striate"], 2),
        "share of raw openvino's time": round(middle["striate"] / middle["openvino"], 2),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row))
    write_record("predict", [row], ("striate", "openvino", "torch", "pillow"))


if __name__ == "__main__":
    main()
