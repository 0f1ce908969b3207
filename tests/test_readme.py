"""What the README shows is what the commands give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"<!-- run: (\w+) -->\n```\w*\n(.*?)```", README, flags=re.DOTALL))


def test_every_marked_block_is_run_here() -> None:
    assert BLOCKS.keys() == {"train", "audit", "python", "onnx", "nets"}


def test_training_prints_what_is_shown(
    cli: Callable[..., tuple[int, str, str]], test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, *shown = BLOCKS["train"].strip().splitlines()
    (tmp_path / "hymenoptera").symlink_to(test_data / "hymenoptera")
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*command.removeprefix("$ striate ").split())
    printed = (err + out).strip().splitlines()
    assert code == 0
    # Seconds, and the engine's version, are the machine's own.
    assert [_steady(line) for line in printed] == [_steady(line) for line in shown]


def _steady(line: str) -> str:
    return re.sub(r"Engine .*", "Engine", line)


def test_nets_prints_what_is_shown(cli: Callable[..., tuple[int, str, str]]) -> None:
    command, *shown = BLOCKS["nets"].rstrip().splitlines()
    code, out, _ = cli(*command.removeprefix("$ striate ").split())
    assert code == 0
    assert out.rstrip().splitlines() == shown


def test_audit_and_decided_training_run(
    cli: Callable[..., tuple[int, str, str]], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    for line in BLOCKS["audit"].strip().splitlines():
        code, _, err = cli(*line.removeprefix("striate ").split())
        assert code == 0, err
    assert (tmp_path / "audit.html").is_file() and (tmp_path / "decided" / "decisions.csv").is_file()


def test_python_and_onnx_examples_run(tmp_path: Path) -> None:
    from striate.data.sources.named import faces

    source = faces()
    Image.open(Path(source.identity) / source.items[0].key).save(tmp_path / "face.png")
    first = _run(BLOCKS["python"], tmp_path)
    assert first[0].split()[0] == "face"
    assert first[1] == "60000"
    export = [sys.executable, "-m", "striate", "export", "run", "--to", "onnx"]
    subprocess.run(export, cwd=tmp_path, check=True, capture_output=True)
    second = _run(BLOCKS["onnx"], tmp_path)
    assert second[0].split()[0] == "face"
    assert abs(float(second[0].split()[1]) - float(first[0].split()[1])) <= 0.02


def _run(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()
