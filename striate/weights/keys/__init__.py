"""Other libraries' names for the parameters of our networks: one file per library, one table per family.

Each file has `key_map(net, arch)`, the rules for a network or None; `WEIGHTS`, the published files, read from the table
next to the folder; and `DIFFERENT`, networks whose namesakes there compute something else, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.tables import table
from striate.weights.fitting import Rename


@dataclass(frozen=True)
class KeyMap:
    """How to import a library's weights into one of our networks.

    options: of `create`, if the library's network is a variant. bgr: its images are blue, green, red. norm_bias: its
    convolutions have a bias before each normalisation, which is folded into the mean that is subtracted next.
    """

    rules: tuple[Rename, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    bgr: bool = False
    norm_bias: bool = False


@dataclass(frozen=True)
class PublishedRow:
    """One line of a library's table of weights.

    `peer` is its name for the network, `file` that of the weights. size and resize: pixels of the image, and of the
    shorter side before the crop, by a resize filter. `colour` is a key of NORMALISATIONS. top1: in per cent, as
    published; 0: not stated. licence: of these weights, None for the library's.
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
    def digits(self) -> str:
        """The first digits of the file's checksum, if its name ends in them; otherwise ""."""
        found = re.search(r"-([0-9a-f]{8,})\.", self.file)
        return found[1] if found else ""


def published(library: str) -> tuple[PublishedRow, ...]:
    """The table of a library's weights. Its first lines, with `#`, cite the sources of the figures."""
    text = (Path(__file__).parents[1] / f"published_{library}.txt").read_text(encoding="utf-8")
    return table(PublishedRow, "\n".join(line for line in text.splitlines() if not line.startswith("#")))


def conv_norm(rules: Sequence[Rename], conv: str = "conv", norm: str = "bn") -> tuple[Rename, ...]:
    """Each rule twice: for the convolution and the normalisation of a block, called conv and norm here."""
    return tuple(
        Rename(f"{rule.theirs}.{theirs}", f"{rule.ours}.{ours}")
        for rule in rules
        for theirs, ours in ((conv, "conv"), (norm, "norm"))
    )
