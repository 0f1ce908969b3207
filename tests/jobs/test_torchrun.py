"""`torchrun -m striate train`, with the commands of docs/many-machines.md: one run of many processes and machines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawings import blocks
from safetensors.numpy import load_file

from striate import Recipe, train

PAGE = (Path(__file__).parents[2] / "docs" / "many-machines.md").read_text("utf-8")
ONE_MACHINE, TWO_MACHINES = re.findall(r"```\n(torchrun .*?)```", PAGE, flags=re.DOTALL)


def torchrun(command: str, place: Path, *before: str, **environment: str) -> subprocess.Popen[str]:
    """A command of the page begun in `place`, with this Python's torchrun, after the words `before`."""
    name, *arguments = shlex.split(command)
    assert name == "torchrun"
    # Paths of this checkout, wherever the command is begun; one thread, as torchrun would choose for itself.
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [*before, sys.executable, "-m", "torch.distributed.run", *arguments],
        cwd=place,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*launched: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """What they wrote, when all have ended well."""
    try:
        told = [one.communicate(timeout=120) for one in launched]
    finally:
        for one in launched:
            one.kill()
    assert [one.returncode for one in launched] == [0] * len(launched), told
    return told


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ in it: 6 steps in two epochs."""
    root = tmp_path_factory.mktemp("torchrun")
    blocks(root / "photos", {"low": 120, "high": 120})
    return root


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> tuple[Path, str, str]:
    """The page's first command: the run folder, and what was said."""
    ((out, err),) = ended(torchrun(ONE_MACHINE, place))
    return place / "run", out, err


def test_two_processes_leave_what_one_leaves(undisturbed: tuple[Path, str, str], place: Path) -> None:
    folder, out, err = undisturbed
    alone = train(
        place / "photos",
        out=place / "alone",
        recipe=Recipe().updated({"net.name": "lenet5_plain", "strategy": "scratch", "train.epochs": 2}),
    )
    together, one = events(folder, "epoch"), events(alone.folder, "epoch")
    assert len(together) == 2
    for key in ("loss", "accuracy", "held_out_loss"):
        assert [line[key] for line in together] == pytest.approx([line[key] for line in one], rel=1e-4)
    assert {path.name for path in folder.iterdir()} == {path.name for path in alone.folder.iterdir()}
    assert len(events(folder, "plan")) == len(events(folder, "done")) == 1
    said = [line for line in err.splitlines() if line.startswith("Strategy")]  # by the first process alone
    assert len(said) == 1
    assert out.count("Report ") == 1
    assert "arning" not in err


@pytest.mark.slow
def test_lost_processes_do_not_change_the_model(undisturbed: tuple[Path, str, str], place: Path) -> None:
    script = str(Path(__file__).with_name("lost.py"))
    command = ONE_MACHINE.replace("-m striate", script).replace("--out run", "--out lost --set checkpoint.steps=1")
    ended(torchrun(command, place))
    assert len(events(place / "lost", "plan")) == 1
    assert len(events(place / "lost", "resume")) == 2
    whole, lost = (load_file(place / name / "model.safetensors") for name in ("run", "lost"))
    assert whole.keys() == lost.keys()
    assert all((whole[name] == lost[name]).all() for name in whole)


def test_features_are_the_first_processs_work(photos: Path, trained: object, tmp_path: Path) -> None:
    # `trained` has left the caches warm.
    command = f"torchrun --standalone --nproc-per-node 2 -m striate train {photos} --strategy features --out run"
    ((out, err),) = ended(torchrun(command, tmp_path))
    assert err.count("This strategy runs in one process: the others of the 2 end here.") == 1
    assert out.count("Report ") == 1
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.fixture
def two_hosts() -> Iterator[list[list[str]]]:
    """Two hosts, as the words before a command that runs it there: namespaces with a cable between them."""
    names = [f"striate-{os.getpid()}-{end}" for end in "ab"]
    ends = [f"sv{os.getpid()}{end}" for end in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name)
            ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
            for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
                ip("-n", name, "link", "set", end, "name", "cable")
                ip("-n", name, "addr", "add", f"10.0.0.{number}/24", "dev", "cable")
                ip("-n", name, "link", "set", "cable", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except FileNotFoundError:
            pytest.skip("two hosts on one machine need the command ip")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"two hosts on one machine need root and network namespaces: {error.stderr.strip()}")
        yield [["ip", "netns", "exec", name] for name in names]


@pytest.mark.slow
def test_two_hosts_of_which_one_loses_its_process_leave_what_two_processes_leave(
    two_hosts: list[list[str]], undisturbed: tuple[Path, str, str], place: Path, tmp_path: Path
) -> None:
    # They share a folder, as the page advises, but no cache, and have one name, which is no address on the cable.
    script = str(Path(__file__).with_name("lost.py"))
    launched = []
    for number, host in enumerate(two_hosts, 1):
        command = TWO_MACHINES.replace("torchrun", f"torchrun --local-addr 10.0.0.{number}")
        command = command.replace("-m striate", f"--rdzv-conf is_host={int(number == 1)} {script}")
        command = command.replace("--out run", "--out hosts --set checkpoint.steps=1")
        surroundings = {"GLOO_SOCKET_IFNAME": "cable", "STRIATE_CACHE": str(tmp_path / f"cache-{number}")}
        launched.append(torchrun(command, place, *host, **surroundings))
    told = ended(*launched)
    assert sorted("Report " in out for out, _ in told) == [False, True]
    assert {path.name for path in tmp_path.iterdir()} == {"cache-1", "cache-2"}
    assert len(events(place / "hosts", "resume")) == 1
    whole, hosts = (load_file(place / name / "model.safetensors") for name in ("run", "hosts"))
    assert whole.keys() == hosts.keys()
    assert all((whole[name] == hosts[name]).all() for name in whole)
