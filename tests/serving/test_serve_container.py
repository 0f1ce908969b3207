"""The Containerfile without a container: its lines, in a fresh environment that has what it installs, and no torch."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serve_clients import encoded, model_of

from striate.model import write

SOURCES = Path(__file__).parents[2]
ASK = """
import importlib.util, json, sys, urllib.request
from striate.jobs.serve import in_background

assert importlib.util.find_spec("torch") is None
with in_background([sys.argv[1]]) as url, open(sys.argv[2], "rb") as image:
    with urllib.request.urlopen(url + "/predict", image.read()) as answer:
        print(json.dumps([json.load(answer), "torch" in sys.modules]))
"""


def lines() -> list[str]:
    """Of the Containerfile, each instruction as one."""
    text = re.sub(r"^#.*\n", "", (SOURCES / "Containerfile").read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line]


def installed_by(line: str) -> list[str]:
    """The packages of a `pip install`."""
    words = shlex.split(line.partition("&&")[0])
    return [word for word in words[words.index("/wheels") + 1 :] if not word.startswith("-")]


def linked(name: str, site: Path) -> None:
    """Put an installed package into another environment, by links to its files."""
    files = importlib.metadata.distribution(name).files or []
    for top in {Path(file.parts[0]) for file in files if file.parts[0] not in ("..", "__pycache__")}:
        source = Path(str(importlib.metadata.distribution(name).locate_file(top)))
        if not (site / top).exists():
            (site / top).symlink_to(source)


def test_the_image_installs_the_extra_from_wheels_alone() -> None:
    runs = [line for line in lines() if line.startswith("RUN pip install")]
    names = [name.replace("_", "-").lower() for name in installed_by(runs[1])]
    extra = [one for one in importlib.metadata.requires("striate") or [] if re.search("extra == .serve.", one)]
    assert installed_by(runs[0]) == ["striate[serve]"] and all("--no-index" in line for line in runs)
    assert "torch" not in names and len(extra) >= 4
    assert {re.match(r"[A-Za-z0-9_.-]+", one)[0].replace("_", "-") for one in extra} <= set(names)  # type: ignore[index]


@pytest.mark.slow
def test_its_lines_serve_a_model_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(line for line in lines() if line.startswith("RUN python -c"))
    second = [line for line in lines() if line.startswith("RUN pip install")][1]
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    copy = tmp_path / "sources"
    copy.mkdir()
    for name in ("striate", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        (shutil.copytree if (SOURCES / name).is_dir() else shutil.copy)(SOURCES / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", tmp_path / "wheels", copy]
    subprocess.run(wheel, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "image"], check=True)
    python = tmp_path / "image" / "bin" / "python"
    (site,) = (tmp_path / "image").glob("lib/*/site-packages")
    for name in installed_by(second):
        if name == "striate":
            install = [*pip, "--python", python, "install", "-q", "--no-index", "--no-deps", "-f", tmp_path / "wheels"]
            subprocess.run([*install, name], check=True, env=clean)
        else:
            linked(name, site)
    write(tmp_path / "model.safetensors", model_of())
    (tmp_path / "new.jpg").write_bytes(encoded(1))
    graph = shlex.split(first)[3].replace("/models/model.safetensors", str(tmp_path / "model.safetensors"))
    done = subprocess.run([sys.executable, "-c", graph], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino\n"
    asked = [python, "-c", ASK, f"model={tmp_path / 'model.safetensors'}", tmp_path / "new.jpg"]
    served = subprocess.run(asked, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert served.returncode == 0, served.stderr
    answer, torch = json.loads(served.stdout)
    assert answer["model"] == "model" and len(answer["probabilities"]) == 3 and torch is False
    entry, command = (json.loads(line.partition(" ")[2]) for line in lines() if line.startswith(("ENTRYPOINT", "CMD")))
    program = [python.parent / entry[0], *entry[1:], *command]
    refused = subprocess.run(program, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "/secrets/token" in refused.stderr, refused.stderr
