"""Packing: stopped anywhere, it goes on and gives the same file; a full disk loses nothing; memory stays flat."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import threading
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.audit.looking import Memory, look
from striate.data.pack.source import PackSource, open_pack
from striate.data.pack.writing import alone, pack_pixels, write_pack
from striate.data.sources.base import Item, Oddity
from striate.errors import RequestError, WorkError
from striate.pixels import Decoded, Pixels, UnreadableImage
from striate.progress import Progress
from striate.tasks import Classification, Task

SIDE = 8
PIXELS = Pixels(SIDE, SIDE)


@dataclasses.dataclass(frozen=True)
class Noise:
    """A source of noise, made when it is read. on_read: is told each item's number first. broken: cannot be decoded."""

    count: int = 700
    seed: int = 0
    side: int = SIDE
    broken: frozenset[int] = frozenset({0, 5, 299, 699})
    on_read: Callable[[int], object] = lambda number: None
    identity: str = "test:noise"
    name: str = "noise"
    task: Task = Classification(("even", "odd"))  # noqa: RUF009  (frozen)
    oddities: tuple[Oddity, ...] = (Oddity("junk", "junk", "of a tool"),)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(Item(f"{n:05d}", n % 2) for n in range(self.count))

    def read(self, item: Item) -> bytes:
        number = int(item.key)
        self.on_read(number)
        if number == 5:
            raise PermissionError(13, "Permission denied")
        return np.random.default_rng([self.seed, number]).bytes(self.side * self.side * 3) + b"%d" % number

    def decode(self, content: bytes, at_least: int) -> Decoded:
        pixels, number = content[: self.side * self.side * 3], int(content[self.side * self.side * 3 :])
        if number in self.broken:
            raise UnreadableImage("damaged", "broken on purpose")
        values = np.frombuffer(pixels, np.uint8).reshape(self.side, self.side, 3)
        return Decoded(Image.fromarray(values), (self.side, self.side), "noise", ())

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        return self.side, self.side, 3


class Told(Progress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Stop(BaseException):
    """As Ctrl-C is: nobody catches it."""


def stopping(at: int) -> Callable[[int], object]:
    def on_read(number: int) -> None:
        if number == at:
            raise Stop

    return on_read


def stopped(path: Path, at: int, **changes: object) -> None:
    """Pack until the image of that number is read."""
    with pytest.raises(Stop):
        write_pack(path, Noise(on_read=stopping(at), **changes), PIXELS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "a.pack"
    made = write_pack(path, Noise(), PIXELS)
    assert len(made.items) == len(made.images) == 696
    kinds = [(oddity.path, oddity.kind) for oddity in made.oddities]
    assert kinds == [
        ("junk", "junk"), ("00000", "damaged"), ("00005", "unreadable"), ("00299", "damaged"), ("00699", "damaged"),
    ]  # fmt: skip
    assert [file.name for file in path.parent.iterdir()] == ["a.pack"]
    return path.read_bytes()


@pytest.mark.parametrize("at", [0, 1, 255, 256, 257, 400, 699])
def test_stopped_at_an_image_it_goes_on(at: int, whole: bytes, tmp_path: Path) -> None:
    path, told = tmp_path / "a.pack", Told()
    stopped(path, at)
    assert not path.exists()
    reads: list[int] = []
    write_pack(path, Noise(on_read=reads.append), PIXELS, progress=told)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["a.pack"]
    if at >= 400:
        assert told.lines == [f"Resuming after {at // 256 * 256:,} packed images"]


def test_stopped_again_and_again(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pack"
    for at in (300, 290, 600, 310, 699):
        stopped(path, at)
    decoded: list[int] = []

    class Counting(Noise):
        def decode(self, content: bytes, at_least: int) -> Decoded:
            decoded.append(1)
            return super().decode(content, at_least)

    write_pack(path, Counting(), PIXELS)
    assert path.read_bytes() == whole
    assert len(decoded) == 700 - 512


# Kills itself with SIGKILL at the n-th time that the disk is waited for: before and after each block of images, each
# block of lines, the last rename; or at an image.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_packing import PIXELS, Noise
from striate.data.pack.writing import write_pack

path, what, at = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
waited, fsync = [], os.fsync

def counted(handle):
    waited.append(handle)
    if what == "before" and len(waited) == at:
        die()
    fsync(handle)
    if what == "after" and len(waited) == at:
        die()

os.fsync = counted
write_pack(path, Noise(on_read=lambda number: what == "image" and number == at and die()), PIXELS)
print(len(waited))
"""


def killed(path: Path, what: str, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path), what, str(at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_anywhere_it_gives_the_same_file(whole: bytes, tmp_path: Path) -> None:
    done = killed(tmp_path / "never.pack", "never", 0)
    assert (tmp_path / "never.pack").read_bytes() == whole, done.stderr
    waits = int(done.stdout)
    assert waits == 8  # three blocks of images and of lines; the whole file, and its folder
    one = tmp_path / "one.pack"  # killed all along the way, going on each time
    for place, (what, at) in enumerate([("before", 1), ("image", 500), ("after", 2), ("before", 1), ("after", 1)]):
        assert killed(one, what, at).returncode == -9, place
        other = tmp_path / f"{place}.pack"
        for ending in (".part", ".part.lines"):
            shutil.copyfile(f"{one}{ending}", f"{other}{ending}")
        write_pack(other, dataclasses.replace(Noise()), PIXELS)
        assert other.read_bytes() == whole
    assert write_pack(one, Noise(), PIXELS).path.read_bytes() == whole
    for what, at in (("before", waits - 1), ("before", waits), ("after", waits)):  # at the end
        last = tmp_path / f"{what}{at}.pack"
        assert killed(last, what, at).returncode == -9
        assert last.exists() == (at == waits)
        write_pack(last, Noise(), PIXELS)
        assert last.read_bytes() == whole
        assert not list(tmp_path.glob(f"{last.name}.*"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happened_to_what_was_left_the_file_is_the_same(
    whole: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "a.pack"
    stopped(path, data.draw(st.integers(300, 699)))
    for ending in (".part", ".part.lines"):
        left = Path(f"{path}{ending}")
        stored = bytearray(left.read_bytes())
        place = data.draw(st.integers(0, len(stored) - 1))
        match data.draw(st.sampled_from(["cut", "flip", "grow", "keep", "zeros", "gone"])):
            case "cut":
                del stored[place:]
            case "flip":
                stored[place] ^= data.draw(st.integers(1, 255))
            case "grow":
                stored += stored[place:]
            case "zeros":
                stored[place:] = bytes(len(stored) - place)
            case "gone":
                left.unlink()
                continue
        left.write_bytes(stored)
    write_pack(path, Noise(), PIXELS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("changes", "pixels"),
    [
        ({"count": 699}, PIXELS),
        ({"identity": "test:other"}, PIXELS),
        ({"name": "other"}, PIXELS),
        ({"task": Classification(("odd", "even"))}, PIXELS),
        ({}, Pixels(SIDE, SIDE, rule="squash")),
        ({}, Pixels(SIDE, SIDE + 1)),
    ],
    ids=str,
)
def test_what_was_left_by_other_work_is_not_used(changes: dict[str, object], pixels: Pixels, tmp_path: Path) -> None:
    path, told = tmp_path / "a.pack", Told()
    stopped(path, 600)
    source = dataclasses.replace(Noise(), **changes)  # type: ignore[arg-type]
    made = write_pack(path, source, pixels, progress=told)
    assert told.lines == [f"'{path}.part' does not match these images and sizes; starting again"]
    fresh = write_pack(tmp_path / "b.pack", source, pixels)
    assert path.read_bytes() == fresh.path.read_bytes() and made.pixels == pixels


def test_originals_that_changed_meanwhile_are_packed_as_they_are_now(tmp_path: Path) -> None:
    path = tmp_path / "a.pack"

    class Changed(Noise):
        def read(self, item: Item) -> bytes:
            return super().read(item if item.key != "00100" else Item("00101", 1))

    stopped(path, 600)
    write_pack(path, Changed(), PIXELS)
    assert path.read_bytes() == write_pack(tmp_path / "b.pack", Changed(), PIXELS).path.read_bytes()


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_packing import PIXELS, Noise
from striate.data.pack.writing import write_pack
from striate.errors import WorkError

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    write_pack(Path(sys.argv[2]), Noise(), PIXELS)
except WorkError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("limit", [0, 30_000, 100_000, 190_000])
def test_a_full_disk_is_one_line_and_loses_nothing(limit: int, whole: bytes, tmp_path: Path) -> None:
    path, told = tmp_path / "a.pack", Told()
    command = [sys.executable, "-c", FULL, str(Path(__file__).parent), str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.count("\n") == 1
    assert f"could not write '{path}.part': File too large; the images packed so far stay there" in done.stdout
    assert not path.exists()
    write_pack(path, Noise(), PIXELS, progress=told)
    assert path.read_bytes() == whole
    if limit >= 100_000:
        kept = (limit - 4096) // (SIDE * SIDE * 3) // 256 * 256
        assert told.lines == [f"Resuming after {min(kept, 700):,} packed images"]


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(WorkError, match=r"packing 700 images of 8 x 8 pixels takes .* free; free some.*STRIATE_CACHE"):
        write_pack(tmp_path / "a.pack", Noise(), PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkError, match=r"could not write '.*a\.pack'"):
        write_pack(tmp_path / "file" / "a.pack", Noise(), PIXELS)


def test_nothing_usable_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = Noise(count=9, broken=frozenset(range(9)))
    with pytest.raises(RequestError, match="no usable image in 'noise'"):
        write_pack(tmp_path / "a.pack", source, PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_pack_stays_until_the_new_one_is_whole(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pack"
    earlier = write_pack(path, Noise(count=20), PIXELS)
    stopped(path, 650)
    assert len(open_pack(path).entries) == 20
    write_pack(path, Noise(), PIXELS)
    assert path.read_bytes() == whole
    assert len(earlier.images) == 18 and earlier.images[17].any()  # what was mapped is still there


def test_memory_is_flat(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        source = Noise(count, side=64, broken=frozenset())
        tracemalloc.start()
        try:
            write_pack(tmp_path / f"{count}.pack", source, Pixels(64, 64))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(500), peak(1500)
    assert long - short < 1000 * 64 * 64 * 3 / 8  # what grows is the table


def test_records_that_are_remembered_are_used(tmp_path: Path) -> None:
    source = Noise()
    memory = Memory(source)
    list(look(source, PIXELS, memory=memory))
    assert isinstance(write_pack(tmp_path / "a.pack", source, PIXELS, memory=memory), PackSource)


@pytest.mark.skipif(sys.platform == "win32", reason="no such lock")
def test_a_second_writer_waits(whole: bytes, tmp_path: Path) -> None:
    path, waiting = tmp_path / "a.pack", threading.Event()

    class Second(Progress):
        def say(self, line: str) -> None:
            assert line == f"Waiting for another run that is packing '{path}'"
            waiting.set()

    second = threading.Thread(target=write_pack, args=(path, Noise(), PIXELS), kwargs={"progress": Second()})
    with alone(path, Progress()):
        second.start()
        assert waiting.wait(60)
        assert [file.name for file in tmp_path.iterdir()] == ["a.pack.lock"]
    second.join(60)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["a.pack"]


@pytest.mark.parametrize(
    ("pixels", "packed"),
    [
        (Pixels(224, 224), Pixels(256, 256)),
        (Pixels(224, 192, rule="squash", filter="bicubic"), Pixels(256, 219, rule="squash", filter="bicubic")),
        (Pixels(224, 224, fraction=0.875), Pixels(256, 256)),
        (Pixels(224, 224, fraction=0.7), Pixels(320, 320)),
        (Pixels(32, 32, rule="centre"), Pixels(32, 32, rule="centre")),
        (Pixels(8000, 8000), Pixels(8192, 8192)),
    ],
    ids=str,
)
def test_near_the_training_size(pixels: Pixels, packed: Pixels) -> None:
    assert pack_pixels(pixels) == packed
    with pytest.raises(RequestError, match=r"at least 1, not 0\.5"):
        pack_pixels(pixels, 0.5)


def test_the_nets_own_fraction_is_taken_once() -> None:
    net = Pixels(224, 224, fraction=0.875)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8))
    packed = Image.fromarray(pack_pixels(net).apply(image))
    assert np.array_equal(net.apply(packed), net.apply(image))
