"""The pack: the same images as looking gives, in one mapped file; no damage goes unseen."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate import model as model_room
from striate.data.audit.audit import audit
from striate.data.audit.looking import look
from striate.data.opening import open_source
from striate.data.pack.layout import Entry
from striate.data.pack.source import PackSource, open_pack
from striate.data.pack.writing import write_pack
from striate.data.sources.arrays import from_arrays
from striate.data.sources.base import Item, Oddity, Source
from striate.data.sources.folder import open_folder
from striate.data.splits import split
from striate.errors import RequestError
from striate.pixels import Decoded, Pixels
from striate.tasks import Classification, Multilabel, Regression, Task

PIXELS = Pixels(48, 40, rule="squash", filter="bicubic")


@dataclasses.dataclass(frozen=True)
class Several:
    """A source of a given task whose images are noise: what a manifest of labels or of numbers gives."""

    task: Task
    items: tuple[Item, ...]
    name: str = "several"
    identity: str = "test:several"
    oddities: tuple[Oddity, ...] = ()

    def read(self, item: Item) -> bytes:
        return np.random.default_rng(len(item.key)).bytes(12 * 12 * 3)

    def decode(self, content: bytes, at_least: int) -> Decoded:
        values = np.frombuffer(content, np.uint8).reshape(12, 12, 3)
        return Decoded(Image.fromarray(values), (12, 12), "array", ())

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        return 12, 12, 3


@pytest.fixture(scope="module")
def dirty(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Photographs with a broken, an odd, a doubled and a hidden file among them."""
    root = tmp_path_factory.mktemp("dirty") / "set"
    for part in ("train", "val"):
        for folder in sorted((photos / part).iterdir()):
            (root / part / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:5]:
                (root / part / folder.name / file.name).write_bytes(file.read_bytes())
    first = sorted((root / "train").iterdir())[0]
    whole = sorted(first.iterdir())[0].read_bytes()
    (first / "a cut one.jpg").write_bytes(whole[: len(whole) // 2])
    (first / "twin é.jpg").write_bytes(whole)
    (first / ".hidden.jpg").write_bytes(whole)
    Image.new("L", (90, 70), 9).save(first / "grey.png")
    return open_folder(root)


@pytest.fixture(scope="module")
def packed(dirty: Source, tmp_path_factory: pytest.TempPathFactory) -> PackSource:
    path = tmp_path_factory.mktemp("packed") / "photos.pack"
    write_pack(path, dirty, PIXELS)
    return open_pack(path)


def test_images_are_what_looking_gives_byte_for_byte_and_in_order(dirty: Source, packed: PackSource) -> None:
    looked = [one for one in look(dirty, PIXELS) if one.crop is not None]
    assert packed.items == tuple(one.item for one in looked)
    assert np.array_equal(packed.images, np.stack([one.crop for one in looked if one.crop is not None]))
    assert packed.pixels == PIXELS and packed.task == dirty.task and packed.name == dirty.name


def test_looking_at_the_pack_is_looking_at_the_files(dirty: Source, packed: PackSource) -> None:
    files = [one for one in look(dirty, PIXELS) if one.crop is not None]
    for one, other in zip(files, look(packed, PIXELS), strict=True):
        assert (one.item, one.record) == (other.item, other.record)
        assert np.array_equal(one.crop, other.crop)  # type: ignore[arg-type]


def test_audit_and_split_are_those_of_the_files(dirty: Source, packed: PackSource) -> None:
    found = [audit(source, [(one.item, one.record) for one in look(source, PIXELS)]) for source in (dirty, packed)]
    assert found[0].as_dict() == found[1].as_dict()
    assert {oddity.kind for oddity in packed.oddities} == {"hidden", "truncated"}
    for one in found:  # as if no split were given
        one.usable = [dataclasses.replace(e, item=dataclasses.replace(e.item, part="")) for e in one.usable]
    assert split(found[0], 0.3, 1) == split(found[1], 0.3, 1)


def test_the_images_are_mapped_and_cannot_be_written(packed: PackSource) -> None:
    assert isinstance(packed.images, np.memmap) and packed.images.mode == "r"
    with pytest.raises(ValueError, match="read-only"):
        packed.images[0] = 0


def test_any_reader_of_safetensors_opens_it(packed: PackSource) -> None:
    tensors = safetensors.numpy.load_file(packed.path)
    assert np.array_equal(tensors["images"], packed.images)
    table = [json.loads(line) for line in tensors["table"].tobytes().splitlines()]
    assert [line["item"]["key"] for line in table if line.get("crc") is not None] == [i.key for i in packed.items]


def test_a_pack_is_opened_as_a_source_without_torch(packed: PackSource) -> None:
    code = (
        "import sys; from striate.data.opening import open_source; source = open_source(sys.argv[1]); "
        "source.decode(source.read(source.items[0]), 0).image.load(); "
        "assert not {'torch', 'openvino', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(packed.path)], check=True)


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (Multilabel(("sun", "sea", "sand")), [(0, 2), (), (1,)]),
        (Regression(("age",)), [0.1, -3.0, 1e300]),
        (Classification(("b", "a")), [1, 0, 1]),
    ],
    ids=["labels", "number", "class"],
)
def test_tasks_groups_and_weights_come_back(task: Task, targets: list[object], tmp_path: Path) -> None:
    items = tuple(
        Item(f"{n * 'x'}\udce9/{n}", target, ("train", "", "val")[n], f"group {n}", 0.1 + n)  # type: ignore[arg-type]
        for n, target in enumerate(targets)
    )
    back = write_pack(tmp_path / "a.pack", Several(task, items), Pixels(12, 12))
    assert (back.items, back.task) == (items, task)
    assert [type(item.target) for item in back.items] == [type(item.target) for item in items]


def test_grey_arrays_are_packed_in_one_channel(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 7), dtype=np.uint8)
    source = from_arrays("grey", "test:grey", [("", images, np.arange(6) % 2)])
    grey = Pixels(9, 7, 1, "centre", mean=(0.0,), std=(1.0,))
    back = write_pack(tmp_path / "a.pack", source, grey)
    assert np.array_equal(back.images[..., 0], images)
    assert [one.record for one in look(back, grey)] == [one.record for one in look(source, grey)]
    assert np.array_equal(np.stack([one.crop for one in look(back, grey)])[..., 0], images)  # type: ignore[misc]


# Damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PackSource:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    source = from_arrays("small", "test:small", [("", images, np.arange(5) % 2)])
    source = dataclasses.replace(source, oddities=(Oddity("x.txt", "other-file", "no image"),))
    return write_pack(tmp_path_factory.mktemp("small") / "a.pack", source, Pixels(8, 8))


def content(source: PackSource) -> tuple[object, ...]:
    return source.name, source.task, source.pixels, source.entries, source.oddities, source.images.tobytes()


def tried(path: Path, stored: bytes) -> PackSource | None:
    """The pack of these bytes, None where it is refused, in one line that names the file."""
    path.write_bytes(stored)
    try:
        return open_pack(path)
    except RequestError as error:
        assert repr(str(path)) in str(error) and "\n" not in str(error)
        return None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(small: PackSource, tmp_path: Path, data: st.DataObject) -> None:
    stored = bytearray(small.path.read_bytes())
    # The header's padding is most of so small a file; half of the tries leave it alone.
    used = [place for place, byte in enumerate(stored) if byte != 0x20]
    place = data.draw(st.one_of(st.integers(0, len(stored) - 1), st.sampled_from(used)))
    stored[place] ^= data.draw(st.integers(1, 255))
    opened = tried(tmp_path / "b.pack", bytes(stored))
    assert opened is None or content(opened) == content(small)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_or_grown_is_refused(small: PackSource, tmp_path: Path, data: st.DataObject) -> None:
    stored = small.path.read_bytes()
    cut = stored[: data.draw(st.integers(0, len(stored) - 1))]
    assert tried(tmp_path / "b.pack", data.draw(st.sampled_from([cut, stored + cut[:1] + b"\0"]))) is None


def headed(value: object) -> bytes:
    """A header's length and the header, as safetensors has them."""
    text = json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text


KEYS = st.sampled_from(["__metadata__", "striate.pack", "images", "table"])
VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["{}", "[]", '{"format": 1}', "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=st.one_of(st.binary(max_size=200), VALUES.map(headed)))
def test_what_is_no_pack_is_refused(tmp_path: Path, stored: bytes) -> None:
    assert tried(tmp_path / "b.pack", stored) is None


def test_a_damaged_image_is_named(small: PackSource, tmp_path: Path) -> None:
    stored = bytearray(small.path.read_bytes())
    start = len(stored) - small.images.nbytes - len(safetensors.numpy.load_file(small.path)["table"])
    stored[start + 3 * 8 * 8 * 3 + 7] ^= 1
    (tmp_path / "b.pack").write_bytes(stored)
    with pytest.raises(RequestError, match=rf"b\.pack.*damaged.*{small.items[3].key}.*pack the images again"):
        open_source(tmp_path / "b.pack")
    assert open_pack(tmp_path / "b.pack", check=False).items == small.items  # not asked, not read


def described(path: Path, **changes: object) -> bytes:
    """The pack with another description, its checksum as it should be."""
    stored = path.read_bytes()
    length = struct.unpack("<Q", stored[:8])[0]
    outer = json.loads(stored[8 : 8 + length])
    facts = json.loads(outer["__metadata__"]["striate.pack"]) | changes
    del facts["sha256"]
    facts["sha256"] = model_room.file.sha256_of(json.dumps(facts).encode())
    outer["__metadata__"]["striate.pack"] = json.dumps(facts)
    text = json.dumps(outer).encode().ljust(length)
    return struct.pack("<Q", len(text)) + text + stored[8 + length :]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 3}, "pack format 3, and this Striate reads 2; upgrade"),
        ({"format": 1}, "pack format 1, and this Striate reads 2; pack the images again"),
        ({"format": "1"}, "no format number"),
        ({"images": 4}, "damaged"),
        ({"images": -1}, "damaged"),
        ({"pixels": {"height": 8, "width": 8, "channels": 2}}, "damaged"),
        ({"pixels": {"height": 8, "width": 9}}, "damaged"),
        ({"task": {"kind": "classification", "names": ["a"]}}, "table is inconsistent.*target"),
        (
            {"task": {"kind": "multilabel", "names": ["a", "b"], "thresholds": []}},
            "table is inconsistent.*target",
        ),
        ({"task": []}, "damaged"),
        ({"table_sha256": "0"}, "table does not match its checksum"),
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_refused(
    small: PackSource, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    (tmp_path / "b.pack").write_bytes(described(small.path, **changes))
    with pytest.raises(RequestError, match=words):
        open_pack(tmp_path / "b.pack")


def test_a_line_of_the_table_that_cannot_be_is_refused() -> None:
    whole = {"item": {"key": "a", "target": 0}, "record": {"digest": "ab" * 32}, "crc": 1}
    assert Entry.from_values(whole).record.digest == "ab" * 32
    for wrong in (
        {"crc": None}, {"crc": "1"}, {"item": {"key": "a"}}, {"item": None}, {"item": {"key": 1, "target": 0}},
        {"record": {"digest": "xy"}}, {"record": {"digest": "ab"}}, {"record": {"digest": "ab" * 32, "more": 1}},
        {"record": {"digest": "", "problem": "empty"}},
    ):  # fmt: skip
        with pytest.raises((KeyError, TypeError, ValueError)):
            Entry.from_values(whole | wrong)


def test_a_model_is_no_pack_and_a_pack_no_model(small: PackSource, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="not a Striate model"):
        model_room.read(small.path)
    (tmp_path / "m.pack").write_bytes(safetensors.numpy.save({"w": np.zeros(3)}, {"striate": "{}"}))
    with pytest.raises(RequestError, match=r"m\.pack.*not a pack of 'striate pack'"):
        open_pack(tmp_path / "m.pack")


def test_a_pack_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"cannot read the pack .*No such file"):
        open_pack(tmp_path / "none.pack")
    with pytest.raises(RequestError, match="it is a folder, not a file"):
        open_pack(tmp_path)
