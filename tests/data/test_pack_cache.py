"""Automatic packs: made once, used again without decoding anything, brought up to date when the images change."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.audit.looking import Memory, look
from striate.data.pack.cache import KEPT_DAYS, Packed, automatic_pack, automatic_path
from striate.data.pack.source import PackSource, open_pack
from striate.data.pack.writing import write_pack
from striate.data.sources.base import Item
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.decoding import decode as door
from striate.errors import WorkError
from striate.pixels import Decoded, Pixels
from striate.progress import Progress

PIXELS = Pixels(24, 24, fraction=0.875)


class Told(Progress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STRIATE_CACHE", str(folder))
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A growing list of what was decoded."""
    asked: list[object] = []
    decoding = door._decode

    def counted(content: bytes, at_least: int) -> Decoded:
        asked.append(content)
        return decoding(content, at_least)

    monkeypatch.setattr(door, "_decode", counted)
    yield asked


@pytest.fixture
def source(photos: Path, tmp_path: Path) -> FileSource:
    root = tmp_path / "set"
    for folder in sorted((photos / "train").iterdir()):
        (root / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:4]:
            shutil.copyfile(file, root / folder.name / file.name)
        (root / folder.name / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more of " + folder.name.encode())
    return open_folder(root)


def same_as_looking(packed: Packed, source: FileSource | PackSource, pixels: Pixels = PIXELS) -> bool:
    looked = list(look(source, pixels))
    crops = [one.crop for one in looked if one.crop is not None]
    pairs = [(one.item, one.record) for one in looked]
    return packed.pairs == pairs and np.array_equal(packed.images, np.stack(crops))


def test_made_once_then_no_image_is_opened(source: FileSource, own_cache: Path, opened: list[object]) -> None:
    told = Told()
    first = automatic_pack(source, PIXELS, progress=told)
    assert len(opened) == len(source.items) == 10 and len(first.images) == 8
    assert first.path.parent == own_cache / "packs" and len(told.lines) == 1
    assert told.lines[0].startswith("Packed 8 images, 24 x 24 pixels, into ") and told.lines[0].endswith(" MB")
    second = automatic_pack(source, PIXELS, progress=told)
    assert len(opened) == 10 and len(told.lines) == 1
    assert same_as_looking(first, source) and same_as_looking(second, source)
    assert isinstance(second.images, np.memmap)
    assert [file.name for file in first.path.parent.iterdir()] == [first.path.name]


def test_files_that_nobody_wrote_to_are_not_read_again(source: FileSource) -> None:
    reads: list[str] = []

    class Stamped(FileSource):
        def stamp(self, item: Item) -> str:
            return "as it was" if item.key != source.items[3].key else ""

        def read(self, item: Item) -> bytes:
            reads.append(item.key)
            return super().read(item)

    stamped = Stamped(*(getattr(source, field.name) for field in dataclasses.fields(source)))
    memory = Memory(stamped)
    first = automatic_pack(stamped, PIXELS, memory=memory)
    memory.save([record.digest for _, record in first.pairs])
    reads.clear()
    assert automatic_pack(stamped, PIXELS).pairs == first.pairs
    assert reads == [source.items[3].key]


def test_normalisation_makes_no_other_pack_and_anything_else_does(source: FileSource) -> None:
    memory = Memory(source)
    base = automatic_path(memory, PIXELS)
    assert base == automatic_path(memory, dataclasses.replace(PIXELS, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)))
    others = [
        {"height": 25}, {"width": 25}, {"rule": "squash"}, {"fraction": 1.0}, {"filter": "bicubic"}, {"fill": 9},
        {"channels": 1, "mean": (0.0,), "std": (1.0,)},
    ]  # fmt: skip
    paths = {automatic_path(memory, dataclasses.replace(PIXELS, **change)) for change in others}  # type: ignore[arg-type]
    assert len(paths | {base}) == len(others) + 1
    assert automatic_path(Memory(dataclasses.replace(source, identity="elsewhere")), PIXELS) != base


def test_targets_are_those_of_the_source_now(source: FileSource) -> None:
    automatic_pack(source, PIXELS)
    items = tuple(dataclasses.replace(item, target=1 - int(item.target), part="train") for item in source.items)  # type: ignore[arg-type]
    relabelled = dataclasses.replace(source, items=items)
    assert [item for item, _ in automatic_pack(relabelled, PIXELS).pairs] == list(items)


@pytest.mark.parametrize("change", ["edited", "added", "removed", "mended", "renamed"])
def test_what_changed_is_packed_again_and_nothing_else_is_decoded(
    source: FileSource, opened: list[object], change: str
) -> None:
    automatic_pack(source, PIXELS)
    opened.clear()
    first = source.root / source.items[0].key
    new = 1
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    if change == "edited":
        picture.save(first)
    elif change == "added":
        picture.save(first.with_name("a new one.png"))
    elif change == "mended":
        picture.save(first.with_name("broken.jpg"))
    else:
        new = 0
        if change == "removed":
            first.unlink()
        else:
            first.rename(first.with_name("zz.jpg"))
    told, now = Told(), open_folder(source.root)
    packed = automatic_pack(now, PIXELS, progress=told)
    assert len(opened) == new
    assert told.lines[0] == "The images of set have changed since they were packed; packing them again"
    assert len(told.lines) == 2
    assert same_as_looking(packed, now)
    fresh = write_pack(source.root.parent / "fresh.pack", now, PIXELS)
    assert packed.path.read_bytes() == fresh.path.read_bytes()


def test_twins_keep_their_places_when_the_pack_is_brought_up_to_date(source: FileSource) -> None:
    first, last = (source.root / source.items[place].key for place in (0, -2))
    shutil.copyfile(first, last.with_name("0 twin.jpg"))
    automatic_pack(open_folder(source.root), PIXELS)
    last.unlink()
    now = open_folder(source.root)
    assert same_as_looking(automatic_pack(now, PIXELS), now)


def test_a_damaged_pack_is_said_and_made_again(source: FileSource) -> None:
    path = automatic_pack(source, PIXELS).path
    stored = bytearray(path.read_bytes())
    stored[5000] ^= 1
    path.write_bytes(stored)
    told = Told()
    assert same_as_looking(automatic_pack(source, PIXELS, progress=told), source)
    assert "damaged" in told.lines[0] and told.lines[0].endswith("pack the images again: this is done now")
    assert open_pack(path).images.shape == (8, 24, 24, 3)


def test_a_cache_without_room_is_said(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=5000))
    with pytest.raises(WorkError, match=r"packing 10 images .*packs' has 0\.0050 MB free; free some, .*STRIATE_CACHE"):
        automatic_pack(source, PIXELS)


def test_a_pack_of_that_size_is_taken_as_it_is(source: FileSource, own_cache: Path, tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "a.pack", source, PIXELS)
    packed = automatic_pack(pack, dataclasses.replace(PIXELS, std=(1.0, 1.0, 1.0)))
    assert packed.images is pack.images and [item for item, _ in packed.pairs] == list(pack.items)
    assert not (own_cache / "packs").exists()
    smaller = Pixels(16, 16)
    assert same_as_looking(automatic_pack(pack, smaller), pack, smaller)


def test_packs_that_nobody_uses_are_forgotten(photos: Path, tmp_path: Path) -> None:
    source, told = open_folder(photos), Told()
    first = automatic_pack(source, PIXELS).path
    second = automatic_pack(source, dataclasses.replace(PIXELS, height=20, width=20)).path
    long_ago = time.time() - (KEPT_DAYS + 1) * 86_400
    for path in (first, second):
        os.utime(path, (long_ago, long_ago))
    assert automatic_pack(source, PIXELS).path == first  # used: it counts as new again
    third = automatic_pack(source, dataclasses.replace(PIXELS, height=16, width=16), progress=told).path
    assert first.exists() and third.exists() and not second.exists()
    assert any("not used for" in line for line in told.lines)
