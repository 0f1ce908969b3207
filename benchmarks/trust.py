"""Measure label error detection and OOD detection: python benchmarks/trust.py

Label errors: of 5 % flipped labels, the share in the first tenth of the ranking, on hymenoptera and mnist-5k.
OOD detection: how well ants and bees are separated from images of two hundred other classes.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from recording import DATA, write_record

SEEDS = 5
FLIPPED = 0.05


def found_in_the_first_tenth(data: Path, flipped: set[str]) -> float:
    """The share of the flipped images in the first tenth of the ranking."""
    from striate.data.opening import open_source
    from striate.jobs.examining import examine
    from striate.progress import Progress

    done = examine(open_source(data), labels=True, progress=Progress())
    first = done.label_errors.ranked[: len(done.found.usable) // 10]
    named = {done.found.usable[error.index].item.key for error in first}
    return len(named & flipped) / len(flipped)


def hymenoptera(scratch: Path, seed: int) -> float:
    """Photographs moved into the other class's folder."""
    root = scratch / f"hymenoptera{seed}"
    files = sorted(path for path in (DATA / "hymenoptera").rglob("*.jpg"))
    chosen = np.random.default_rng(seed).permutation(len(files))[: round(FLIPPED * len(files))]
    flipped = set()
    for number, path in enumerate(files):
        part, name = path.relative_to(DATA / "hymenoptera").parts[:2]
        if number in set(chosen.tolist()):
            name = {"ants": "bees", "bees": "ants"}[name]
            flipped.add(f"{part}/{name}/{path.name}")
        (root / part / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, root / part / name / path.name)
    return found_in_the_first_tenth(root, flipped)


def digits(scratch: Path, seed: int) -> float:
    """Digits with another label."""
    from striate.data.sources.named import open_named

    source = open_named("mnist-5k")
    labels = np.array([item.target for item in source.items], np.int64)
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(labels))[: round(FLIPPED * len(labels))]
    labels[chosen] = (labels[chosen] + generator.integers(1, 10, len(chosen))) % 10
    path = scratch / f"digits{seed}.npz"
    np.savez(path, x=source.images, y=labels)
    return found_in_the_first_tenth(path, {f"image/{place:04d}" for place in chosen})


def ood(scratch: Path, seed: int) -> dict[str, float]:
    """Ants and bees against one photograph each of 200 classes of ImageNet, ants among them."""
    from striate.jobs.train import train
    from striate.recipe import Recipe

    folder = scratch / "ood"
    if not folder.exists():
        folder.mkdir()
        for path in (DATA / "imagenet_samples").glob("*.jp*g"):
            shutil.copyfile(path, folder / path.name)
    recipe = Recipe().updated({"data.ood": str(folder), "seed": seed})
    run = train(DATA / "hymenoptera", out=scratch / f"run{seed}", recipe=recipe)
    found = run.result.evidence.ood
    assert found is not None
    return {key: value for key, value in found.as_dict().items() if isinstance(value, float)}


def main() -> None:
    """Measure and write the record."""
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        os.environ["STRIATE_CACHE"] = str(scratch / "cache")
        rows: list[dict[str, object]] = []
        for what, measure, runs in (("hymenoptera", hymenoptera, SEEDS), ("mnist-5k", digits, 3)):
            shares = [round(measure(scratch, seed), 4) for seed in range(runs)]
            row: dict[str, object] = {
                "what": f"of 5 % flipped labels in {what}, share in the first tenth of the ranking"
            }
            row |= {"command": "striate audit DATA --labels", "n": runs, "shares": shares}
            rows.append(row | {"mean": round(statistics.mean(shares), 4)})
            print(json.dumps(rows[-1]), flush=True)
        met = ood(scratch, 0)
        row = {"what": "OOD detection: ants and bees against imagenet_samples", "n": 1, **met}
        rows.append(row | {"command": "striate train hymenoptera --ood imagenet_samples"})
        print(json.dumps(rows[-1]), flush=True)
    write_record("trust", rows, ("striate", "openvino", "numpy", "pillow", "scipy"))


if __name__ == "__main__":
    main()
