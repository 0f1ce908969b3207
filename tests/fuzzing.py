"""Fuzzers of every format that is read: valid files, changed at random, are read or refused by one RequestError.

tests/test_fuzz.py runs each for a moment, from fixed seeds, and every file in tests/fuzz_cases, which once failed.
`python tests/fuzzing.py MINUTES` (`make fuzz MINUTES=30`) goes on from new seeds, each in a process of its own, and
keeps what fails, crashes or hangs there, as TARGET-HASH.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_seeds import GZIPPED, LABELS, MEMBERS, RESEALED, seeds

from striate.data.audit.decisions import read_decisions
from striate.data.opening import open_source
from striate.data.splits import read_split
from striate.errors import RequestError
from striate.jobs.import_weights import read_classes
from striate.learning.run_folder import RECIPE, RunFolder, first_logged
from striate.model import read_any
from striate.pixels import UnreadableImage, decode
from striate.recipe import Recipe
from striate.weights.checkpoints import read_checkpoint

CASES = Path(__file__).parent / "fuzz_cases"
SECONDS = 300  # of one process, beyond which an input hangs
BATCH = 2000  # inputs that one process of a long run reads
MEMORY = 8 * 2**30  # addresses of such a process

Random = random.Random
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"\0", b"\n", b"\r\n", b'"', b",", b";", b"=", b"[", b"]", b"{", b"}", b"NaN", b"1e999", b"-1", b"9" * 400, b"null",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"../", b"/", b"\x1b[31m", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b",
    b"\x80\x02", b"cbuiltins\neval\n", b"(", b"R", b".", b"true", b"'", b"\\u0000", b"\\ud800",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A format. ending: of its files' names. read: reads a file of it, and raises RequestError for what is none."""

    name: str
    ending: str
    read: Callable[[Path], object]

    def changed(self, draw: Random) -> bytes:
        """A valid file of it, changed at random: as it lies, or what is packed or checksummed in it."""
        seed = draw.choice(seeds(self.name))
        if self.name in RESEALED and draw.random() < 0.7:
            return RESEALED[self.name](seed, draw)
        if draw.random() < 0.6:
            for packing in (MEMBERS, GZIPPED):
                if self.name in packing:
                    return packing[self.name](seed, lambda content: changed(content, draw), draw)
        return changed(seed, draw)

    def trial(self, content: bytes, folder: Path) -> str:
        """Read a file of this content: "" for success or RequestError, else the traceback."""
        path = folder / f"input{self.ending}"
        path.write_bytes(content)
        try:
            self.read(path)
        except RequestError as error:
            return "" if "\n" not in str(error) else f"an error of several lines: {error}"
        except BaseException:  # whatever it is, it is what is searched for
            return traceback.format_exc()
        return ""


def changed(content: bytes, draw: Random) -> bytes:
    """The bytes with one to six random changes."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        place = draw.randrange(len(found) + 1)
        kind = draw.randrange(8)
        if kind == 0:
            del found[place:]
        elif kind == 1:
            del found[place : place + draw.choice((1, 2, 8, 64))]
        elif kind == 2:
            found[place:place] = draw.choice(WORDS)
        elif kind == 3:
            found[place:place] = draw.randbytes(draw.choice((1, 4, 16)))
        elif kind == 4:
            found[place:place] = found[place : place + draw.choice((4, 32, 256))]
        elif kind == 5:
            size = draw.choice((1, 2, 4, 8))
            edge = draw.choice(EDGES) % 2 ** (8 * size)
            found[place : place + size] = edge.to_bytes(size, draw.choice(("little", "big")))
        elif place < len(found):
            found[place] = draw.choice((found[place] ^ 1 << draw.randrange(8), draw.randrange(256)))
    return bytes(found)


def _log(path: Path) -> None:
    """Resume a run with this log."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place)
        (run / RECIPE).write_text("", "utf-8")
        (run / "log.jsonl").write_bytes(path.read_bytes())
        first_logged(run, "plan")
        with RunFolder.reopened(run) as folder:
            folder.logged("checks")
            assert folder.seconds_logged() >= 0
            folder.log("resume", {})
        assert first_logged(run, "resume")


def _idx(path: Path) -> None:
    """Images with their labels beside them."""
    path.with_name("train-labels-idx1-ubyte").write_bytes(LABELS)
    target = path.with_name("train-images-idx3-ubyte")
    target.write_bytes(path.read_bytes())
    open_source(target)


def _table(path: Path) -> None:
    """A manifest with its images beside it."""
    for name in ("0.png", "1.png"):
        (path.parent / name).write_bytes(b"x")
    open_source(path)


def _image(path: Path) -> None:
    """An image file: decoded whole and reduced, or set aside with a reason."""
    for at_least in (0, 16):
        try:
            assert decode(path.read_bytes(), at_least=at_least).image.mode == "RGB"
        except UnreadableImage as refused:
            assert refused.kind and str(refused) and "\n" not in str(refused)


TARGETS = {
    target.name: target
    for target in (
        Target("model", ".safetensors", read_any),
        Target("weights", ".safetensors", read_checkpoint),
        Target("pickle", ".pth", read_checkpoint),
        Target("older pickle", ".pth", read_checkpoint),
        Target("caffemodel", ".caffemodel", read_checkpoint),
        Target("darknet", ".weights", read_checkpoint),
        Target("keras", ".h5", read_checkpoint),
        Target("npz", ".npz", open_source),
        Target("idx", "", _idx),
        Target("cifar", ".tar.gz", open_source),
        Target("pack", ".pack", open_source),
        Target("csv", ".csv", _table),
        Target("json lines", ".jsonl", _table),
        Target("json", ".json", _table),
        Target("recipe", ".toml", Recipe.from_file),
        Target("split", ".csv", read_split),
        Target("decisions", ".csv", read_decisions),
        Target("classes", ".txt", read_classes),
        Target("log", ".jsonl", _log),
        Target("jpeg", ".jpg", _image),
        Target("png", ".png", _image),
        Target("tiff", ".tif", _image),
        Target("webp", ".webp", _image),
        Target("other image", ".gif", _image),
    )
}


def run(target: Target, seed: int, count: int, folder: Path) -> list[tuple[bytes, str]]:
    """Try `count` inputs drawn from `seed`: those that failed, with their tracebacks."""
    failed = []
    for number in range(count):
        content = target.changed(Random(f"{target.name} {seed} {number}"))
        if told := target.trial(content, folder):
            failed.append((content, told))
    return failed


def keep(target: Target, content: bytes, why: str) -> Path:
    """Keep an input as a case of tests/test_fuzz.py."""
    CASES.mkdir(exist_ok=True)
    path = CASES / f"{target.name.replace(' ', '_')}-{hashlib.sha256(content).hexdigest()[:12]}"
    path.write_bytes(content)
    print(f"{path}\n{why}", flush=True)
    return path


def cases() -> dict[str, tuple[Target, Path]]:
    """The kept inputs, by their names."""
    names = {name.replace(" ", "_"): target for name, target in TARGETS.items()}
    found = sorted(CASES.iterdir()) if CASES.is_dir() else []
    return {path.name: (names[path.name.rpartition("-")[0]], path) for path in found if "-" in path.name}


def _work(name: str, seed: int) -> None:
    """A process of a long run: prints each input's number before it is tried, and keeps what fails."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(BATCH):
            print(f"at {number}", flush=True)
            content = target.changed(Random(f"{name} {seed} {number}"))
            if told := target.trial(content, Path(folder)):
                keep(target, content, told)


def _long(minutes: float) -> int:
    """Run the fuzzers in turn until the time is over; returns 1 if anything was found."""
    end, tried, before = time.monotonic() + 60 * minutes, 0, set(cases())
    draw = random.SystemRandom()
    while time.monotonic() < end:
        name, seed = draw.choice(list(TARGETS)), draw.randrange(2**32)
        words = [sys.executable, __file__, "--worker", name, str(seed)]
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=SECONDS)
            output, ended = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output, ended = (late.stdout or b"").decode(), -1
        tried += output.count("at ")
        sys.stdout.write("".join(line + "\n" for line in output.splitlines() if not line.startswith("at ")))
        if ended:  # crashed, or hung, in the input that was begun last
            number = output.count("at ") - 1
            content = TARGETS[name].changed(Random(f"{name} {seed} {max(0, number)}"))
            keep(TARGETS[name], content, f"the process ended with {ended}")
    new = set(cases()) - before
    print(f"{tried:,} inputs in {minutes:g} minutes, {len(new)} kept in {CASES}")
    return 1 if new else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=30.0)
    parser.add_argument("--worker", nargs=2, metavar=("TARGET", "SEED"))
    given = parser.parse_args()
    if given.worker:
        _work(given.worker[0], int(given.worker[1]))
    else:
        sys.exit(_long(given.minutes))
