"""A network of the user's own end-to-end: trained, saved, loaded in a new process, evaluated and exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from drawings import blocks

import striate

MODULE = '''"""A small network."""

from torch import nn


class SmallNet(nn.Module):
    def __init__(self, classes, in_channels=1, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 5, stride=2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 5, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
        )
        self.classifier = nn.Linear(2 * width * 9, classes)

    def forward(self, x):
        return self.classifier(self.layers(x).flatten(1))
'''


def command_line(arguments: list[str]) -> str:
    return f"from striate.cli.main import main; raise SystemExit(main({arguments}))"


def new_process(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module, images and a run that trained it by the command line."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "small_net.py").write_text(MODULE, "utf-8")
    blocks(folder / "blocks", {"low": 24, "high": 24})
    command = ["train", "blocks", "--net", "small_net.py:SmallNet", "--strategy", "scratch", "--out", "run"]
    done = new_process(
        f"from striate.cli.main import main; raise SystemExit(main({[*command, '--epochs', '6']}))", folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_it_is_trained_like_a_net_of_the_catalogue(folder: Path) -> None:
    from striate.model import read

    model = read(folder / "run" / "model.safetensors")
    assert model.net == "small_net:SmallNet"
    assert model.options["in_channels"] == 1
    assert model.head == "head"
    assert all(name.startswith(("body.layers.", "head.")) for name in model.tensors)


def test_it_is_loaded_in_a_new_process_once_it_is_registered(folder: Path) -> None:
    code = """
import json, pathlib, striate
from small_net import SmallNet

striate.register(SmallNet)
model = striate.load("run")
images = sorted(pathlib.Path("blocks").rglob("*.png"))
print(json.dumps({
    "right": sum(answer.label == path.parent.name for answer, path in zip(model.predict(images), images)),
    "accuracy": striate.evaluate("run", "blocks").as_dict()["accuracy"],
    "exported": striate.export("run", to="onnx").agreement,
}))
"""
    done = new_process(code, folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["right"] >= 40
    assert found["accuracy"] >= 0.8
    assert found["exported"] == 1
    assert (folder / "run" / "model.onnx").is_file()


def test_the_command_line_imports_it_where_the_user_says_so(folder: Path) -> None:
    for command in (
        ["predict", "run", "blocks/low", "--json"],
        ["evaluate", "run", "blocks", "--json"],
    ):
        code = (
            f"from striate.cli.main import main; raise SystemExit(main({[*command, '--net', 'small_net.py:SmallNet']}))"
        )
        done = new_process(code, folder)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_a_strangers_file_is_refused_and_nothing_imported(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "small_net.py").write_text("import pathlib; pathlib.Path('imported').touch()", "utf-8")
    code = f"""
import sys, striate
try:
    striate.load({str(folder / "run")!r})
except striate.RequestError as error:
    print(error)
assert "small_net" not in sys.modules
"""
    done = new_process(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "the model file names the net 'small_net:SmallNet', which is not registered here: "
        "import it and call striate.register(SmallNet) first\n"
    )
    assert not (tmp_path / "imported").exists()


def test_a_constructor_is_taken_in_place_of_a_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    from small_net import SmallNet  # type: ignore[import-not-found]

    run = striate.train(folder / "blocks", out=tmp_path / "run", net=SmallNet, strategy="scratch", epochs=1)
    assert run.model.net == "small_net:SmallNet"
