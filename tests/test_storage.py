"""Storage: the old file or the new, never half; and one clear line if the disk fails."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

import pytest
from drawings import strict_json
from hypothesis import given
from hypothesis import strategies as st

from striate import storage
from striate.errors import RequestError, WorkError


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_cache_folder_follows_the_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "not made"))
    assert storage.cache_root() == tmp_path / "not made"
    assert not (tmp_path / "not made").exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STRIATE_CACHE", "~/mine")
    assert storage.cache_root() == tmp_path / "mine"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG rule is Linux's")
def test_by_default_the_cache_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STRIATE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.cache_root() == tmp_path / ".cache" / "striate"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert storage.cache_root() == tmp_path / "xdg" / "striate"


def test_a_file_is_written_atomically_with_default_permissions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.bin"
    storage.write_bytes(path, b"content")
    assert path.read_bytes() == b"content"
    (tmp_path / "other").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    storage.write_text(path, "té")
    assert path.read_text("utf-8") == "té"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_text_preserves_undecodable_bytes_of_a_file_name(tmp_path: Path) -> None:
    storage.write_text(tmp_path / "t", b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "t").read_bytes() == b"caf\xe9"


@pytest.mark.parametrize("raised", [OSError("disk"), ValueError("other"), KeyboardInterrupt()], ids=repr)
def test_a_fill_that_fails_leaves_the_old_file_and_nothing_else(raised: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fill(file: BinaryIO) -> None:
        file.write(b"half of the new")
        raise raised

    with pytest.raises(WorkError if isinstance(raised, OSError) else type(raised)):
        storage.write_atomically(path, fill)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_full_disk_at_any_step_is_one_line_that_names_the_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(storage.os, step, full_disk)
    with pytest.raises(WorkError) as caught:
        storage.write_bytes(path, b"new")
    assert str(caught.value) == f"could not write {str(path)!r}: No space left on device"
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_real_limit_on_file_size(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    path = tmp_path / "big"
    code = (
        "import resource, sys; from pathlib import Path; from striate.storage import write_bytes\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "from striate.errors import WorkError\n"
        "try: write_bytes(Path(sys.argv[1]), bytes(10**6))\n"
        "except WorkError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"could not write {str(path)!r}: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkError, match="could not write"):
        storage.write_bytes(tmp_path / "file" / "inside", b"")
    with pytest.raises(WorkError, match="could not write"):
        storage.fill_folder_atomically(tmp_path / "file" / "folder", lambda place: None)


def test_of_a_link_the_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "middle").symlink_to("far/file")
    (tmp_path / "link").symlink_to(tmp_path / "middle")
    storage.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "far" / "file").read_bytes() == b"new" and (tmp_path / "middle").is_symlink()
    assert (tmp_path / "link").readlink() == tmp_path / "middle"
    (tmp_path / "early").symlink_to("not yet/there")
    storage.write_bytes(tmp_path / "early", b"first")
    assert (tmp_path / "not yet" / "there").read_bytes() == b"first" and (tmp_path / "early").is_symlink()
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(WorkError, match=r"could not write .*round"):
        storage.write_bytes(tmp_path / "round", b"x")


@pytest.mark.skipif(os.name != "posix", reason="POSIX has these kinds of file")
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a folder", "a device"])
def test_what_is_no_file_is_not_replaced_by_one(
    kind: str, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("/dev/null") if kind == "a device" else Path("thing")
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    if linked:
        Path("link").symlink_to(path)
        path = Path("link")
    before, names = path.stat(), sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(RequestError, match=f"'{path}' is {kind}.* is not replaced; name a file"):
        storage.write_text(path, "new")
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == names


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout here")
@pytest.mark.parametrize("name", ["/dev/stdout", "link"])
def test_standard_output_is_no_file_even_where_it_leads_to_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import sys; from pathlib import Path; from striate.storage import write_bytes\n"
        "from striate.errors import RequestError\n"
        "try: write_bytes(Path(sys.argv[1]), b'x')\n"
        "except RequestError as error: print(error)"
    )
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", code, name], stdout=out, cwd=tmp_path, check=True)
    said = f"{name!r} is a device or belongs to the system, and is not replaced; name a file\n"
    assert (tmp_path / "out").read_text("utf-8") == said


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    storage.write_bytes(tmp_path / ("é" * 120), b"x")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_written_atomically(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "folder"
    storage.fill_folder_atomically(folder, lambda place: (place / "x").write_text("1"))
    assert (folder / "x").read_text() == "1"
    storage.fill_folder_atomically(folder, lambda place: (place / "x").write_text("2"))
    assert (folder / "x").read_text() == "1"  # the first one remains

    def broken(place: Path) -> None:
        (place / "x").write_text("half")
        full_disk()

    with pytest.raises(WorkError, match="No space left"):
        storage.fill_folder_atomically(tmp_path / "a" / "other", broken)
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["folder"]


@given(st.binary(max_size=2000))
def test_hashes_of_bytes_and_files_agree(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(content)
        assert storage.sha256_of_file(path) == storage.sha256_of(content) == storage.sha256_of(memoryview(content))


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(1, 255))
def test_content_with_a_checksum_is_read_back_or_rejected(content: bytes, place: int, flip: int) -> None:
    stored = bytearray(storage.with_checksum(content))
    found = storage.without_checksum(bytes(stored))
    assert found is not None and bytes(found) == content
    stored[place % len(stored)] ^= flip
    assert storage.without_checksum(bytes(stored)) is None
    assert storage.without_checksum(bytes(stored[: place % len(stored)])) is None


@pytest.mark.parametrize("indent", [None, 1], ids=["one-line", "indented"])
def test_json_has_no_nan_and_no_infinity(indent: int | None) -> None:
    nan, infinite = float("nan"), float("inf")
    value = {"a": nan, "b": [1.5, infinite, {"c": (-infinite, 2)}], "d": None, "e": True, "f": "NaN"}
    text = storage.json_text(value, indent=indent)
    assert strict_json(text) == {"a": None, "b": [1.5, None, {"c": [None, 2]}], "d": None, "e": True, "f": "NaN"}
    assert ("\n" in text) is (indent is not None)
