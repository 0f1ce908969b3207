"""The names of ImageNet's thousand classes and CIFAR-10's ten, in the order of published networks' outputs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """A class of ILSVRC 2012: WordNet ID (n01440764) and the first of its English names (tench)."""

    wnid: str
    name: str


# Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, in the order of the files.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The thousand classes, by index. Source: ILSVRC 2012; in the order of the WordNet IDs."""
    text = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(ImageNetClass(*line.split("\t")) for line in text.splitlines())


def imagenet_names() -> tuple[str, ...]:
    """A unique name for each class: the two cranes and the two maillots include their WordNet ID."""
    classes = imagenet_classes()
    times = Counter(known.name for known in classes)
    return tuple(known.name if times[known.name] == 1 else f"{known.name} ({known.wnid})" for known in classes)
