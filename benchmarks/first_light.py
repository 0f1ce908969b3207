"""Measure end-to-end times and accuracies and write a record: python benchmarks/first_light.py [--peer-python PYTHON]
[--runs 5]

Whole processes, alternating, medians. `--parts` selects what to measure; rows measured again replace those of the same
day.
`--peer-python` is the interpreter of an environment with torch, scikit-learn, efficientnet_lite_pytorch and, for
`--fastai SCRIPT`, fastai; its runs alternate with ours.
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
from pathlib import Path

from recording import DATA, ROOT, write_record

STRIATE = str(Path(sys.executable).with_name("striate"))


def timed(command: list[str], cache: Path) -> dict[str, float | str]:
    """Seconds, peak megabytes and output of a process."""
    wrapper = (
        "import json,resource,subprocess,sys,time;t=time.perf_counter();"
        "p=subprocess.run(sys.argv[1:],capture_output=True,text=True);"
        "print(json.dumps([time.perf_counter()-t,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024,"
        "p.returncode,p.stdout,p.stderr[-2000:]]))"
    )
    environment = {**os.environ, "STRIATE_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", wrapper, *command], capture_output=True, text=True, env=environment)
    seconds, memory, code, out, err = json.loads(done.stdout)
    if code != 0:
        raise SystemExit(f"{command} failed: {err}")
    return {"seconds": seconds, "megabytes": memory, "out": out}


def row(what: str, command: str, runs: list[dict[str, float | str]], **more: object) -> dict[str, object]:
    """A row of the record: median, minimum and maximum seconds."""
    seconds = [float(run["seconds"]) for run in runs]
    found = {
        "what": what,
        "command": command,
        "n": len(runs),
        "seconds_median": round(statistics.median(seconds), 3),
        "seconds_min": round(min(seconds), 3),
        "seconds_max": round(max(seconds), 3),
        "peak_megabytes": round(max(float(run["megabytes"]) for run in runs)),
        **more,
    }
    print(json.dumps(found), flush=True)
    return found


def photographs(scratch: Path, runs: int, peer: str, fastai: str) -> list[dict[str, object]]:
    """The main job with three states of the caches, alternating with the peer's script."""
    data, kinds = (
        str(DATA / "hymenoptera"),
        ("first use on a machine", "new folder, backbone compiled", "same folder again"),
    )
    took: dict[str, list[dict[str, float | str]]] = {kind: [] for kind in (*kinds, "peer")}
    for turn in range(runs + 1):  # the first turn warms the page cache and is not counted
        cache = scratch / f"cache{turn}"
        for kind in kinds:
            if kind == kinds[1]:
                shutil.rmtree(cache / "features")
                shutil.rmtree(cache / "audit")
            run = timed([STRIATE, "train", data, "--out", str(scratch / f"{turn}{kind}"), "--json"], cache)
            if turn:
                took[kind].append(run)
        if peer:
            run = timed([peer, str(ROOT / "benchmarks" / "peers" / "torch_sklearn.py"), data], cache)
            if turn:
                took["peer"].append(run)
    answer = json.loads(str(took[kinds[0]][-1]["out"]))
    right = {"correct": answer["correct"], "total": answer["total"]}
    rows = [row(f"hymenoptera, {kind}", "striate train hymenoptera --out RUN", took[kind], **right) for kind in kinds]
    if peer:
        said = str(took["peer"][-1]["out"]).strip().splitlines()[-1]
        rows.append(
            row("hymenoptera, torch eager and scikit-learn", "torch_sklearn.py hymenoptera", took["peer"], said=said)
        )
        ours, theirs = (statistics.median(float(r["seconds"]) for r in took[k]) for k in (kinds[1], "peer"))
        rows[-1]["ratio_to_new_folder"] = round(theirs / ours, 2)
    for epochs in ("1", "4") if fastai else ():
        run = timed([peer, fastai, data, epochs], scratch)
        said = [line for line in str(run["out"]).splitlines() if "accuracy" in line and "seconds" in line][-1]
        rows.append(
            row(
                f"hymenoptera, fastai fine_tune({epochs})", f"fastai_transfer.py hymenoptera {epochs}", [run], said=said
            )
        )
    model = str(scratch / f"{runs}{kinds[0]}")
    image = str(next((DATA / "hymenoptera" / "val" / "ants").iterdir()))
    for what, command in {
        "predict one image, warm": [STRIATE, "predict", model, image],
        "striate --help": [STRIATE, "--help"],
        "striate nets": [STRIATE, "nets"],
    }.items():
        results = [timed(command, scratch / f"cache{runs}") for _ in range(2 * runs + 1)][1:]
        rows.append(row(what, what, results))
    return rows


def cross_validation() -> dict[str, object]:
    """Ten-fold, three times repeated, on all 397 photographs of hymenoptera."""
    import numpy as np

    from striate.data.audit.looking import look
    from striate.data.opening import open_source
    from striate.inference.predictor import Predictor
    from striate.tasks import Classification
    from striate.transfer.head import HeadData, fit_head, fold_of
    from striate.weights.models import published_model

    source, model = open_source(DATA / "hymenoptera"), published_model("efficientnet_lite0")
    looked = [one for one in look(source, model.pixels) if not one.item.key.endswith(".gif")]
    labels = np.array([one.item.target for one in looked], np.int64)
    features = Predictor(model).embed(np.stack([one.crop for one in looked if one.crop is not None]))
    right = []
    for repeat in range(3):
        fold = fold_of(labels, 10, seed=repeat)
        for held in range(10):
            inside, outside = fold != held, fold == held
            head = fit_head(HeadData(features[inside], labels[inside], Classification(("ants", "bees"))), seed=repeat)
            answers = np.argmax(features[outside] @ head.weight.T + head.bias, axis=1)
            right.append((answers == labels[outside]).sum())
    accuracy = float(sum(right)) / (3 * len(labels))
    found = {"what": "hymenoptera, 10-fold cross-validation x 3", "command": "benchmarks/first_light.py", "n": 30}
    return {**found, "photographs": len(labels), "accuracy": round(accuracy, 4)}


def imagenet() -> list[dict[str, object]]:
    """Lite0 on the 200 samples of ImageNet, in both precisions."""
    from striate.jobs.load import load

    files = sorted((DATA / "imagenet_samples").glob("[0-9]*.jpg"))
    rows = []
    for precision in ("float32", "bfloat16"):
        model = load("efficientnet_lite0", engine="openvino", precision=precision)
        answers = model.predict(files)
        right = sum(int(a.probabilities.argmax()) == int(f.name[:4]) for a, f in zip(answers, files, strict=True))
        command = "striate.load('efficientnet_lite0').predict(files)"
        rows.append(
            {
                "what": f"Lite0 on imagenet_samples, {precision}",
                "command": command,
                "n": 1,
                "correct": right,
                "total": len(files),
            }
        )
    return rows


def lenet(scratch: Path) -> dict[str, object]:
    """Five seeds of LeNet-5 on a fifth of mnist-5k held out."""
    runs = []
    for seed in range(5):
        command = [STRIATE, "train", "mnist-5k", "--net", "lenet5_plain", "--strategy", "scratch", "--seed", str(seed)]
        runs.append(timed([*command, "--out", str(scratch / f"lenet{seed}"), "--json"], scratch / "cache-lenet"))
    accuracies = [json.loads(str(run["out"]))["accuracy"] for run in runs]
    command = "striate train mnist-5k --net lenet5_plain --strategy scratch --seed S"
    return row(
        "lenet5_plain on mnist-5k, five seeds",
        command,
        runs,
        accuracies=accuracies,
        mean=round(statistics.mean(accuracies), 4),
    )


def checkpoints() -> list[dict[str, object]]:
    """The four published CIFAR-10 ResNets on the lossless 1,000 test images."""
    import numpy as np

    from striate.inference.predictor import Predictor
    from striate.model import Model
    from striate.tasks import Classification
    from striate.weights.resnet_checkpoint import PIXELS, import_resnet_checkpoint

    with np.load(DATA / "cifar10_lossless_5k.npz") as stored:
        images, labels = stored["xte"], stored["yte"]
    rows = []
    for path in sorted((DATA / "weights").glob("resnet*.th")):
        net = path.name.split("-")[0]
        tensors = import_resnet_checkpoint(path, net)
        options = {"classes": 10, "in_channels": 3, "input_size": [32, 32], "options": {}}
        model = Model(net, options, Classification(tuple(map(str, range(10)))), PIXELS, tensors, head="head")
        wrong = int((Predictor(model).predictions(images).argmax(axis=1) != labels).sum())
        command = f"import_resnet_checkpoint({path.name!r}, {net!r})"
        rows.append(
            {"what": f"{net} on CIFAR-10's lossless 1,000", "command": command, "n": 1, "error_percent": wrong / 10}
        )
    return rows


def main() -> None:
    """Measure everything and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peer-python", default="")
    options.add_argument("--fastai", default="", help="fastai's script")
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--parts", nargs="+", choices=("photographs", "lenet", "accuracy"))
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        os.environ["STRIATE_CACHE"] = str(scratch / "cache-here")
        parts = chosen.parts or ("photographs", "lenet", "accuracy")
        rows = photographs(scratch, chosen.runs, chosen.peer_python, chosen.fastai) if "photographs" in parts else []
        rows += [lenet(scratch)] if "lenet" in parts else []
        rows += [cross_validation(), *imagenet(), *checkpoints()] if "accuracy" in parts else []
    write_record("first-light", rows, ("striate", "torch", "openvino", "numpy", "pillow", "scipy"))


if __name__ == "__main__":
    main()
