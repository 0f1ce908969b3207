"""The pass over a source: each file once, in order, and nothing that need not be read or decoded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate import audit
from striate.data.audit.looking import Memory, Record, look
from striate.data.sources import base as sources
from striate.data.sources.base import Item, file_stamp
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.pixels import Decoded, Pixels
from striate.tasks import Classification

PIXELS = Pixels(8, 8)


def picture(path: Path, seed: int, side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twenty images."""
    for number in range(40):
        picture(tmp_path / "set" / "ab"[number % 2] / f"{number:02d}.png", number)
    return tmp_path / "set"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[str]]:
    """How often each file was read, and how many were decoded."""
    counts: dict[str, Counter[str]] = {"read": Counter(), "decode": Counter()}
    read, decode = FileSource.read, FileSource.decode

    def counted_read(source: FileSource, item: Item) -> bytes:
        counts["read"][item.key] += 1
        return read(source, item)

    def counted_decode(source: FileSource, content: bytes, at_least: int) -> Decoded:
        counts["decode"]["all"] += 1
        return decode(source, content, at_least)

    monkeypatch.setattr(FileSource, "read", counted_read)
    monkeypatch.setattr(FileSource, "decode", counted_decode)
    return counts


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as written long ago, however new they are."""
    monkeypatch.setattr(sources, "TICK", 0)


def test_each_file_is_read_and_decoded_once_and_in_order(folder: Path, asked: dict[str, Counter[str]]) -> None:
    source = open_folder(folder)
    looked = list(look(source, PIXELS))
    assert [one.item for one in looked] == list(source.items)
    assert all(one.crop is not None and one.crop.shape == (8, 8, 3) for one in looked)
    assert set(asked["read"].values()) == {1} and len(asked["read"]) == 40 and asked["decode"]["all"] == 40


def test_what_is_not_wanted_has_no_crop(folder: Path) -> None:
    source = open_folder(folder)
    chosen = {one.record.digest for one in look(source, PIXELS, items=source.items[:3])}
    crops = [one.crop is not None for one in look(source, PIXELS, wanted=chosen.__contains__)]
    assert crops == [True] * 3 + [False] * 37


def test_only_a_window_is_read_ahead(folder: Path, asked: dict[str, Counter[str]]) -> None:
    source = open_folder(folder)

    def endless() -> Iterator[Item]:
        while True:
            yield from source.items

    looking = look(source, PIXELS, items=endless())
    for _ in range(5):
        next(looking)
    looking.close()
    window = 8 * (2 * min(8, os.cpu_count() or 1) + 1)
    assert sum(asked["read"].values()) <= window


def test_an_error_of_the_program_is_raised_where_it_happened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(FileSource, "decode", decode)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        list(look(open_folder(folder), PIXELS))


# Files that nobody wrote to


@pytest.mark.usefixtures("settled")
def test_unchanged_files_are_not_read_again(folder: Path, asked: dict[str, Counter[str]]) -> None:
    first = audit(folder)
    asked["read"].clear()
    assert audit(folder).as_dict() == first.as_dict()
    assert not asked["read"] and asked["decode"]["all"] == 40


@pytest.mark.usefixtures("settled")
def test_a_wanted_crop_is_read_whatever_is_remembered(folder: Path, asked: dict[str, Counter[str]]) -> None:
    audit(folder)
    source = open_folder(folder)
    memory = Memory(source)
    asked["read"].clear()
    digest = next(iter(memory.records))
    looked = list(look(source, PIXELS, memory=memory, wanted=lambda one: one == digest))
    assert [one.record.digest for one in looked if one.crop is not None] == [digest]
    assert sum(asked["read"].values()) == 1


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("how", ["rewritten", "replaced", "touched"])
def test_a_file_that_was_written_to_is_read_again(how: str, folder: Path, asked: dict[str, Counter[str]]) -> None:
    audit(folder)
    path = folder / "a" / "00.png"
    before = path.stat()
    other = picture(folder.parent / "other.png", 99)
    if how == "replaced":
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    elif how == "rewritten":
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    asked["read"].clear()
    looked = next(iter(look(open_folder(folder), PIXELS, memory=Memory(open_folder(folder)), wanted=lambda _: False)))
    assert dict(asked["read"]) == {"a/00.png": 1}
    assert asked["decode"]["all"] == (40 if how == "touched" else 41)  # known by its content, whatever its times
    assert looked.record.width == 16


def test_a_file_just_written_has_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TICK", 10**12)
    path = picture(tmp_path / "new.png", 0)
    assert file_stamp(path) == ""
    os.utime(path, (1_000_000_000, 1_000_000_000))  # its content may be newer than it says
    assert file_stamp(path) == ""
    monkeypatch.setattr(sources, "TICK", 0)
    assert file_stamp(path).startswith(f"{path.stat().st_size}:1000000000000000000:")
    assert file_stamp(tmp_path / "missing.png") == ""


@pytest.mark.usefixtures("settled")
def test_nothing_is_written_where_nothing_is_new(folder: Path) -> None:
    audit(folder)
    path = Memory(open_folder(folder)).path
    before = path.stat().st_ino
    audit(folder)
    assert path.stat().st_ino == before
    (folder / "a" / "00.png").unlink()
    audit(folder)
    assert len(Memory(open_folder(folder)).records) == 39


@pytest.mark.usefixtures("settled")
@pytest.mark.skipif(os.name == "nt", reason="names of any bytes")
def test_names_that_are_no_text_are_remembered(folder: Path, asked: dict[str, Counter[str]]) -> None:
    (folder / "a" / "00.png").rename(folder / "a" / "\udcff\n.png")
    first = audit(folder)
    asked["read"].clear()
    assert audit(folder).as_dict() == first.as_dict() and not asked["read"]


def test_sources_without_stamps_are_hashed(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8), y=[0, 1] * 4)
    assert audit(tmp_path / "set.npz").as_dict() == audit(tmp_path / "set.npz").as_dict()


# The memory's file

TEXTS = st.text(st.characters(), max_size=8)
RECORDS = st.builds(
    Record,
    digest=st.binary(min_size=32, max_size=32).map(bytes.hex),
    width=st.integers(0, 2**32 - 1),
    height=st.integers(0, 2**32 - 1),
    format=TEXTS,
    notes=st.lists(TEXTS, max_size=3).map(tuple),
    spread=st.floats(0, 128),
    print=st.one_of(st.just(b""), st.binary(max_size=40)),
    problem=TEXTS,
    why=TEXTS,
)


@given(st.lists(RECORDS, max_size=6, unique_by=lambda record: record.digest), st.data())
@settings(deadline=None)
def test_the_file_gives_back_what_it_was_given(records: list[Record], data: st.DataObject) -> None:
    keys = data.draw(st.lists(TEXTS, min_size=len(records), max_size=len(records), unique=True))
    source = FileSource(Path(), "drawn", f"drawn {records}", Classification(("a",)), (), ())
    memory = Memory(source)
    for key, record in zip(keys, records, strict=True):
        memory.remember(key, f"stamp of {key}", record)
    memory.save([record.digest for record in records])
    again = Memory(source)
    assert again.records == {record.digest: record for record in records}
    for key, record in zip(keys, records, strict=True):
        assert again.unchanged(key, f"stamp of {key}") == record
        assert again.unchanged(key, "another") is None and again.unchanged(key, "") is None
