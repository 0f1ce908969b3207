"""Measure what networks lose without blocks, and what looking costs: python benchmarks/inspect_net.py

Published CIFAR-10 weights on 400 of its lossless test images: each block removed, and k at random; the responses of
branches; the gradient ratio of a 56-layer network at initialisation, by cure. Times are multiples of a forward pass of
the same images. Each row is written when it is measured; a row of the same day and size is not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import DATA, rows_of_today, write_record
from torch import Tensor, nn

from striate import import_weights
from striate.inference.backbones import net_of, normalised
from striate.inspect.blocks import branch_responses
from striate.inspect.gradients import cures
from striate.inspect.lesions import lesion_curve, lesions
from striate.inspect.surface import loss_surface
from striate.pixels import Images

COMMAND = "python benchmarks/inspect_net.py"
CURES = "gradient, first layer over last, 56 layers"
NETS = {
    "resnet56": ("resnet56-4bfd9763.th", "akamaster"),
    "plain56": ("resnet56_plain_landscape.pt", "landscape"),
}


def main() -> None:
    """Measure what the day's record does not have, and write it row by row."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=400, help="test images (default: %(default)s)")
    options.add_argument("--again", action="store_true", help="measure also what the record of today has")
    options.add_argument("--no-record", action="store_true", help="print only")
    chosen = options.parse_args()
    known = [] if chosen.again or chosen.no_record else rows_of_today("inspect_net")
    with np.load(DATA / "cifar10_lossless_5k.npz") as data:
        crops, classes = data["xte"][: chosen.images], torch.from_numpy(data["yte"][: chosen.images]).long()
    for name in (*NETS, CURES):
        if any(row["what"] == name and row.get("images", chosen.images) == chosen.images for row in known):
            print(f"{name}: measured today", flush=True)
            continue
        print(f"{name} ...", flush=True)
        row = by_cure() if name == CURES else of_weights(name, crops, classes)
        print(row, flush=True)
        if not chosen.no_record:
            write_record("inspect_net", [row], ["torch", "numpy"])


def of_weights(name: str, crops: Images, classes: Tensor) -> dict[str, object]:
    """The row of a network with published weights."""
    file, source = NETS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model = import_weights(DATA / "weights" / file, net=name, source=source, out=path).model
    return measured(name, net_of(model), normalised(crops, model), classes)


def by_cure() -> dict[str, object]:
    """The row of the gradient's ratios."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = cures(56, images, torch.arange(8))
    return {"what": CURES, "command": COMMAND, "n": 1, **{name: one.ratio for name, one in found.items()}}


def measured(name: str, net: nn.Module, images: Tensor, classes: Tensor) -> dict[str, object]:
    """A row of the record."""
    with torch.inference_mode():
        net(images[:100])
        one, _ = timed(lambda: [net(part) for part in images.split(100)])
    spent, found = timed(lambda: lesions(net, images, classes))
    print(f"  lesions: {spent:.0f} processor seconds", flush=True)
    curve = lesion_curve(net, images, classes, [3, 5, 10, 13])
    line, _ = timed(lambda: loss_surface(net, images, classes, points=5, plane=False))
    shares = sorted(found.without.values())
    return {
        "what": name,
        "command": COMMAND,
        "n": 1,
        "images": len(images),
        "intact": found.intact,
        "median": float(np.median(shares)),
        "lowest": shares[0],
        "highest": shares[-1],
        "within_5_points": sum(share >= found.intact - 0.05 for share in shares),
        "blocks": len(shares),
        "worst": min(found.without, key=found.without.__getitem__),
        "removed": {str(count): [min(values), max(values)] for count, values in curve.items()},
        "responses": [round(value, 3) for value in branch_responses(net, images[:100]).values()],
        "lesions_in_passes": round(spent / one, 1),
        "surface_point_in_passes": round(line / 5 / one, 2),
    }


def timed(run: Callable[[], object]) -> tuple[float, Any]:
    """Processor seconds, which other processes disturb less than the clock; and the result."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
