"""Exported files run by the frameworks themselves: the largest difference of a probability from ours in float32.

LeNet-5, trained for an epoch on 5,000 digits, and a larger network for each format: EfficientNet-Lite0 with its
published weights, or SqueezeNet with those of its authors where a format has no padding of Lite0's kind. The frameworks
are in environments of their own, which `make frameworks` sets up. What is not installed is recorded as such.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recording import DATA, ROOT, write_record

from striate.data.audit.looking import look
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.jobs.export import CROPPED, SUFFIXES
from striate.jobs.import_weights import import_weights
from striate.jobs.load import load
from striate.jobs.train import train
from striate.weights.classes import imagenet_names

HERE = ROOT / "benchmarks" / "peers"
LIMIT = 1e-4
COUNT = 32  # images
FEW = 2  # of TensorFlow.js, which computes in JavaScript here
SQUEEZENET = DATA / "weights" / "squeezenet1_0_caffe.safetensors"
PHOTOS = DATA / "imagenet_samples"
# Of each format: what runs it.
RUN_BY: dict[str, tuple[str, ...]] = {
    "tflite": ("litert",), "savedmodel": ("tensorflow",), "keras": ("keras-torch", "keras-jax", "keras-tensorflow"),
    "tfjs": ("tfjs",), "caffe": ("opencv",), "mxnet": ("mxnet",),
}  # fmt: skip


def photographs(path: Path) -> Path:
    """A table of the photographs with their classes."""
    names = imagenet_names()
    rows = [f'{one},"{names[int(one.name[:4])]}"' for one in sorted(PHOTOS.glob("*.jpg"))]
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def crops_of(model: str | Path, data: str | Path) -> NDArray[np.uint8]:
    """Images of the network's size [N, H, W, C]."""
    source, pixels = open_source(data), load(model).model.pixels
    step = len(source.items) // COUNT
    found = [one.crop for one in look(source, pixels, items=source.items[::step][:COUNT]) if one.crop is not None]
    return np.stack(found)


def predicted(
    command: Sequence[str], folder: Path, images: NDArray[np.uint8]
) -> tuple[str, NDArray[np.float32]] | None:
    """A framework's version and predictions; None where it is not installed."""
    if not Path(command[0]).exists() and not Path("/usr/bin", command[0]).exists():
        return None
    done = subprocess.run([*command], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    out = folder / "found.npy"
    if not out.exists():  # of Node, which writes numbers alone
        found = np.fromfile(folder / "found", np.float32).reshape(len(images), -1)
    else:
        found = np.load(out).reshape(len(images), -1)
    return done.stdout.strip().splitlines()[-1], found


def commands(chosen: argparse.Namespace, framework: str, file: Path, folder: Path, shape: str) -> list[str]:
    """What runs a file in a framework."""
    if framework == "tfjs":
        where = f"NODE_PATH={Path(chosen.node).resolve() / 'node_modules'}"
        script = str(HERE / "run_tfjs.js")
        return ["/usr/bin/env", where, "node", script, str(file), str(folder / "pixels"), str(folder / "found"), shape]
    python = chosen.mxnet if framework == "mxnet" else chosen.python
    script = str(HERE / "run_framework.py")
    return [python, script, framework, str(file), str(folder / "images.npy"), str(folder / "found.npy")]


def compared(chosen: argparse.Namespace, model: str | Path, data: str | Path, to: str) -> list[dict[str, object]]:
    """Export a model, and run the file in each framework."""
    images, rows = crops_of(model, data)[: FEW if to == "tfjs" else COUNT], []
    opened = load(model, precision="float32")
    expected, net = opened.predictions(images), opened.model.net
    for framework in RUN_BY[to]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                importlib.import_module(CROPPED[to]).write(opened.model, folder / f"m{SUFFIXES[to]}")
            except RequestError as error:  # a row that the format lacks
                rows.append({"what": f"{net} to {to}", "command": "benchmarks/frameworks.py", "missing": str(error)})
                print(json.dumps(rows[-1]), flush=True)
                break
            np.save(folder / "images.npy", images)
            np.float32(images).tofile(folder / "pixels")
            command = commands(chosen, framework, folder / f"m{SUFFIXES[to]}", folder, "x".join(map(str, images.shape)))
            there = Path(chosen.node).exists() if framework == "tfjs" else True
            result = predicted(command, folder, images) if there else None
        row: dict[str, object] = {"what": f"{net} to {to}, run by {framework}", "command": "benchmarks/frameworks.py"}
        if result is None:
            row["missing"] = "not installed here"
        else:
            version, found = result
            largest = float(f"{np.abs(found - expected).max():.2e}")
            row |= {"version": version, "n": len(images), "largest_difference": largest,
                    "same_class": int((found.argmax(1) == expected.argmax(1)).sum())}  # fmt: skip
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Compare all formats, and write the record. Exit code 1 if one differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--python", default=str(ROOT / ".venv" / "frameworks" / "bin" / "python"))
    options.add_argument("--mxnet", default=str(ROOT / ".venv" / "mxnet" / "bin" / "python"))
    options.add_argument("--node", default=str(ROOT / ".venv" / "frameworks" / "node"), help="with node_modules in it")
    options.add_argument("--to", nargs="+", choices=RUN_BY, default=list(RUN_BY))
    chosen, rows = options.parse_args(), list[dict[str, object]]()
    with tempfile.TemporaryDirectory() as name:
        run = train("mnist-5k", net="lenet5_plain", strategy="scratch", epochs=1, out=Path(name) / "digits").folder
        squeezenet = Path(name) / "squeezenet.safetensors"
        import_weights(SQUEEZENET, net="squeezenet1_0", source="caffe", out=squeezenet)
        photos = photographs(Path(name) / "photos.csv")
        for to in chosen.to:
            larger = squeezenet if to in ("caffe", "mxnet") else "efficientnet_lite0"
            found = [*compared(chosen, run, "mnist-5k", to), *compared(chosen, larger, photos, to)]
            write_record("interchange", found, ("torch", "openvino", "numpy"))
            rows += found
    wrong = [str(row["what"]) for row in rows if float(str(row.get("largest_difference", 0))) > LIMIT]
    if wrong:
        raise SystemExit(f"different predictions: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
