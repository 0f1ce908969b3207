"""Style transfer: seconds for a picture by optimisation, memory and seconds of a fast net by size, and its training.

    python benchmarks/style.py [paint] [fast] [train]

`paint`: `striate style` of a photograph at 256 pixels, as a command. `fast`: the published candy net (16 channels) on
the same photograph resized, in a process of its own for each size; peak memory is the most that process had resident.
`train`: a net for the Starry Night on the photographs of coco_small, and how far its pictures of two other photographs
are from the painting's style. Processor seconds, of all threads, are recorded beside wall time: they tell what a
machine without other work would take. Needs ../shared/data.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recording import DATA, write_record

PAINTINGS = DATA / "paintings"
CONTENT, STYLE = PAINTINGS / "content_tubingen.jpg", PAINTINGS / "van-gogh_starry-night_1889.jpg"
CANDY = DATA / "weights" / "style" / "candy_nc16.safetensors"
SIZES = (512, 1024, 1536)
WHOLE = 1536  # of these, also without tiles

RUN = """
import json, resource, sys, time
import numpy as np
from PIL import Image
from striate.styling.fast_net import read_fast_net
from striate.styling.pictures import resized
from striate.styling.tiles import SIDE, paint_fast, passes
from striate.progress import Progress
from pathlib import Path

size, side = int(sys.argv[3]), int(sys.argv[4]) or SIDE
picture = resized(np.asarray(Image.open(sys.argv[2]).convert("RGB")), size, 16)
net = read_fast_net(Path(sys.argv[1]))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, started, busy = peak(), time.perf_counter(), time.process_time()
with Progress().bar("", 1) as bar:
    paint_fast(net, picture, bar, side)
print(json.dumps({"width": picture.shape[1], "height": picture.shape[0], "tiles_computed": passes(picture.shape, side),
    "seconds": round(time.perf_counter() - started, 2), "processor_seconds": round(time.process_time() - busy, 2),
    "peak_MB_before": round(before), "peak_MB": round(peak())}))
"""


def main() -> None:
    """Measure what is asked for (default: all) and write the record."""
    kinds = {"paint": _paint, "fast": _fast, "train": _train}
    for kind in sys.argv[1:] or kinds:
        rows = kinds[kind]()
        for row in rows:
            print(row)
        write_record("style", rows, ("striate", "torch", "numpy", "pillow"))


def _paint() -> list[dict[str, object]]:
    command = [sys.executable, "-m", "striate", "style", str(CONTENT), str(STYLE), "--json", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), _of_children()
        done = subprocess.run([*command, f"{folder}/out.png"], check=True, capture_output=True, text=True)
        wall, busy = time.perf_counter() - started, _of_children() - before
    return [
        {
            "what": "a picture of 256 pixels by optimisation",
            "command": "python benchmarks/style.py paint",
            "n": 1,
            "seconds_of_the_command": round(wall, 1),
            "processor_seconds": round(busy, 1),
            **{name: value for name, value in json.loads(done.stdout).items() if name != "picture"},
        }
    ]


def _of_children() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fast() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for size, side in (*((size, 0) for size in SIZES), (WHOLE, 10_000)):
        words = [sys.executable, "-c", RUN, str(CANDY), str(CONTENT), str(size), str(side)]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        what = f"fast net, {size} pixels, {'as a whole' if side else 'as striate style does'}"
        rows.append({"what": what, "command": "python benchmarks/style.py fast", "n": 1, **found})
    return rows


def _train() -> list[dict[str, object]]:
    import numpy as np
    import torch
    from PIL import Image

    import striate
    from striate.styling.losses import STYLE_LAYERS, StyleLoss
    from striate.styling.pictures import resized, to_tensor
    from striate.styling.trunk import Trunk
    from striate.weights.vgg16_trunk import vgg16_trunk

    folder = Path(tempfile.mkdtemp())
    busy = time.process_time()
    done = striate.train_style(STYLE, DATA / "coco_small" / "images", out=folder / "n.safetensors")
    busy = time.process_time() - busy
    trunk = Trunk(vgg16_trunk(), STYLE_LAYERS)
    painting = resized(np.asarray(Image.open(STYLE).convert("RGB")), 384, 32)
    found: dict[str, object] = {}
    with torch.no_grad():
        loss = StyleLoss(trunk(to_tensor(painting)))
        for name in ("content_tubingen", "content_golden-gate"):
            path = folder / f"{name}.png"
            painted = striate.style(PAINTINGS / f"{name}.jpg", fast=done.path, size=384, out=path)
            plain = resized(np.asarray(Image.open(PAINTINGS / f"{name}.jpg").convert("RGB")), 384, 32)
            before, after = (loss(trunk(to_tensor(one))).item() for one in (plain, painted.picture))
            found |= {f"style_loss_{name}": round(before, 3), f"style_loss_{name}_painted": round(after, 3)}
    print(f"pictures in {folder}")
    return [
        {
            "what": "a fast net trained for the Starry Night",
            "command": "python benchmarks/style.py train",
            "n": 1,
            "steps": done.steps,
            "photographs": done.photographs,
            "seconds": round(done.seconds, 1),
            "processor_seconds": round(busy, 1),
            **found,
        }
    ]


if __name__ == "__main__":
    main()
