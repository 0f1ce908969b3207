"""The section of the network's input: training images as they enter it, plain and augmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from striate.jobs.reporting.pictures import Pictures, shown
from striate.pixels import Images
from striate.sections import Block, Gallery, Heading, Picture, Section, Strip, Strong, Text

ANCHOR = "input"
SHOWN, AUGMENTED, VIEWS = 8, 3, 7  # training images; those shown augmented, and of each so many


def input_section(train: Sequence[int], views: Callable[[int], Images] | None, pictures: Pictures) -> Section:
    """train: indices of the training images. views: of such an index, the image plain and augmented [V, H, W, C]."""
    chosen = np.random.default_rng(0).permutation(len(train))[:SHOWN]
    crops = pictures.images(train[index] for index in sorted(chosen))
    plain = tuple(
        Picture(image, (Strong(pictures.target(place)),), pictures.path(place)) for place, image in crops.items()
    )
    blocks: list[Block] = [Gallery(plain)] if plain else []
    if views is not None:
        few = train[:: max(1, len(train) // AUGMENTED)][:AUGMENTED]
        strips = [_strip(place, views(place), pictures) for place in few]
        note = "The framed image is not augmented. Each epoch draws new augmentations."
        blocks += [Heading("Augmented"), Text(note, "quiet"), *strips]
    if not blocks:
        return Section(ANCHOR, "Network input", (Text("No pictures are available.", "quiet"),))
    lead = (
        "Training images after EXIF rotation, resizing and cropping, exactly as they enter the network. "
        "What is cropped away or too small to make out cannot be used for the prediction."
    )
    return Section(ANCHOR, "Network input", tuple(blocks), lead)


def _strip(place: int, views: Images, pictures: Pictures) -> Strip:
    framed = tuple(Picture(shown(view)) for view in views[:VIEWS])
    return Strip(framed, pictures.target(place), pictures.path(place), framed=True)
