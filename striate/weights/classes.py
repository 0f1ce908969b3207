"""The names of ImageNet's, CIFAR's, SVHN's and PASCAL VOC's classes, in the order of published networks' outputs."""

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
# Of the same report, the fine labels.
_FINE_LABELS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = tuple(_FINE_LABELS.split())
# Netzer et al. 2011, Reading Digits in Natural Images: ten digits, of which 0 is first in every library's networks.
SVHN = tuple("0123456789")
# Everingham et al. 2010, The Pascal Visual Object Classes (VOC) Challenge: the twenty in alphabetical order.
PASCAL = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


OTHERS = {"cifar10": CIFAR10, "cifar100": CIFAR100, "svhn": SVHN, "pascal": PASCAL}


def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The thousand classes, by index. Source: ILSVRC 2012; in the order of the WordNet IDs."""
    text = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(ImageNetClass(*line.split("\t")) for line in text.splitlines())


def imagenet_names() -> tuple[str, ...]:
    """A unique name for each class: the two cranes and the two maillots include their WordNet ID."""
    classes = imagenet_classes()
    times = Counter(known.name for known in classes)
    return tuple(known.name if times[known.name] == 1 else f"{known.name} ({known.wnid})" for known in classes)


def class_order(library: str) -> tuple[int, ...]:
    """Where each of ImageNet's classes is among the outputs of a library's networks. library: "darknet"."""
    text = Path(__file__).with_name(f"{library}_classes.txt").read_text(encoding="utf-8")
    places = {wnid: place for place, wnid in enumerate(text.split())}
    return tuple(places[known.wnid] for known in imagenet_classes())


def class_names(data: str, count: int) -> tuple[str, ...]:
    """The names of the classes of a data set, "imagenet" or one of OTHERS; numbers if not `count`."""
    names = imagenet_names() if data == "imagenet" else OTHERS[data]
    return names if len(names) == count else tuple(f"class {number}" for number in range(count))
