"""Other libraries' names for the parameters of our networks: one file per library, one table per family.

Each file has `key_map(net, arch)`, the rules for a network or None; `WEIGHTS`, the published files, read from the table
next to the folder; and `DIFFERENT`, networks whose namesakes there compute something else, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from striate.tables import table
from striate.weights.classes import OTHERS
from striate.weights.fitting import Rename


@dataclass(frozen=True)
class KeyMap:
    """How to import a library's weights into one of our networks.

    options: of `create`, if the library's network is a variant. bgr: its images are blue, green, red. norm_bias: its
    convolutions have a bias before each normalisation, which is folded into the mean that is subtracted next. no_bias:
    patterns of our layers whose bias it does not have, so that it is zero. eps_above: how much its batch
    normalisation's epsilon is above ours, which is folded into the variance that it is added to. sequence: its files
    have numbers without names, in the order of the layers. order: of ImageNet's classes in its outputs, as
    `class_order` takes it. keras: its arrays are Keras's, and the rules in the order of its layers
    (`striate.weights.keras_layers`). normalises: the first of its layers normalise the pixels, which becomes part of
    the preprocessing. flattened: our module whose inputs are a flattened map, which is ordered by place and then
    channel there.
    """

    rules: tuple[Rename, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    bgr: bool = False
    norm_bias: bool = False
    no_bias: tuple[str, ...] = ()
    eps_above: float = 0.0
    sequence: bool = False
    order: str = ""
    keras: bool = False
    normalises: bool = False
    flattened: str = ""


@dataclass(frozen=True)
class PublishedRow:
    """One line of a library's table of weights.

    `peer` is its name for the network, `file` that of the weights. size and resize: pixels of the image, and of the
    shorter side before the crop, by a resize filter; resize 0: the whole image is squashed. `colour` is a key of
    NORMALISATIONS. top1: in per cent, as published; 0: not stated. licence: of these weights, None for the library's.
    """

    net: str
    peer: str
    file: str
    size: int
    resize: int
    filter: str
    colour: str
    top1: float
    licence: str | None

    @property
    def arch(self) -> str:
        """The library's name of the network, without that of a training of it."""
        return self.peer.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """What these weights can be asked for by: the library's names of them, of the network and of the file."""
        return (self.peer, self.arch, self.file)

    @property
    def data(self) -> str:
        """The data set of the weights: as `striate.weights.classes.class_names` takes it."""
        last = self.arch.rpartition("_")[2]
        return last if last in OTHERS else "cifar10" if self.size == 32 else "imagenet"

    @property
    def digits(self) -> str:
        """The first digits of the file's checksum, if its name ends in them; otherwise ""."""
        found = re.search(r"-([0-9a-f]{8,})\.", self.file)
        return found[1] if found else ""

    def address(self, pattern: str) -> str:
        """Where the file is, by a library's pattern."""
        return pattern.format(file=self.file, peer=self.peer)


@dataclass(frozen=True)
class StoredRow(PublishedRow):
    """A line of a table that also states where each file is kept, and its MD5; None: not stated."""

    folder: str
    md5: str | None

    @property
    def digits(self) -> str:
        """The checksum of the file, if stated; otherwise ""."""
        return self.md5 or ""

    def address(self, pattern: str) -> str:
        """Where the file is, by a library's pattern."""
        return pattern.format(file=self.file, peer=self.peer, folder=self.folder)


Row = TypeVar("Row", bound=PublishedRow)


def published(library: str, row_type: type[Row]) -> tuple[Row, ...]:
    """The table of a library's weights. Its first lines, with `#`, cite the sources of the figures."""
    text = (Path(__file__).parents[1] / f"published_{library}.txt").read_text(encoding="utf-8")
    return table(row_type, "\n".join(line for line in text.splitlines() if not line.startswith("#")))


def conv_norm(rules: Sequence[Rename], conv: str = "conv", norm: str = "bn") -> tuple[Rename, ...]:
    """Each rule twice: for the convolution and the normalisation of a block, called conv and norm here."""
    return tuple(
        Rename(f"{rule.theirs}.{theirs}", f"{rule.ours}.{ours}")
        for rule in rules
        for theirs, ours in ((conv, "conv"), (norm, "norm"))
    )
