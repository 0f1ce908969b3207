"""Nothing leaves the machine: every verb is traced, and opens no internet socket and writes where it should alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STRACE = shutil.which("strace")
WRITES = re.compile(r'open(?:at)?\((?:[^,"]*, )?"([^"]+)", [^,)]*(?:O_WRONLY|O_RDWR|O_CREAT)[^)]*\)\s+= \d')
MAKES = re.compile(r'(?:mkdir|mkdirat|rename|renameat|renameat2|symlink|link)\((?:[^"]*)"([^"]+)"[^=]*= 0')
HARMLESS = ("/dev/", "/proc/", "/sys/")

VERBS = {
    "nets": ("nets", "resnet*"),
    "show": ("show", "lenet5"),
    "lesson": ("lesson", "convolution", "--out", "OUT/lesson.html"),
    "recipe": ("recipe",),
    "audit": ("audit", "DATA", "--html", "OUT/audit.html", "--fix-list", "OUT/fixes.csv"),
    "train, head": ("train", "DATA", "--quick", "--out", "OUT/run"),
    "train, net": ("train", "DATA", "--strategy", "scratch", "--net", "lenet5_plain", "--epochs=1", "--out", "OUT/net"),
    "predict": ("predict", "OUT/net", "DATA/dark/0.png"),
    "evaluate": ("evaluate", "OUT/net", "DATA"),
    "augment": ("augment", "DATA", "--out", "OUT/sheet.png"),
    "pack": ("pack", "DATA", "--out", "OUT/set.pack"),
    "features": ("features", "DATA", "--out", "OUT/features.npz"),
    "compare": ("compare", "OUT/net", "OUT/run", "--out", "OUT/compare.html"),
    "export, ONNX": ("export", "OUT/net", "--to", "onnx", "--out", "OUT/net.onnx"),
    "export, OpenVINO": ("export", "OUT/net", "--to", "openvino", "--out", "OUT/net.xml"),
    "import, refused": ("import", "DATA/dark/0.png", "--net", "resnet20", "--from", "akamaster"),
    "fetch, without a name": ("fetch",),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, and folders for the results, the cache and a home of nothing."""
    root = tmp_path_factory.mktemp("traced")
    for number, name in enumerate(("dark", "light")):
        (root / "data" / name).mkdir(parents=True)
        for image in range(10):
            shade = np.random.default_rng(10 * number + image).integers(0, 120, (32, 32), dtype=np.uint8)
            Image.fromarray(shade + 130 * np.uint8(number)).save(root / "data" / name / f"{image}.png")
    for name in ("out", "cache", "home", "tmp"):
        (root / name).mkdir()
    return root


def traced(place: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run a verb under strace, in an environment of its own: the result and the trace."""
    words = [word.replace("DATA", str(place / "data")).replace("OUT", str(place / "out")) for word in command]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "STRIATE_CACHE": str(place / "cache"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    log = place / "trace"
    calls = "trace=network,openat,open,mkdir,mkdirat,rename,renameat,renameat2,symlink,link"
    assert STRACE is not None
    done = subprocess.run(
        [STRACE, "-f", "--seccomp-bpf", "-qq", "-s", "4096", "-e", calls, "-o", log,
         sys.executable, "-m", "striate", *words],
        cwd=place / "out", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, log.read_text("utf-8", "replace")


@pytest.fixture(scope="module")
def traces(place: Path) -> dict[str, tuple[subprocess.CompletedProcess[str], str]]:
    """Every verb, run in order: later ones take what earlier ones made."""
    if STRACE is None:
        pytest.skip("strace is not installed: nothing can be traced")
    return {verb: traced(place, *command) for verb, command in VERBS.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_opens_no_internet_socket_and_writes_where_it_should(
    verb: str, place: Path, traces: dict[str, tuple[subprocess.CompletedProcess[str], str]]
) -> None:
    done, trace = traces[verb]
    refused = verb in ("import, refused", "fetch, without a name")
    assert (done.returncode == 0) != refused and "Traceback" not in done.stderr, done.stderr
    assert "openat" in trace  # it was traced
    assert [line for line in trace.splitlines() if re.search(r"AF_INET6?\b", line)] == []
    written = {match for pattern in (WRITES, MAKES) for match in pattern.findall(trace)}
    allowed = tuple(str(place / name) for name in ("out", "cache", "tmp"))
    outside = [
        path
        for path in sorted(written)
        if not os.path.normpath(place / "out" / path).startswith(allowed) and not path.startswith(HARMLESS)
    ]
    assert outside == []
