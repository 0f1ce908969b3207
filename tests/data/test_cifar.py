"""CIFAR's binary version, from its folder and its archive; the pickled one is refused, and archives are not trusted."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.opening import open_source
from striate.data.sources import cifar
from striate.data.sources.arrays import ArraySource
from striate.data.sources.cifar import open_cifar
from striate.errors import RequestError

Cli = Callable[..., tuple[int, str, str]]

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for count in (10, 3))


def records(images: np.ndarray, *labels: list[int]) -> bytes:
    """CIFAR's records: the labels of an image, then its pixels, colour by colour."""
    return b"".join(
        bytes(row) + image.transpose(2, 0, 1).tobytes() for image, *row in zip(images, *labels, strict=True)
    )


TEN = {
    **{f"data_batch_{n + 1}.bin": records(TRAIN[2 * n : 2 * n + 2], [2 * n, 2 * n + 1]) for n in range(5)},
    "test_batch.bin": records(TEST, [3, 0, 9]),
    "batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode(),
    "readme.html": b"<html>",
}
HUNDRED = {
    "train.bin": records(TRAIN, [0] * 10, list(range(10))),
    "test.bin": records(TEST, [1] * 3, [2, 1, 0]),
    "fine_label_names.txt": ("\n".join(NAMES) + "\n").encode(),
    "coarse_label_names.txt": b"animals\nmachines\n",
}


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def archive(path: Path, files: Mapping[str, bytes], top: str = "cifar-10-batches-bin/") -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("files", [TEN, HUNDRED], ids=["ten", "hundred"])
@pytest.mark.parametrize("packed", [True, False])
def test_both_sets_from_folder_and_archive(files: dict[str, bytes], packed: bool, tmp_path: Path) -> None:
    path = archive(tmp_path / "set.tar.gz", files) if packed else folder(tmp_path / "set", files)
    source = open_source(path)
    assert isinstance(source, ArraySource) and source.name == "set" and source.identity == str(path.resolve())
    assert source.task.names == tuple(NAMES) and source.oddities == () and source.notes == ()
    assert np.array_equal(source.images, np.concatenate([TRAIN, TEST]))
    assert [item.part for item in source.items] == ["train"] * 10 + ["test"] * 3
    last = [3, 0, 9] if files is TEN else [2, 1, 0]
    assert [item.target for item in source.items] == [*range(10), *last]


def test_real_images_come_back_byte_for_byte(test_data: Path, tmp_path: Path) -> None:
    arrays = np.load(test_data / "cifar10_lossless_5k.npz")
    x, y = arrays["xte"], arrays["yte"].tolist()
    files = {"test_batch.bin": records(x, y), "data_batch_1.bin": records(x[:1], y[:1])}
    source = open_cifar(archive(tmp_path / "c.tar.gz", files | {"batches.meta.txt": TEN["batches.meta.txt"]}))
    assert np.array_equal(source.images[1:], x) and [item.target for item in source.items[1:]] == y
    assert source.notes == ("missing files: data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin",)


def test_what_else_lies_there_is_told(tmp_path: Path) -> None:
    path = folder(tmp_path / "set", {**TEN, "notes.txt": b"x"})
    (path / "test_batch.bin").unlink()
    source = open_cifar(path)
    assert [(oddity.path, oddity.kind) for oddity in source.oddities] == [("notes.txt", "other-file")]
    assert source.notes == ("missing files: test_batch.bin",) and {item.part for item in source.items} == {""}


def test_the_folder_above_is_told_where_to_look(tmp_path: Path) -> None:
    inner = folder(tmp_path / "set" / "cifar-10-batches-bin", TEN)
    with pytest.raises(RequestError, match=f"or did you mean '{inner}'"):
        open_source(tmp_path / "set")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("names", [("data_batch_1", "batches.meta", "test_batch"), ("train", "test", "meta")])
def test_the_pickled_version_is_refused_and_never_unpickled(names: tuple[str, ...], tmp_path: Path, cli: Cli) -> None:
    mark = tmp_path / "code ran"
    files = dict.fromkeys(names, pickle.dumps(Bomb(mark)))
    for path in (folder(tmp_path / "set", files), archive(tmp_path / "set.tar.gz", files)):
        code, _, err = cli("train", path, "--out", tmp_path / "run")
        assert code == 2 and "the Python version of CIFAR, a pickle" in err and "use the binary version" in err
    assert not mark.exists() and not (tmp_path / "run").exists()


BAD = {
    "cut": ({"data_batch_1.bin": TEN["data_batch_1.bin"][:-1]}, "no multiple of 3,073: it is damaged"),
    "empty": ({"test_batch.bin": b""}, "test_batch.bin of"),
    "label": ({"data_batch_2.bin": records(TEST[:1], [10])}, "holds the label 10; there are 10 classes"),
    "no names": ({"batches.meta.txt": b"\n"}, "must name 1 to 256 classes"),
    "same names": ({"batches.meta.txt": b"a\na\n"}, "each once"),
    "names no text": ({"batches.meta.txt": b"\xff\xfe"}, "is not text"),
}


@pytest.mark.parametrize(("change", "why"), BAD.values(), ids=BAD.keys())
def test_damaged_files_are_refused_in_one_line(change: dict[str, bytes], why: str, tmp_path: Path, cli: Cli) -> None:
    for path in (folder(tmp_path / "set", TEN | change), archive(tmp_path / "set.tgz", TEN | change)):
        code, out, err = cli("audit", path)
        assert code == 2 and out == "" and why in err and err.count("\n") == 1


def test_missing_names_and_foreign_archives(tmp_path: Path) -> None:
    without = {name: content for name, content in TEN.items() if name != "batches.meta.txt"}
    with pytest.raises(RequestError, match=r"lacks batches\.meta\.txt"):
        open_source(folder(tmp_path / "set", without))
    with pytest.raises(RequestError, match=r"is not CIFAR: expected data_batch_1\.bin"):
        open_source(archive(tmp_path / "photos.tar.gz", {"a.jpg": b"x"}))


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = folder(tmp_path / "set", TEN), archive(tmp_path / "set.tar.gz", TEN)
    monkeypatch.setattr(cifar, "MAX_BYTES", 5000)
    for path in paths:
        with pytest.raises(RequestError, match="larger than any file of CIFAR"):
            open_source(path)
    monkeypatch.setattr(cifar, "MAX_BYTES", 7000)
    monkeypatch.setattr(cifar, "MAX_TOTAL", 10**6)  # each file fits; what is passed over counts, too
    with pytest.raises(RequestError, match="unpacks to more than any such data set has"):
        open_source(archive(tmp_path / "bomb.tar.gz", {"padding": bytes(10**6), **TEN}))


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


HOSTILE = {
    "link": (member("data_batch_1.bin", tarfile.SYMTYPE, "/etc/passwd"), "a link or device"),
    "hard link": (member("data_batch_1.bin", tarfile.LNKTYPE, "/etc/passwd"), "a link or device"),
    "device": (member("data_batch_1.bin", tarfile.CHRTYPE), "a link or device"),
    "pipe": (member("data_batch_1.bin", tarfile.FIFOTYPE), "a link or device"),
    "absolute": (member("/data_batch_1.bin", size=5), "a path outside the target folder"),
    "above": (member("a/../../data_batch_1.bin", size=5), "a path outside the target folder"),
    "windows": (member("C:\\data_batch_1.bin", size=5), "a path outside the target folder"),
}


@pytest.mark.parametrize(("hostile", "why"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_members_are_refused(hostile: tarfile.TarInfo, why: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=why):
        open_source(tar_with(tmp_path / "set.tar.gz", member("x/test_batch.bin", size=3073), hostile))
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar.gz"]


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "s.tgz", member("a/test_batch.bin", size=3073), member("b/test_batch.bin", size=3073))
    with pytest.raises(RequestError, match=r"contains test_batch\.bin twice"):
        open_source(path)


# With names: pytest's own would hold the time that gzip writes, and differ between two workers.
NO_ARCHIVES = {
    "empty": b"",
    "text": b"no archive",
    "empty gzip": gzip.compress(b"", mtime=0),
    "gzip of text": gzip.compress(b"x" * 2000, mtime=0),
    "two bytes of gzip": b"\x1f\x8b",
}


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=NO_ARCHIVES.keys())
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"set\.tar\.gz"):
        open_source(path)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = archive(Path(place) / "set.tar.gz", TEN)
        inflated = data.draw(st.booleans())
        content = bytearray(gzip.decompress(path.read_bytes()) if inflated else path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, min(1000, len(content) - 1)))] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
        path.write_bytes(content)
        try:
            source = open_source(path)
        except RequestError as error:
            assert "set" in str(error)
        else:
            assert source.items
