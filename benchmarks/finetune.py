"""Measure fine-tuning against the linear head it starts from: python benchmarks/finetune.py [DATA_SET ...]

Both strategies with the same seeds: correct images, and the paired difference with its 95 % interval. hymenoptera: its
own split; faces: a split per seed. Then the published net's confidence on images of several kinds, which strategy
"auto" uses. Seconds are only meaningful on an idle machine.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from recording import DATA, write_record

SETS = {"hymenoptera": (DATA / "hymenoptera", 5), "faces": (DATA / "coil20_att" / "att_faces", 3)}
NEAR = ("imagenet_samples", "hymenoptera", "coil20_att/coil20", "coil20_att/att_faces")


def right(data: Path, out: Path, strategy: str, seed: int) -> tuple[int, int, float, bool]:
    """Correct images, their total, seconds, and whether the fine-tuned weights were used."""
    from striate.jobs.train import train
    from striate.recipe import Recipe
    from striate.weights.models import published_model

    run = train(data, out=out, recipe=Recipe().updated({"strategy": strategy, "seed": seed}))
    kept = run.model.backbone_key != published_model(run.model.net).backbone_key
    return run.metrics["correct"], run.evaluation.total, run.metrics["seconds"], kept


def paired(name: str, scratch: Path) -> dict[str, object]:
    """Both strategies on a data set, seed by seed."""
    import torch

    from striate.tasks.metrics import mean_interval

    data, seeds = SETS[name]
    found = {
        strategy: [right(data, scratch / f"{name}-{strategy}-{seed}", strategy, seed) for seed in range(seeds)]
        for strategy in ("features", "finetune")
    }
    pairs = zip(found["finetune"], found["features"], strict=True)
    apart = [100 * (tuned[0] - head[0]) / tuned[1] for tuned, head in pairs]
    low, high = mean_interval(apart)
    return {
        "what": f"fine-tuning against a linear head, {name}",
        "command": "striate train DATA --strategy finetune --seed SEED",
        "n": seeds,
        "of": found["features"][0][1],
        "features_right": [row[0] for row in found["features"]],
        "finetune_right": [row[0] for row in found["finetune"]],
        "difference_percent": round(statistics.mean(apart), 3),
        "interval": [round(low, 3), round(high, 3)],
        "learnt_net_kept": [row[3] for row in found["finetune"]],
        "features_seconds": [round(row[2], 1) for row in found["features"]],
        "finetune_seconds": [round(row[2], 1) for row in found["finetune"]],
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2 else "",
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure and write the record."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        os.environ["STRIATE_CACHE"] = str(Path(place) / "cache")
        for name in sys.argv[1:] or SETS:
            rows.append(paired(name, Path(place)))
            print(json.dumps(rows[-1]), flush=True)
    write_record("finetune", rows, ("striate", "torch", "openvino", "numpy", "pillow"))


if __name__ == "__main__":
    main()
