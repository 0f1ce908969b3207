"""What a segmenter gives for an image: its mask, how sure it is of each pixel, and the classes' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.pixels import Images
from striate.sections import Block, ColourScale, Heading, MapPicture, MapPictures, Strong, Text
from striate.sections.wording import percent
from striate.tasks.segmentation_evaluation import overlay

LISTED = 4  # classes with a map of their probability
BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class MaskMaps:
    """The answer of a segmenter for one image, at the size of its outputs [h, w].

    mask: the most probable class of each pixel, uint8. probabilities [classes, h, w]. explained: the class that is
    explained; found: whether it is in the mask. region: bool, the pixels whose outputs are explained: those of that
    class, or all where it is not found.
    """

    mask: Images
    probabilities: NDArray[np.float32]
    explained: int
    found: bool
    region: NDArray[np.bool_]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The highest probability of each pixel."""
        return np.asarray(self.probabilities.max(axis=0))

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Of each pixel's probabilities in bits: 0 where it is sure, log2(classes) where it knows nothing."""
        known = np.maximum(self.probabilities, np.finfo(np.float32).tiny)
        return np.asarray(-(self.probabilities * np.log2(known)).sum(axis=0))

    @property
    def share(self) -> float:
        """The share of the pixels that have the explained class."""
        return float((self.mask == self.explained).mean())

    @property
    def listed(self) -> list[int]:
        """The classes with a map: the explained one, then those with the highest mean probability."""
        order = np.argsort(-self.probabilities.mean(axis=(1, 2)), kind="stable").tolist()
        return [self.explained, *(place for place in order if place != self.explained)][:LISTED]


def mask_maps(logits: NDArray[np.float32], wanted: int | None) -> MaskMaps:
    """Logits [classes, h, w] -> the mask and its region.

    wanted: the class to explain; None: the one of most pixels, the background only where there is no other.
    """
    powers = np.exp(logits - logits.max(axis=0))
    mask = logits.argmax(axis=0).astype(np.uint8)
    counts = np.bincount(mask.reshape(-1), minlength=len(logits))
    if wanted is None:
        others = np.where(np.arange(len(counts)) == BACKGROUND, 0, counts)
        wanted = int(others.argmax()) if others.any() else BACKGROUND
    region = mask == wanted
    found = bool(region.any())
    return MaskMaps(mask, powers / powers.sum(axis=0), wanted, found, region if found else np.ones_like(region))


def about(maps: MaskMaps, name: str) -> str:
    """What is explained of the class `name`, in words; plain text, as a terminal shows it."""
    count = f"{int(maps.region.sum()):,} pixels"
    if maps.found:
        return f"{name}: the mean of its logit over the {count} ({100 * maps.share:.1f} %) that are {name}"
    return f"{name}: the mean of its logit over all {count}, because none is {name}"


def mask_pictures(maps: MaskMaps, crop: Images, names: Sequence[str]) -> list[tuple[str, MapPicture]]:
    """The mask, the maps of confidence and entropy, and of the classes' probabilities, by their names."""
    bits = float(np.log2(max(2, len(names))))
    laid = overlay(crop, _as_large(maps.mask, crop.shape[:2]))
    found = [
        ("mask", MapPicture(laid, (Strong("The predicted mask"), ", class 0 left clear"))),
        ("confidence", MapPicture(crop, (Strong("Confidence"), ": the highest probability of each pixel"),
                                  maps.confidence, ColourScale(1.0, "probability", "sure"))),
        ("entropy", MapPicture(crop, (Strong("Entropy"), ": between which classes is it unsure?"),
                               maps.entropy, ColourScale(bits, "bits", "unsure"))),
    ]  # fmt: skip
    scale = ColourScale(1.0, "probability", "likely")
    for place in maps.listed:
        caption = (Strong(names[place]), f", {percent(float((maps.mask == place).mean()))} of the pixels")
        found.append((f"probability {names[place]}", MapPicture(crop, caption, maps.probabilities[place], scale)))
    return found


def mask_blocks(maps: MaskMaps, crop: Images, names: Sequence[str]) -> list[Block]:
    """The part of the page about one image's mask."""
    pictures = tuple(picture for _, picture in mask_pictures(maps, crop, names))
    sure = f"Mean confidence {percent(float(maps.confidence.mean()))}."
    explained = f"Explained below is {about(maps, names[maps.explained])}."
    return [Heading("What is where, and how sure is it?"), MapPictures(pictures), Text(f"{sure} {explained}")]


def _as_large(mask: Images, size: tuple[int, ...]) -> Images:
    """A mask at another size (height, width), nearest."""
    rows = np.arange(size[0]) * mask.shape[0] // size[0]
    columns = np.arange(size[1]) * mask.shape[1] // size[1]
    return np.asarray(mask[rows][:, columns])
