"""Published data sets that are fetched: where their original files lie, their sizes and checksums, and who says so.

Sizes and SHA-256 sums of MNIST, Fashion-MNIST and CIFAR are those that TensorFlow Datasets publishes for the very same
addresses; hymenoptera's is the one that the PyTorch tutorials' own build checks. Of Imagenette's present archive there
is torchvision's MD5 only, which detects damage but not tampering.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from striate.storage import cache_root


@dataclass(frozen=True)
class Original:
    """One published file. addresses: tried in order. size: in bytes, 0 if it is not published.

    checksum: "sha256:..." or "md5:...", whole or the first digits of it; "" if none is published.
    inside: for a packed file, the SHA-256 of what is in it: the same content, packed anew or not at all, is as good.
    """

    file: str
    addresses: tuple[str, ...]
    size: int
    checksum: str
    inside: str = ""


@dataclass(frozen=True)
class Originals:
    """The files of a set. archive: whether they are unpacked; `top` is then the one folder that the archive holds."""

    files: tuple[Original, ...]
    archive: bool = False
    top: str = ""


def _four(addresses: tuple[str, ...], rows: str) -> Originals:
    """MNIST's four files at each of some addresses, from rows of name, size, SHA-256 packed and unpacked."""
    files = []
    for row in rows.split("\n"):
        if row.strip():
            name, size, packed, inside = row.split()
            file = f"{name}-ubyte.gz"
            places = tuple(address + file for address in addresses)
            files.append(Original(file, places, int(size), f"sha256:{packed}", inside))
    return Originals(tuple(files))


def _one(addresses: tuple[str, ...], size: int, checksum: str, *, archive: bool = False, top: str = "") -> Originals:
    return Originals((Original(addresses[0].rpartition("/")[2], addresses, size, checksum),), archive, top)


ORIGINALS = {
    "mnist": _four(
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        """
        train-images-idx3 9912422 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
        train-labels-idx1 28881   3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
        t10k-images-idx3  1648877 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
        t10k-labels-idx1  4542    f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
        """,  # noqa: E501
    ),
    "fashion-mnist": _four(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        """
        train-images-idx3 26421880 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84 c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
        train-labels-idx1 29515    a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845 bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
        t10k-images-idx3  4422102  346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
        t10k-labels-idx1  5148     67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
        """,  # noqa: E501
    ),
    "cifar10": _one(
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        ),
        170_052_171,
        "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar100": _one(
        (
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-100-binary.tar.gz",
        ),
        168_513_733,
        "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    "hymenoptera": _one(
        ("https://download.pytorch.org/tutorial/hymenoptera_data.zip",),
        47_286_322,
        "sha256:fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
        archive=True,
        top="hymenoptera_data",
    ),
    "imagenette": _one(
        ("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",),
        99_003_388,
        "md5:e793b78cc4c9e9a4ccc0c1155377a412",
        archive=True,
        top="imagenette2-160",
    ),
}


def set_folder(name: str) -> Path:
    """Where a fetched set lies, whether it is there or not."""
    return cache_root() / "sets" / name


def set_data(name: str, folder: Path) -> Path:
    """What of a set's folder is opened: the folder of the photographs or the files, or the lone file there is."""
    originals = ORIGINALS[name]
    if originals.archive:
        return folder / originals.top
    return folder if len(originals.files) > 1 else folder / originals.files[0].file
