"""The CIFAR-10 checkpoints of akamaster/pytorch_resnet_cifar10: the paper's networks, option A."""

from __future__ import annotations

from striate.weights.keys import KeyMap, PublishedRow, published
from striate.weights.resnet_checkpoint import KEYS


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    return KeyMap(KEYS) if net in {row.net for row in WEIGHTS} else None


WEIGHTS = published("akamaster", PublishedRow)

DIFFERENT: dict[str, str] = {}
