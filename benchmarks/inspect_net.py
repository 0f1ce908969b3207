"""Measure what networks lose without blocks, and what looking costs: python benchmarks/inspect_net.py

Published CIFAR-10 weights on 400 of its lossless test images: each block removed, and k at random; the responses of
branches; the gradient ratio of a 56-layer network at initialisation, by cure. Times are multiples of a forward pass of
the same images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import DATA, write_record
from torch import Tensor, nn

from striate import import_weights
from striate.inference.backbones import net_of, normalised
from striate.inspect.blocks import branch_responses
from striate.inspect.gradients import cures
from striate.inspect.lesions import lesion_curve, lesions
from striate.inspect.surface import loss_surface

IMAGES = 400
NETS = {
    "resnet56": ("resnet56-4bfd9763.th", "akamaster"),
    "plain56": ("resnet56_plain_landscape.pt", "landscape"),
}


def main() -> None:
    """Measure, and write the record."""
    with np.load(DATA / "cifar10_lossless_5k.npz") as data:
        crops, classes = data["xte"][:IMAGES], torch.from_numpy(data["yte"][:IMAGES]).long()
    rows: list[dict[str, object]] = []
    for name, (file, source) in NETS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            model = import_weights(DATA / "weights" / file, net=name, source=source, out=path).model
        rows.append(measured(name, net_of(model), normalised(crops, model), classes))
        print(rows[-1])
    found = cures(56, torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8))
    rows.append(
        {"what": "gradient, first layer over last, 56 layers", **{name: one.ratio for name, one in found.items()}}
    )
    print(rows[-1])
    write_record("inspect_net", rows, ["torch", "numpy"])


def measured(name: str, net: nn.Module, images: Tensor, classes: Tensor) -> dict[str, object]:
    """A row of the record."""
    with torch.inference_mode():
        net(images[:100])
        one, _ = timed(lambda: [net(part) for part in images.split(100)])
    spent, found = timed(lambda: lesions(net, images, classes))
    curve = lesion_curve(net, images, classes, [3, 5, 10, 13])
    line, _ = timed(lambda: loss_surface(net, images, classes, points=5, plane=False))
    shares = sorted(found.without.values())
    return {
        "what": name,
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
