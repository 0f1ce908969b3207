"""The section of out-of-distribution detection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from striate.data.audit.looking import look
from striate.jobs.reporting.pictures import shown
from striate.learning.ood import OODEvaluation
from striate.pixels import Images, Pixels
from striate.sections import Gallery, Grid, Heading, Histograms, Picture, Section, Step, Strong, Text
from striate.sections.wording import images, percent, quantity

ANCHOR, SHOWN = "ood", 12
LOW = 0.8  # share of the OOD images detected below which that is a step


def missed(found: OODEvaluation) -> list[int]:
    """Indices in `found.paths` of the OOD images that are accepted, the nearest ones first."""
    return [
        place
        for place in np.argsort(found.out_of_distribution).tolist()
        if found.out_of_distribution[place] <= found.threshold
    ][:SHOWN]


def missed_images(found: OODEvaluation, pixels: Pixels) -> dict[str, Images]:
    """The pictures of `missed` by path, as the network sees them."""
    paths = {found.paths[place] for place in missed(found)}
    items = [item for item in found.source.items if item.key in paths]
    looks = look(found.source, pixels, items=items)
    return {looked.item.key: shown(looked.crop) for looked in looks if looked.crop is not None}


def ood_section(found: OODEvaluation, pictures: Mapping[str, Images]) -> Section:
    """The quality of OOD detection, and the OOD images that are missed. pictures: by path."""
    facts = found.as_dict()

    text = (
        f"Of {images(len(found.out_of_distribution))} in ",
        Strong(found.source.name),
        ", which show none of the classes, ",
        Strong(percent(facts["ood_rejected"])),
        f" are detected; {percent(facts['in_distribution_accepted'])} of the held-out images are accepted. "
        f"AUROC: {percent(found.auroc)}.",
    )
    drawn = Histograms(
        "Distance in feature space, share of images",
        found.in_distribution,
        found.out_of_distribution,
        ("held-out images", "OOD images"),
        found.threshold,
        "OOD from here on",
        ("in distribution", "out of distribution"),
    )
    lead = f"An image whose distance to the training images is above {quantity(found.threshold)} is predicted as OOD."
    blocks = (Grid((drawn, Text(text, "large"))),)
    taken = tuple(
        Picture(pictures[path], ("predicted as ", Strong(found.predicted[place])), path)
        for place in missed(found)
        if (path := found.paths[place]) in pictures
    )
    more = (Heading("OOD images that are not detected"), Gallery(taken, noun="OOD image")) if taken else ()
    return Section(ANCHOR, "Out-of-distribution detection", (*blocks, *more), lead)


def ood_step(found: OODEvaluation) -> list[Step]:
    """The advice if too few are detected."""
    share = found.as_dict()["ood_rejected"]
    if share >= LOW:
        return []
    why = (
        f"Only {percent(share)} of {images(len(found.out_of_distribution))} that show none of the classes are detected."
    )
    return [Step(ANCHOR, "OOD images are accepted", why)]
