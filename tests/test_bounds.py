"""Memory is bounded by what files hold, not by what they declare: every verb on small files that cost much."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import blocks
from real_data import CASES

from striate import audit
from striate.data.opening import open_source
from striate.data.sources import arrays, unpacking
from striate.errors import RequestError
from striate.weights import pickles
from striate.weights.checkpoints import read_checkpoint

MOST = 1_500_000_000  # bytes of memory, at any time, of any verb
BOUNDS = CASES / "bounds"
IMPORT = ("--net", "squeezenet1_1", "--from", "torchvision", "--out", "imported.safetensors")

# Runs the commands of the first argument in one process; prints codes and errors, and the peak of its memory.
PROGRAM = """
import contextlib, io, json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
from striate.cli.main import main
found = []
for command in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    found.append([code, err.getvalue()])
with open("/proc/self/status") as status:  # ru_maxrss has that of the process that started this one
    peak = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
sys.stdout.write(json.dumps({"found": found, "peak": peak}))
"""


def sparse(path: Path, size: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def npz(path: Path, method: int, images: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in (("x", np.zeros((images, 1000, 1000), np.uint8)), ("y", np.arange(images) % 2)):
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", content.getvalue())
    return path


def packed_idx(folder: Path, images: tuple[int, int, int], gigabytes: int) -> Path:
    """IDX files whose images are declared as these, and unpack to so many gigabytes of zeros."""
    folder.mkdir()
    block = gzip.compress(bytes(2**24))  # members of a gzip file follow each other
    head = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, *images))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(head + block * (64 * gigabytes))
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">4BI10B", 0, 0, 8, 1, 10, *range(10)))
    return folder


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def single_floats(path: Path) -> Path:
    values = (varint(5 << 3 | 5) + bytes(4)) * 7_600_000
    path.write_bytes(field(100, field(1, b"a") + field(7, field(7, field(1, varint(7_600_000))) + values)))
    return path


def expanded(path: Path, *, zipped: bool = True) -> Path:
    torch.save({"w": torch.zeros(1).expand(10**5, 10**5)}, path, _use_new_zipfile_serialization=zipped)
    return path


def commands(folder: Path) -> list[list[str]]:
    """A command for each file that costs much."""
    found: list[list[str]] = []
    for name, method in (("b", zipfile.ZIP_BZIP2), ("l", zipfile.ZIP_LZMA), ("d", zipfile.ZIP_DEFLATED)):
        found.append(["audit", str(npz(folder / f"{name}.npz", method, 200))])
    found.append(["audit", str(packed_idx(folder / "six", (10, 28, 28), 6))])
    found.append(["audit", str(packed_idx(folder / "two", (2**21, 32, 32), 2))])
    for size in (5 * 10**9, 400 * 10**9):
        names = ("a.csv", "a.jsonl", "a.npz", "a.pack")
        found += [["audit", str(sparse(folder / f"{size}{name}", size))] for name in names]
        found.append(["evaluate", str(sparse(folder / f"{size}m.safetensors", size)), str(folder)])
        found.append(["train", "--recipe", str(sparse(folder / f"{size}.toml", size))])
        found.append(["import", str(sparse(folder / f"{size}.pth", size)), *IMPORT])
        found += [
            ["import", str(sparse(folder / f"{size}{one}", size)), *IMPORT] for one in (".caffemodel", ".weights")
        ]
    found.append(["import", str(single_floats(folder / "single.caffemodel")), *IMPORT])
    found.append(["import", str(expanded(folder / "e.pth")), *IMPORT])
    found.append(["import", str(expanded(folder / "old.pth", zipped=False)), *IMPORT])
    found += [["predict", "/dev/zero", "x.jpg"], ["train", "--recipe", "/dev/zero"], ["audit", "/dev/zero"]]
    if BOUNDS.is_dir():
        found.append(["audit", str(BOUNDS / "b.npz")])
        found.append(["import", str(BOUNDS / "z.caffemodel"), *IMPORT])
    return found


def test_no_verb_takes_more_memory_than_the_limit(tmp_path: Path) -> None:
    given = commands(tmp_path)
    limit = 8 * MOST  # of addresses, most of which are libraries: so that a failure is no danger to the machine
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given), str(limit)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    for command, (code, error) in zip(given, told["found"], strict=True):
        assert code == 2, command
        assert error.startswith("striate: "), command
        assert error.count("\n") == 1, command
    assert told["peak"] < MOST
    assert not (tmp_path / "imported.safetensors").exists()


def test_images_of_gigabytes_are_set_aside(tmp_path: Path) -> None:
    data = blocks(tmp_path / "data", {"low": 3, "high": 3})
    sparse(data / "low" / "large.png", 400 * 10**9)
    (data / "high" / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(data / "high" / "pipe.jpg")
    found = audit(open_source(data))
    told = {one.path: one.why for one in found.set_aside}
    assert told["low/large.png"] == "it has 400,000,000,000 bytes; at most 600,000,000 are read"
    assert told["high/zero.jpg"] == told["high/pipe.jpg"] == "not a file"
    assert len(found.usable) == 6


# One at a time, with the reason


def refused(path: Path, *words: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_source(path) if path.suffix not in (".pth", ".caffemodel") else read_checkpoint(path)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_members_that_zipfile_unpacks_whole_are_refused(method: int, tmp_path: Path) -> None:
    refused(npz(tmp_path / "a.npz", method, 2), "'x.npy', packed in another way than stored or deflated")


def test_the_unpacked_bytes_are_declared_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, 4)
    assert len(open_source(path).items) == 4  # 4 MB of zeros are no danger
    monkeypatch.setattr(unpacking, "UNDOUBTED", 2**20)
    refused(path, "declares 4,000,", "bytes unpacked", "are read")
    stored = npz(tmp_path / "s.npz", zipfile.ZIP_STORED, 4)
    assert len(open_source(stored).items) == 4
    monkeypatch.setattr(arrays, "MAX_BYTES", 4_000_000)
    refused(stored, "at most 4,000,000 are read")


def test_an_archive_of_a_million_members_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "a.npz", zipfile.ZIP_STORED, 2)
    monkeypatch.setattr(unpacking, "_DIRECTORY", 60)
    refused(path, "has more members than any such archive")


def test_the_number_of_images_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((11, 1, 1), np.uint8), y=np.arange(11) % 2)
    monkeypatch.setattr(arrays, "MAX_IMAGES", 10)
    refused(tmp_path / "a.npz", "11 images; at most 10 are read from arrays")


def test_idx_stops_at_the_declared_size(tmp_path: Path) -> None:
    refused(packed_idx(tmp_path / "a", (10, 28, 28), 1), "declares 7,840 values (10 x 28 x 28) and has more")
    refused(packed_idx(tmp_path / "b", (2**21, 32, 32), 1), "more than it can contain")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_of_more_values_than_are_stored_is_refused(zipped: bool, tmp_path: Path) -> None:
    refused(expanded(tmp_path / "e.pth", zipped=zipped), "'w' has 10,000,000,000 values, of which 1 are stored")


def test_tied_weights_are_read_and_ten_thousand_are_not(tmp_path: Path) -> None:
    one = torch.arange(10**5, dtype=torch.float32)
    torch.save({"a": one, "b": one}, tmp_path / "tied.pth")
    assert np.array_equal(read_checkpoint(tmp_path / "tied.pth").arrays["b"], one.numpy())
    torch.save({f"w{place}": one for place in range(10_000)}, tmp_path / "many.pth")
    refused(tmp_path / "many.pth", "its tensors have 4,000,000,000 bytes, and the file")


def rewritten(path: Path, method: int, change: Callable[[str, bytes], bytes] = lambda name, content: content) -> Path:
    """A checkpoint as another archive, its members changed or packed in another way."""
    target = path.with_name("again.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_a_checkpoint_that_is_packed_is_read_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.zeros(10**6)}, tmp_path / "w.pth")
    path = rewritten(tmp_path / "w.pth", zipfile.ZIP_DEFLATED)
    assert read_checkpoint(path).arrays["w"].shape == (10**6,)
    monkeypatch.setattr(unpacking, "UNDOUBTED", 2**20)
    refused(path, "bytes unpacked", "are read")


@pytest.mark.parametrize("zipped", [True, False])
def test_the_pickle_itself_is_limited(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "_PICKLE_BYTES", 1000)
    lists = b"\x80\x02" + b"]" * 2000 + b"."
    (tmp_path / "lists.pth").write_bytes(lists)
    path = tmp_path / "lists.pth"
    if zipped:
        torch.save({"w": torch.zeros(1)}, tmp_path / "w.pth")
        path = rewritten(tmp_path / "w.pth", zipfile.ZIP_STORED, lambda name, content: (
            lists if name.endswith("data.pkl") else content
        ))  # fmt: skip
    refused(path, "its pickle has more than 1,000 bytes besides the tensors")


def test_floats_given_one_by_one_are_read_up_to_a_million(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(single_floats(tmp_path / "a.caffemodel"), "more than 1,000,000 fields")
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 300_000_000  # the file itself is written in this process, too


def test_a_blob_without_values_is_refused(tmp_path: Path) -> None:
    shape = field(7, field(1, varint(0) + varint(2**62)))
    (tmp_path / "z.caffemodel").write_bytes(field(100, field(1, b"a") + field(7, shape)))
    refused(tmp_path / "z.caffemodel", "a blob of shape [0, 4611686018427387904] has 0 values")
