"""The CIFAR-10 networks of tomgoldstein/loss-landscape: ResNet with option B, and its plain twins without shortcuts."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, PublishedRow, published

KEYS = table(
    Rename,
    """
    theirs                 ours
    conv1                  stem.conv
    bn1                    stem.norm
    layer{s}.{b}.conv{c}   stage{s}.{b}.conv{c}.conv
    layer{s}.{b}.bn{c}     stage{s}.{b}.conv{c}.norm
    layer{s}.{b}.shortcut.0  stage{s}.{b}.shortcut.conv
    layer{s}.{b}.shortcut.1  stage{s}.{b}.shortcut.norm
    linear                 head
    """,
)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    if net not in {row.net for row in WEIGHTS}:
        return None
    return KeyMap(KEYS, {} if net.startswith("plain") else {"shortcut": "B"})


WEIGHTS = published("landscape", PublishedRow)

DIFFERENT: dict[str, str] = {}
