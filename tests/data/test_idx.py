"""IDX: MNIST's own files, packed or not, in folders and alone; whatever they declare, never more than they hold."""

from __future__ import annotations

import gzip
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate import audit
from striate.data.opening import open_source
from striate.data.sources.arrays import ArraySource
from striate.data.sources.idx import open_idx, read_idx
from striate.errors import RequestError

Cli = Callable[..., tuple[int, str, str]]

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """The array as an IDX file, which may declare another shape."""
    declared = array.shape if shape is None else shape
    return bytes([0, 0, kind, len(declared)]) + struct.pack(f">{len(declared)}I", *declared) + array.tobytes()


def put(folder: Path, part: str = "train", packed: bool = False, dot: str = "-", count: int = 6) -> Path:
    """A part's two files; returns the file of images."""
    folder.mkdir(parents=True, exist_ok=True)
    for what, array, axes in (("images", IMAGES[:count], 3), ("labels", LABELS[:count], 1)):
        path = folder / f"{part}-{what}{dot}idx{axes}{dot}ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return next(folder.glob(f"{part}-images*"))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
def test_a_folder_with_both_parts(packed: bool, dot: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    put(folder, "t10k", packed, dot, 4)
    put(folder, "train", packed, dot)
    (folder / "readme.txt").write_text("x")
    source = open_source(folder)
    assert isinstance(source, ArraySource) and source.name == "set" and source.identity == str(folder.resolve())
    assert [item.part for item in source.items] == ["train"] * 6 + ["test"] * 4
    assert source.task.names == ("0", "1", "2") and [item.target for item in source.items][:4] == [0, 1, 2, 0]
    assert np.array_equal(source.images, np.concatenate([IMAGES, IMAGES[:4]]))
    assert [(oddity.path, oddity.kind) for oddity in source.oddities] == [("readme.txt", "other-file")]
    assert source.peek(source.items[0]) == (4, 5, 1) and source.stamp(source.items[0]) == ""
    assert len(audit(folder).usable) == 10


@pytest.mark.parametrize("beside", [True, False])
def test_folders_named_like_the_files_are_not_in_the_way(beside: bool, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for part, count in (("train", 6), ("t10k", 4)):
        if beside:
            put(folder, part, dot=".", count=count)
        for what, array, axes in (("images", IMAGES[:count], 3), ("labels", LABELS[:count], 1)):
            inner = folder / f"{part}-{what}-idx{axes}-ubyte" / f"{part}-{what}-idx{axes}-ubyte"
            inner.parent.mkdir(parents=True)
            inner.write_bytes(idx(array))
    source = open_source(folder)
    assert [item.part for item in source.items] == ["train"] * 6 + ["test"] * 4
    assert isinstance(source, ArraySource) and np.array_equal(source.images, np.concatenate([IMAGES, IMAGES[:4]]))


def test_one_file_finds_its_labels(tmp_path: Path) -> None:
    images = put(tmp_path, "train")
    put(tmp_path, "t10k", count=3)
    source = open_source(images)
    assert len(source.items) == 6 and {item.part for item in source.items} == {""}
    assert source.identity == str(images.resolve())
    images.with_name("train-labels-idx1-ubyte").write_bytes(b"")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    images.with_name("train-labels-idx1-ubyte").unlink()
    assert len(open_source(images).items) == 6


def test_a_lone_part_is_no_split(tmp_path: Path) -> None:
    put(tmp_path / "set", "t10k")
    assert {item.part for item in open_source(tmp_path / "set").items} == {""}


def test_a_folder_of_several_sets_asks_which(tmp_path: Path) -> None:
    first = put(tmp_path, "emnist-letters-train")
    put(tmp_path, "emnist-digits-train")
    with pytest.raises(
        RequestError, match="holds 2 IDX sets; give the images of one, such as emnist-digits-train-images"
    ):
        open_source(tmp_path)
    assert len(open_source(first).items) == 6


def test_class_names(tmp_path: Path) -> None:
    put(tmp_path)
    assert open_idx(tmp_path, "named", ["a", "b", "c", "d"]).task.names == ("a", "b", "c", "d")
    with pytest.raises(RequestError, match="a label is 2; there are 2 classes, 0 to 1"):
        open_idx(tmp_path, "named", ["a", "b"])


def test_mnist_as_it_was_published(test_data: Path, tmp_path: Path) -> None:
    arrays = np.load(test_data / "mnist.npz")
    for name, images, labels in (("train", arrays["xtr"], arrays["ytr"]), ("t10k", arrays["xte"], arrays["yte"])):
        pixels = images.reshape(-1, 28, 28).astype(np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(pixels))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels.astype(np.uint8)), 1))
    source = open_source(tmp_path)
    assert isinstance(source, ArraySource)
    assert [sum(item.part == part for item in source.items) for part in ("train", "test")] == [60000, 10000]
    assert np.array_equal(source.images[:60000], arrays["xtr"].reshape(-1, 28, 28))
    assert [item.target for item in source.items[-100:]] == arrays["yte"][-100:].tolist()


BAD = {
    "empty": (b"", "not an IDX file: it starts with nothing"),
    "text": (b"path,label\n", "not an IDX file: it starts with 70 61 74 68"),
    "labels": (idx(LABELS), "1-dimensional values of type 0x08"),
    "floats": (idx(IMAGES, kind=13), "type 0x0d"),
    "short header": (idx(IMAGES)[:11], "ends within its header"),
    "cut": (idx(IMAGES)[:-1], "declares 120 values (6 x 5 x 4)"),
    "longer": (idx(IMAGES) + b"x", "declares 120 values (6 x 5 x 4) and has more"),
    "huge": (idx(IMAGES, (2**32 - 1, 28, 28)), "more than it can contain"),
    "overflow": (idx(IMAGES, (2**32 - 1,) * 3), "more than it can contain"),
    "no images": (idx(IMAGES[:0]), "it contains no images"),
    "no width": (idx(IMAGES[:, :, :0]), "it contains no images"),
    "fewer": (idx(IMAGES[:5]), "5 images, but labels of shape (6,)"),
    "packed: cut": (gzip.compress(idx(IMAGES))[:-9], "cannot read"),
    "packed: bomb": (gzip.compress(idx(np.zeros((1, 2**22, 1), np.uint8), (1, 5, 4))), "and has more"),
    "packed: lie": (gzip.compress(idx(IMAGES, (1000, 5, 4))), "(1000 x 5 x 4) and has only 120"),
    "packed: huge": (gzip.compress(idx(IMAGES, (2**31, 28, 28))), "more than it can contain"),
    "packed: text": (gzip.compress(b"hello"), "not an IDX file"),
}


@pytest.mark.parametrize(("content", "why"), BAD.values(), ids=BAD.keys())
def test_damaged_files_are_refused_in_one_line(content: bytes, why: str, tmp_path: Path, cli: Cli) -> None:
    images = put(tmp_path / "set")
    images.write_bytes(content)
    for given_ in (images, tmp_path / "set"):
        code, out, err = cli("audit", given_)
        assert code == 2 and out == "" and why in err and err.count("\n") == 1


def test_missing_partners(tmp_path: Path) -> None:
    images = put(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    with pytest.raises(RequestError, match="contains labels; give the file of images"):
        open_source(labels)
    labels.unlink()
    with pytest.raises(RequestError, match="has no labels: train-labels-idx1-ubyte is missing"):
        open_source(images)


@given(st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused(data: st.DataObject, packed: bool) -> None:
    content = bytearray(gzip.compress(idx(IMAGES)) if packed else idx(IMAGES))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(40, len(content) - 1)))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x-images-idx3-ubyte"
        path.write_bytes(content)
        try:
            array = read_idx(path, 3)
        except RequestError as error:
            assert "x-images" in str(error)
        else:
            assert array.ndim == 3 and array.size <= IMAGES.size
