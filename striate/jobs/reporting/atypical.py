"""The section of atypical images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.jobs.reporting.pictures import Pictures
from striate.sections import Gallery, Picture, Section, Step, Strong
from striate.sections.wording import images, quantity

ANCHOR, SHOWN = "atypical", 12
FAR = 1.5  # times the median distance


def atypical_section(distances: NDArray[np.float32] | None, pictures: Pictures) -> Section | None:
    """The images farthest from their nearest neighbours; None if there are none.

    distances [usable]: in multiples of the median distance.
    """
    if distances is None:
        return None
    far = np.flatnonzero(distances >= FAR)
    places = far[np.argsort(-distances[far], kind="stable")][:SHOWN].tolist()
    crops = pictures.images(places)
    if not crops:
        return None
    shown = tuple(
        Picture(
            image,
            (Strong(pictures.target(place)), f", {quantity(float(distances[place]), 2)} \u00d7"),
            pictures.path(place),
        )
        for place, image in crops.items()
    )
    lead = (
        "The images farthest from their nearest neighbours in feature space. Some are rare and valuable, some do not "
        "belong: a drawing, a close-up, the wrong folder. The factor is the distance over the median distance."
    )
    return Section(ANCHOR, "Atypical images", (Gallery(shown),), lead)


def atypical_step(section: Section | None) -> list[Step]:
    """The advice to check them."""
    if section is None:
        return []
    count = sum(len(block.pictures) for block in section.blocks if isinstance(block, Gallery))
    return [Step(ANCHOR, f"{images(count)} far from the rest", "Rare and valuable, or in the wrong folder?")]
