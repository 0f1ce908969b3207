"""Darknet's files, whose layers are in the order of the network's, and its published weights."""

from __future__ import annotations

from striate.weights.keys import KeyMap, PublishedRow, published


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    return KeyMap((), sequence=True, order="darknet") if net in {row.net for row in WEIGHTS} else None


WEIGHTS = published("darknet", PublishedRow)

DIFFERENT: dict[str, str] = {}
